"""What comes of a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dms_cpp import _core
from dms_cpp.errors import RunError

# libdms's names of how an answer ended that vLLM calls otherwise.
_FINISH_REASONS = {"cancelled": "abort"}


@dataclass(frozen=True)
class Logprob:
    """A token's natural logarithm of its probability, before penalties and temperature."""

    logprob: float
    rank: int | None
    """1: the likeliest. None: not among those that were asked for."""
    decoded_token: str | None
    """The token as text; a part of a character becomes U+FFFD."""


@dataclass
class CompletionOutput:
    """One answer, or a piece of one."""

    index: int
    """Which of SamplingParams.n."""
    text: str
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None = None
    """For each of token_ids, by token id: its own and the likeliest."""
    finish_reason: str | None = None
    """"stop" (an end token, a stop text or token), "length" (max_tokens or the context), "abort",
    "deadline" (the timeout). None: more follows."""
    kv: _core.KvStats | None = None
    """Memory of its cache at the end. None: not ended, or a piece."""
    timings: _core.Timings | None = None
    """None: not ended, or a piece."""
    num_drafted_tokens: int = 0
    """Guessed ahead (SamplingParams.speculate)."""
    num_accepted_tokens: int = 0
    """Of them, those that the answer then really had."""

    @property
    def cumulative_logprob(self) -> float | None:
        """The sum of its tokens' log-probabilities, where they were asked for."""
        if self.logprobs is None:
            return None
        pairs = zip(self.token_ids, self.logprobs, strict=True)
        return math.fsum(choice[token].logprob for token, choice in pairs)


@dataclass
class RequestOutput:
    """A prompt and its answers."""

    request_id: str
    prompt: str | None
    """None: it came as token ids."""
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput] = field(default_factory=list)
    """SamplingParams.n answers."""
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None
    """For each of prompt_token_ids, by token id, where asked for; the first's is None."""
    num_cached_tokens: int = 0
    """Of the prompt, taken from an earlier request's cache."""
    finished: bool = True

    @property
    def kv(self) -> _core.KvStats | None:
        """Memory of the first answer's cache."""
        return self.outputs[0].kv if self.outputs else None


@dataclass(frozen=True)
class Score:
    """How likely a model finds a text."""

    token_ids: npt.NDArray[np.int32]
    """[tokens]"""
    logprobs: npt.NDArray[np.float64]
    """[tokens - 1], natural logarithms: entry k is of token k + 1 after the first k + 1 tokens."""
    logits: npt.NDArray[np.float32] | None
    """[tokens, vocab], where asked for: row k follows token k."""
    kv: _core.KvStats
    """Memory of the cache at the end."""

    @property
    def nll(self) -> float:
        """The mean of -logprobs."""
        return float(-self.logprobs.mean())

    @property
    def perplexity(self) -> float:
        """exp(nll)"""
        return math.exp(self.nll)


Spell = Callable[[int], "str | None"]
"""A token id as text."""


def logprobs_of(choices: Sequence[_core.TokenChoice], spell: Spell) -> list[dict[int, Logprob]]:
    """For each choice its tokens' log-probabilities, the likeliest first."""
    rows = []
    for choice in choices:
        row = {
            token.id: Logprob(token.log_probability, rank, spell(token.id))
            for rank, token in enumerate(choice.likeliest, start=1)
        }
        chosen = choice.chosen
        row.setdefault(chosen.id, Logprob(chosen.log_probability, None, spell(chosen.id)))
        rows.append(row)
    return rows


def finish_reason(reason: str) -> str | None:
    """vLLM's name of how an answer ended, where it has one."""
    return _FINISH_REASONS.get(reason, reason) or None


def completion(
    index: int, generation: _core.Generation, has_logprobs: bool, spell: Spell
) -> CompletionOutput:
    """An answer as a whole. Raises RunError where it failed."""
    if generation.finish_reason == "error":
        raise RunError(generation.error)
    return CompletionOutput(
        index=index,
        text=generation.text,
        token_ids=generation.ids,
        logprobs=logprobs_of(generation.choices, spell) if has_logprobs else None,
        finish_reason=finish_reason(generation.finish_reason),
        kv=generation.kv,
        timings=generation.timings,
        num_drafted_tokens=generation.drafted_tokens,
        num_accepted_tokens=generation.accepted_tokens,
    )


def completion_piece(piece: _core.Piece, has_logprobs: bool, spell: Spell) -> CompletionOutput:
    """What became known of an answer."""
    return CompletionOutput(
        index=piece.answer,
        text=piece.text,
        token_ids=piece.ids,
        logprobs=logprobs_of(piece.choices, spell) if has_logprobs else None,
        finish_reason=finish_reason(piece.finish_reason),
    )

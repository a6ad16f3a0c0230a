"""How the next token is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dms_cpp import _core
from dms_cpp.structured_outputs import StructuredOutputsParams

_SEED_LIMIT = 1 << 64


@dataclass
class SamplingParams:
    """How answers are sampled; names and defaults are vLLM's.

    Applied in this order: logit bias, penalties, temperature, top-k, top-p, min-p, draw.
    """

    n: int = 1
    """Answers to the one prompt; they share its cache."""
    presence_penalty: float = 0.0
    """Subtracted once from each generated token's logit."""
    frequency_penalty: float = 0.0
    """Subtracted once per occurrence among generated tokens."""
    repetition_penalty: float = 1.0
    """Divides positive, multiplies negative logits of seen tokens, the prompt's included."""
    temperature: float = 1.0
    """0: greedy."""
    top_p: float = 1.0
    """Keeps the smallest set of tokens with this probability; 1: all."""
    top_k: int = 0
    """Keeps the k most likely; 0 or -1: all."""
    min_p: float = 0.0
    """Keeps tokens with p >= min_p * p(best); 0: all."""
    seed: int | None = None
    """The same seed gives the same text; answer i of n is sampled with seed + i. None: drawn from
    the LLM's own sequence of seeds."""
    stop: str | Sequence[str] | None = None
    """Generation ends before the first of these texts."""
    stop_token_ids: Sequence[int] | None = None
    """Generation ends with the first of these tokens."""
    ignore_eos: bool = False
    """Goes on after the model's end-of-sequence tokens."""
    max_tokens: int | None = 16
    """The most tokens of an answer; None: up to the model's context."""
    logprobs: int | None = None
    """Reports each token's log-probability and those of so many likeliest tokens."""
    prompt_logprobs: int | None = None
    """The same for the prompt's tokens, as the policy in force sees them."""
    logit_bias: Mapping[int, float] | None = None
    """Added to tokens' logits, -100 to 100."""
    speculate: int = 0
    """The most tokens guessed ahead from what the text had before, up to 32; 0: none. The text
    stays the same, sampled or not."""
    structured_outputs: StructuredOutputsParams | None = None
    """The form that answers are held to."""

    def to_core(self, context_left: int, drawn_seed: int) -> _core.Sampling:
        """As libdms takes it: `context_left` tokens are the most, `drawn_seed` stands for None."""
        if self.n < 1:
            _core.throw_input_error("n", "value out of range", str(self.n), "at least 1")
        core = _core.Sampling()
        core.presence_penalty = self.presence_penalty
        core.frequency_penalty = self.frequency_penalty
        core.repetition_penalty = self.repetition_penalty
        core.temperature = self.temperature
        core.top_p = self.top_p
        core.top_k = 0 if self.top_k == -1 else self.top_k
        core.min_p = self.min_p
        core.seed = drawn_seed if self.seed is None else _checked_seed(self.seed)
        core.stop = [self.stop] if isinstance(self.stop, str) else list(self.stop or [])
        core.stop_ids = list(self.stop_token_ids or [])
        core.ignore_eos = self.ignore_eos
        core.speculate = self.speculate
        core.max_new_tokens = max(context_left, 0) if self.max_tokens is None else self.max_tokens
        core.log_probabilities = _checked_logprobs("logprobs", self.logprobs)
        core.prompt_log_probabilities = _checked_logprobs("prompt_logprobs", self.prompt_logprobs)
        core.logit_bias = dict(self.logit_bias or {})
        if self.structured_outputs is not None:
            core.structure = self.structured_outputs.to_core()
        return core


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < _SEED_LIMIT:
        _core.throw_input_error("seed", "value out of range", str(seed), "0 to 2^64 - 1")
    return seed


def _checked_logprobs(field: str, count: int | None) -> int:
    """-1 asks libdms for nothing."""
    if count is None:
        return -1
    if count < 0:
        _core.throw_input_error(field, "value out of range", str(count), "at least 0, or None")
    return count

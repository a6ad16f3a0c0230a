"""One conversation over one cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dms_cpp import _core
from dms_cpp.outputs import RequestOutput, Score
from dms_cpp.pending import Pending
from dms_cpp.prompts import Prompt, TokenIds, as_ids, read_prompt
from dms_cpp.sampling import SamplingParams
from dms_cpp.stream import Stream

if TYPE_CHECKING:
    from dms_cpp.llm import LLM


class Session:
    """A conversation whose cache stays between calls; LLM.session() makes one.

    It keeps its LLM alive. Any thread may call it; a call waits for the one before.
    """

    def __init__(self, llm: LLM, core: _core.Session) -> None:
        self._llm = llm
        self._core = core

    def __len__(self) -> int:
        """Tokens in the cache."""
        return self._core.tokens()

    @property
    def token_ids(self) -> npt.NDArray[np.int32]:
        """The tokens in the cache, [tokens]."""
        return self._core.ids()

    @property
    def max_tokens(self) -> int:
        """The most it can hold."""
        return self._core.max_tokens()

    def append(self, prompt: Prompt) -> npt.NDArray[np.float32]:
        """Appends tokens and returns the logits after the last one, [vocab].

        A text that does not begin the session gets no special tokens.

        Raises:
            InputError: More than max_tokens, or nothing; nothing was appended.
            RunError: The memory limit; what was computed so far stays.
        """
        return self._core.append(self._read(prompt)[1])

    def score(self, prompt: Prompt, *, logits: bool = False) -> Score:
        """Appends tokens and tells how likely each but the first of them was; see LLM.score()."""
        ids = self._read(prompt)[1]
        if len(ids) < 2:
            _core.throw_input_error("prompt", "too short to score", str(len(ids)), "at least 2")
        logprobs, rows = self._core.score(ids, logits)
        return Score(ids, logprobs, rows, self.kv)

    def generate(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        priority: int = 0,
        timeout: float | None = None,
    ) -> RequestOutput:
        """Appends the prompt and a continuation of it.

        The continuation's last token is part of the result, not yet of the cache.
        """
        pending = self._submit(prompt, sampling_params, priority, timeout, _core.Delivery.WHOLE)
        try:
            return pending.output()
        finally:
            pending.core.close()

    def stream(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        priority: int = 0,
        timeout: float | None = None,
    ) -> Stream:
        """generate(), piece by piece. Until it has ended the session takes nothing else."""
        return Stream(
            self._submit(prompt, sampling_params, priority, timeout, _core.Delivery.STREAM)
        )

    def fork(self) -> Session:
        """An independent continuation that shares this one's memory until either writes."""
        return Session(self._llm, self._core.fork())

    def truncate(self, tokens: int) -> None:
        """Forgets all but the first tokens: up to 32 at once, beyond it by computing again."""
        self._core.truncate(tokens)

    def reusable_tokens(self, token_ids: TokenIds) -> int:
        """Where to truncate() to before these tokens follow in place of what it holds.

        After those that both begin with, one of the new ones left to compute. Under a policy that
        takes a prompt as a whole (`snapkv`, `adms`), where that is within a prompt, before it: the
        rest alone would be ranked as another prompt, and what came before it not at all.
        """
        return self._core.reusable_tokens(as_ids(token_ids))

    def save(self, file: str | os.PathLike[str]) -> None:
        """Writes tokens, compact cache and options, for LLM.load_session()."""
        self._core.save(file)

    @property
    def kv(self) -> _core.KvStats:
        """Memory of its cache."""
        return self._core.kv()

    @property
    def timings(self) -> _core.Timings:
        """Time spent by all calls on it so far."""
        return self._core.timings()

    def decisions(self) -> npt.NDArray[np.uint8]:
        """What was evicted so far, [layers, kv_heads, tokens]: 1 = evicted, 0 = kept or not yet
        decided."""
        return self._core.decisions()

    def _read(self, prompt: Prompt) -> tuple[str | None, npt.NDArray[np.int32]]:
        is_first = len(self) == 0
        return read_prompt(prompt, lambda text: self._llm.tokenizer.encode(text, is_first))

    def _submit(
        self,
        prompt: Prompt,
        params: SamplingParams | None,
        priority: int,
        timeout: float | None,
        delivery: _core.Delivery,
    ) -> Pending:
        text, ids = self._read(prompt)
        request = {"prompt": text, "prompt_token_ids": ids}
        chosen = params or self._llm.get_default_sampling_params()
        job = self._llm._job(request, chosen, None, priority, timeout, len(self))
        if chosen.n != 1:
            _core.throw_input_error("n", "a session gives one answer; fork it", str(chosen.n), "1")
        core = self._core.submit(ids, job.sampling, -priority, timeout, delivery)
        return Pending(job, core, self._llm._spell)

"""A request that was submitted, with what is needed to tell of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dms_cpp import _core
from dms_cpp.document import Document
from dms_cpp.errors import RunError
from dms_cpp.options import CacheOptions
from dms_cpp.outputs import (
    CompletionOutput,
    RequestOutput,
    completion,
    completion_piece,
    logprobs_of,
)
from dms_cpp.sampling import SamplingParams


@dataclass(frozen=True)
class Job:
    """What a request asks for."""

    prompt: str | None
    ids: npt.NDArray[np.int32]
    params: SamplingParams
    sampling: _core.Sampling
    cache: CacheOptions
    priority: int
    timeout: float | None
    document: Document | None = None
    """Whose tokens the ids begin with."""
    keeps_document: bool = False


@dataclass(frozen=True)
class Pending:
    """A submitted request. It is cancelled where nobody holds it any more."""

    job: Job
    core: _core.PendingRequest
    spell: Callable[[int], str | None]

    def output(self) -> RequestOutput:
        """Blocks until all answers have ended. Raises RunError where one failed."""
        generations = self.core.wait()
        has_logprobs = self.job.params.logprobs is not None
        outputs = [
            completion(index, generation, has_logprobs, self.spell)
            for index, generation in enumerate(generations)
        ]
        result = self.empty_output()
        first = generations[0]
        if self.job.params.prompt_logprobs is not None:
            result.prompt_logprobs = [None, *logprobs_of(first.prompt_choices, self.spell)]
        return replace(
            result, outputs=outputs, num_cached_tokens=first.cached_tokens, finished=True
        )

    def empty_output(self) -> RequestOutput:
        """Before the first token."""
        return RequestOutput(
            request_id=str(self.core.id),
            prompt=self.job.prompt,
            prompt_token_ids=self.job.ids.tolist(),
            finished=False,
        )

    def pieces(self, pieces: list[_core.Piece]) -> list[CompletionOutput]:
        """Pieces as the package tells them. Raises RunError where an answer failed."""
        for piece in pieces:
            if piece.finish_reason == "error":
                raise RunError(piece.error)
        has_logprobs = self.job.params.logprobs is not None
        return [completion_piece(piece, has_logprobs, self.spell) for piece in pieces]

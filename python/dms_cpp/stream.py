"""An answer piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType

from dms_cpp.outputs import CompletionOutput, RequestOutput
from dms_cpp.pending import Pending


class Stream(Iterator[CompletionOutput]):
    """Pieces of answers as they come: each holds the text and the tokens since the one before.

    The engine computes while the next piece is asked for. Closing it, or leaving its `with` block,
    cancels what has not ended.
    """

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._pieces: deque[CompletionOutput] = deque()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> CompletionOutput:
        if not self._pieces:
            self._pieces.extend(self._pending.pieces(self._pending.core.next()))
        if not self._pieces:
            raise StopIteration
        return self._pieces.popleft()

    def result(self) -> RequestOutput:
        """All of it; blocks until it has ended."""
        return self._pending.output()

    def close(self) -> None:
        """Cancels what has not ended."""
        self._pending.core.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

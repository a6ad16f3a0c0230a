"""A model for asyncio: a thread of its own computes, the event loop never waits for it."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from dms_cpp import _core
from dms_cpp.chat import Message
from dms_cpp.document import Document
from dms_cpp.errors import RunError
from dms_cpp.llm import LLM
from dms_cpp.options import CacheOptions
from dms_cpp.outputs import CompletionOutput, RequestOutput
from dms_cpp.pending import Job, Pending
from dms_cpp.prompts import Prompt
from dms_cpp.sampling import SamplingParams


class _Server:
    """The thread that computes. It knows no AsyncLLM, which ends it when nobody holds it."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._streams: dict[int, weakref.ref[AsyncStream]] = {}
        self.failure: BaseException | None = None
        self.is_closed = False
        self.on_end: list[Callable[[str], None]] = []
        """Called on the thread, last of all, with why it ends."""
        self._thread = threading.Thread(target=self._run, name="dms-engine", daemon=True)
        self._thread.start()

    def add(self, stream: AsyncStream) -> None:
        """Tells the stream of its request's events from now on."""
        with self._lock:
            self._streams[stream.number] = weakref.ref(stream)

    def find(self, number: int) -> AsyncStream | None:
        """The stream of a request."""
        with self._lock:
            reference = self._streams.get(number)
        return reference() if reference else None

    def forget(self, number: int) -> None:
        """Its request has ended."""
        with self._lock:
            self._streams.pop(number, None)

    def check(self) -> None:
        """Raises RunError where nothing will be computed any more."""
        if self.failure is not None:
            raise RunError(f"the engine's thread failed: {self.failure}") from self.failure
        if self.is_closed:
            raise RunError("the AsyncLLM is closed")

    def stop(self) -> None:
        """Cancels all requests and ends the thread."""
        self.is_closed = True
        for stream in self._all():
            stream.pending.core.close()
        self._engine.stop_serving()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _all(self) -> list[AsyncStream]:
        with self._lock:
            found = [reference() for reference in self._streams.values()]
        return [stream for stream in found if stream is not None]

    def _run(self) -> None:
        try:
            while numbers := self._engine.serve():
                for number in set(numbers):
                    self._wake(self.find(number))
        except BaseException as error:
            self.failure = error
        for stream in self._all():
            self._wake(stream)
        why = "the engine's thread failed" if self.failure else "the AsyncLLM is closed"
        for call in self.on_end:
            call(why)

    @staticmethod
    def _wake(stream: AsyncStream | None) -> None:
        if stream is None:
            return
        try:
            stream.wake()
        except RuntimeError:
            stream.cancel()  # its event loop has ended


class AsyncStream(AsyncIterator[CompletionOutput]):
    """Pieces of answers as they come: each holds the text and the tokens since the one before.

    Cancelling who waits for a piece cancels the request.
    """

    def __init__(self, server: _Server, pending: Pending) -> None:
        self.pending = pending
        self._server = server
        self._pieces: deque[CompletionOutput] = deque()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    @property
    def number(self) -> int:
        """The engine's name of the request."""
        return self.pending.core.id

    @property
    def request_id(self) -> str:
        """For AsyncLLM.abort()."""
        return str(self.number)

    def __del__(self) -> None:
        self._server.forget(self.number)

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> CompletionOutput:
        while not self._pieces:
            self._news.clear()
            is_done = self.pending.core.is_done()
            self._pieces.extend(self.pending.pieces(self.pending.core.take()))
            if self._pieces:
                break
            if is_done:
                raise StopAsyncIteration
            await self._wait()
        return self._pieces.popleft()

    async def result(self) -> RequestOutput:
        """All of it, when it has ended."""
        self._news.clear()
        while not self.pending.core.is_done():
            await self._wait()
            self._news.clear()
        return self.pending.output()

    def cancel(self) -> None:
        """Ends it before the next pass; what came so far can still be read."""
        self.pending.core.cancel()

    async def _wait(self) -> None:
        try:
            await self._news.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._server.failure is not None:
            self._server.check()

    def wake(self) -> None:
        """Called by the engine's thread: there is something new."""
        self._loop.call_soon_threadsafe(self._news.set)


class AsyncLLM:
    """An LLM whose functions are for asyncio. Options are LLM's.

    >>> async with AsyncLLM("models/demo") as llm:
    ...     async for piece in await llm.submit("It was a dark night"):
    ...         print(piece.text, end="", flush=True)
    """

    def __init__(self, model: str | os.PathLike[str], **options: Any) -> None:
        self.llm = LLM(model, **options)
        """The same model for other threads: asyncio.to_thread(llm.llm.score, text)."""
        self._server = _Server(self.llm._engine)
        self._end = weakref.finalize(self, self._server.stop)  # also before the interpreter ends

    async def submit(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        document: Document | str | os.PathLike[str] | None = None,
        cache: CacheOptions | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> AsyncStream:
        """Takes a request in; arguments are LLM.stream()'s."""
        self._server.check()
        held = await asyncio.to_thread(self.llm._held, document, cache, False)
        return await self._submit(prompt, sampling_params, held, cache, priority, timeout)

    async def generate(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        document: Document | str | os.PathLike[str] | None = None,
        cache: CacheOptions | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[RequestOutput]:
        """The answer so far, again with each new piece; the last one is `finished`."""
        stream = await self.submit(
            prompt,
            sampling_params,
            document=document,
            cache=cache,
            priority=priority,
            timeout=timeout,
        )
        try:
            so_far = replace(
                stream.pending.empty_output(),
                outputs=[
                    CompletionOutput(index, "", []) for index in range(stream.pending.job.params.n)
                ],
            )
            async for piece in stream:
                outputs = list(so_far.outputs)
                outputs[piece.index] = _joined(outputs[piece.index], piece)
                so_far = replace(so_far, outputs=outputs)
                if any(output.finish_reason is None for output in outputs):
                    yield so_far
            yield await stream.result()
        finally:
            stream.cancel()

    async def chat(
        self,
        messages: Sequence[Message],
        sampling_params: SamplingParams | None = None,
        *,
        document: Document | str | os.PathLike[str] | None = None,
        cache: CacheOptions | None = None,
        priority: int = 0,
        timeout: float | None = None,
        **template: Any,
    ) -> AsyncStream:
        """Answers a conversation; arguments of the template are LLM.chat()'s."""
        self._server.check()
        held = await asyncio.to_thread(self.llm._held, document, cache, True)
        prompt: Mapping[str, object] = await asyncio.to_thread(
            self.llm._render_after, held, messages, **template
        )
        return await self._submit(prompt, sampling_params, held, cache, priority, timeout)

    async def document(
        self,
        prompt: Prompt | Sequence[Message],
        *,
        chat_template: str | None = None,
        cache: CacheOptions | None = None,
    ) -> Document:
        """As LLM.document(), beside other requests."""
        self._server.check()
        job, messages = await asyncio.to_thread(
            self.llm._document_job, prompt, chat_template, cache
        )
        stream = self._start(job)
        await stream.result()
        return self.llm._document_of(stream.pending, messages)

    async def load_document(self, file: str | os.PathLike[str]) -> Document:
        """As LLM.load_document()."""
        self._server.check()
        return await asyncio.to_thread(self.llm.load_document, file)

    async def abort(self, request_id: str) -> None:
        """Cancels a request; one that has ended is left alone."""
        stream = self._server.find(int(request_id))
        if stream is not None:
            stream.cancel()

    def check(self) -> None:
        """Raises RunError where nothing will be computed any more: it failed, or was closed."""
        self._server.check()

    async def close(self) -> None:
        """Cancels all requests and ends the thread."""
        await asyncio.to_thread(self._end)

    async def __aenter__(self) -> AsyncLLM:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _submit(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None,
        document: Document | None,
        cache: CacheOptions | None,
        priority: int,
        timeout: float | None,
    ) -> AsyncStream:
        params = sampling_params or self.llm.get_default_sampling_params()
        job = await asyncio.to_thread(
            self.llm._job, prompt, params, cache, priority, timeout, document=document
        )
        return self._start(job)

    def _start(self, job: Job) -> AsyncStream:
        stream = AsyncStream(self._server, self.llm._submit(job, _core.Delivery.ANNOUNCE))
        self._server.add(stream)
        return stream


def _joined(so_far: CompletionOutput, piece: CompletionOutput) -> CompletionOutput:
    logprobs = piece.logprobs
    if logprobs is not None:
        logprobs = (so_far.logprobs or []) + logprobs
    return replace(
        so_far,
        text=so_far.text + piece.text,
        token_ids=so_far.token_ids + piece.token_ids,
        logprobs=logprobs,
        finish_reason=piece.finish_reason,
    )

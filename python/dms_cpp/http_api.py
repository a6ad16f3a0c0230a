"""The HTTP API of `dms serve` without a socket: requests in, answers in pieces out."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence

from dms_cpp import _core
from dms_cpp.async_llm import AsyncLLM
from dms_cpp.errors import RunError


class _Desk:
    """The thread that answers. It knows no HttpApi, which ends it when nobody holds it."""

    def __init__(self, api: _core.Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._replies: dict[int, weakref.ref[HttpReply]] = {}
        self.is_closed = False
        self._thread = threading.Thread(target=self._run, name="dms-http-api", daemon=True)
        self._thread.start()

    def add(self, reply: HttpReply) -> None:
        """Tells the reply of what comes for it from now on."""
        with self._lock:
            self._replies[reply.number] = weakref.ref(reply)

    def forget(self, number: int) -> None:
        """Nobody holds it."""
        with self._lock:
            self._replies.pop(number, None)

    def stop(self, why: str = "the HttpApi is closed") -> None:
        """Ends all requests, and the thread."""
        self._api.stop(why)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while numbers := self._api.serve():
            for number in set(numbers):
                self._wake(number)
        self.is_closed = True
        with self._lock:
            left = list(self._replies)
        for number in left:
            self._wake(number)

    def _wake(self, number: int) -> None:
        with self._lock:
            reference = self._replies.get(number)
        reply = reference() if reference else None
        if reply is None:
            return
        try:
            reply.wake()
        except RuntimeError:
            reply.cancel()  # its event loop has ended


class HttpReply(AsyncIterator[bytes]):
    """An answer. Its status and headers are there; its body comes in pieces, those of a stream as
    they are made.

    Cancelling who waits for a piece cancels the request, and so does letting go of this.
    """

    status = 0
    headers: Sequence[tuple[str, str]] = ()

    def __init__(self, desk: _Desk, call: _core.ApiCall) -> None:
        self.number = call.number
        self._desk = desk
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._bytes = b""
        self._is_over = False
        self._is_lost = False

    def __del__(self) -> None:
        self._desk.forget(self.number)
        if not self._is_over:
            self.cancel()

    @property
    def is_stream(self) -> bool:
        """Whether the body is server-sent events."""
        kinds = [value for name, value in self.headers if name.lower() == "content-type"]
        return any(kind.startswith("text/event-stream") for kind in kinds)

    def __aiter__(self) -> HttpReply:
        return self

    async def __anext__(self) -> bytes:
        while not self._bytes:
            if self._is_lost:
                raise RunError("the answer was given up before its end")
            if self._is_over:
                raise StopAsyncIteration
            await self._look()
        piece, self._bytes = self._bytes, b""
        return piece

    async def body(self) -> bytes:
        """All of it that has not been read."""
        return b"".join([piece async for piece in self])

    def cancel(self) -> None:
        """Nobody waits for it any longer."""
        self._call.cancel()

    def wake(self) -> None:
        """Called by the thread that answers: there is something new."""
        self._loop.call_soon_threadsafe(self._news.set)

    async def begin(self) -> HttpReply:
        """Waits for the status."""
        while self.status == 0:
            if self._is_lost:
                raise RunError("the request was given up")
            await self._look()
        return self

    async def _look(self) -> None:
        """Takes what is new, or waits for it."""
        self._news.clear()
        is_last = self._desk.is_closed
        status, headers, piece, self._is_over, self._is_lost = self._call.take()
        self._bytes += piece
        if headers:
            self.status, self.headers = status, headers
        if piece or headers or self._is_over:
            return
        if is_last:
            raise RunError("the HttpApi is closed")
        try:
            await self._news.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise


class HttpApi:
    """All endpoints of `dms serve` (docs/serving.md) but its page, over the model of an AsyncLLM.

    >>> api = HttpApi(llm)
    >>> body = b'{"prompt": "It was a dark night", "stream": true}'
    >>> reply = await api.handle("POST", "/v1/completions", body=body)
    >>> async for piece in reply:
    ...     sys.stdout.buffer.write(piece)
    """

    def __init__(
        self,
        llm: AsyncLLM,
        *,
        served_model_name: str | Sequence[str] = (),
        chat_template: str | None = None,
        tool_parser: str = "",
        speculate: int = 0,
        strip_agent_headers: bool = False,
        api_keys: Sequence[str] = (),
        max_queue: int = 256,
        max_body: int = 1 << 24,
        max_untaken: int = 1 << 20,
        request_timeout: int = 0,
        documents: str | os.PathLike[str] | None = None,
        shared_documents: bool = False,
        slots: int = 8,
        slot_save_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """The options are those of `dms serve`.

        Args:
            llm: Computes, and goes on to answer others.
            served_model_name: What requests call the model; none: its folder's name.
            chat_template: A Jinja text, or "plain"; None: the folder's.
            tool_parser: How the model writes calls of tools; "": by the look of the template.
            speculate: Tokens guessed ahead, where a request says nothing.
            strip_agent_headers: Leave out lines by which agents make every prompt another.
            api_keys: One of them must be sent; none: everybody may ask.
            max_queue: Answers that may wait beside those that are computed.
            max_body: Bytes of a request.
            max_untaken: Bytes of a stream before a reader who does not take them is given up.
            request_timeout: Whole seconds for an answer; 0: no limit.
            documents: The folder of named documents; None: they are in memory alone.
            shared_documents: Others write to that folder too, and what they write counts.
            slots: Caches that stay for id_slot.
            slot_save_path: Where slots are saved to and restored from; None: nowhere.

        Raises:
            InputError: The model has no tokenizer, or an option is bad.
        """
        model = llm.llm
        settings = _core.ApiSettings()
        settings.api_keys = list(api_keys)
        settings.max_answers = model._max_num_seqs + max_queue
        settings.max_body_bytes = max_body
        settings.max_untaken_bytes = max_untaken
        settings.request_timeout_s = request_timeout
        settings.slots = slots
        settings.shared_documents = shared_documents
        if documents is not None:
            settings.documents = documents
        if slot_save_path is not None:
            settings.slot_save_path = slot_save_path
        options = _core.ApiOptions()
        options.model = model.model
        names = served_model_name
        options.names = [names] if isinstance(names, str) else list(names)
        options.chat_template = _template(chat_template)
        options.tool_parser = tool_parser
        options.speculate = speculate
        options.strip_agent_headers = strip_agent_headers
        core = _core.Api(model._engine, settings, options, model.cache.to_core())
        self._llm = llm
        self._core = core
        self._desk = _Desk(core)
        self._end = weakref.finalize(self, self._desk.stop)  # also before the interpreter ends
        llm._server.on_end.append(self._desk.stop)
        llm.check()  # else it has called them already

    async def handle(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> HttpReply:
        """Answers a request, whatever it is: what is wrong with it is an answer too.

        Args:
            method: "POST".
            target: Path and query, as they stand in a request's first line.
            headers: Names in any case.
            body: All of it.

        Raises:
            RunError: It has no answer, because this is closed or the engine has failed.
        """
        if self._desk.is_closed:
            raise RunError("the HttpApi is closed")
        reply = HttpReply(self._desk, self._core.submit(method, target, list(headers), body))
        self._desk.add(reply)
        return await reply.begin()

    async def close(self) -> None:
        """Ends all requests; the AsyncLLM goes on."""
        await asyncio.to_thread(self._end)


def _template(text: str | None) -> _core.GivenTemplate | None:
    if text is None:
        return None
    return _core.GivenTemplate.plain() if text == "plain" else _core.GivenTemplate(text)

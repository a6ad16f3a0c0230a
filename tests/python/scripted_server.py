"""A server that says what a test tells it to, good or bad, over a plain socket."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

from harness import HANG_GUARD_S

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"

Script = bytes | Callable[[socket.socket], None]


def chunk(content: str | None = None, finish: str | None = None, **fields: object) -> bytes:
    """One event of a chat's stream."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": {**delta, **fields}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def answer(text: str) -> bytes:
    return HEAD + chunk(text) + chunk(finish="stop") + DONE


class ScriptedServer:
    """Answers each connection by the next script: bytes, or what writes to the connection."""

    def __init__(self, *scripts: Script):
        self.requests: list[tuple[str, dict]] = []  # head and body of each
        self.refused_bytes = threading.Event()  # a script's bytes were no longer taken
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for script in self._scripts:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(HANG_GUARD_S)
                self._read_request(connection)
                try:
                    if callable(script):
                        script(connection)
                    else:
                        connection.sendall(script)
                except OSError:
                    self.refused_bytes.set()

    def _read_request(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        lines = [*iter(lambda: reader.readline().decode().strip(), "")]
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        body = reader.read(int(headers.get("content-length", 0)))
        self.requests.append(("\n".join(lines), json.loads(body) if body else {}))

    def close(self) -> None:
        """Every script has been played."""
        self._thread.join(HANG_GUARD_S)
        assert not self._thread.is_alive(), "not every script was asked for"
        self._listener.close()


@contextlib.contextmanager
def scripted(*scripts: Script) -> Iterator[ScriptedServer]:
    server = ScriptedServer(*scripts)
    yield server
    server.close()

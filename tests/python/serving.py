"""Runs `dms serve` and speaks HTTP with it, as clients do and as they should not."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import DEMO, HANG_GUARD_S, binary

LISTENING = re.compile(r"listening on http://([\d.]+):(\d+)")


class Server:
    """One process that serves a model on a port of its own."""

    def __init__(self, *args: object, model: Path = DEMO, port: int = 0, env: dict | None = None):
        # A file: nobody need read it for the server to go on. close() closes it.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [binary(), "serve", model, "--port", port, *args]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, **(env or {})},
        )
        found = until(lambda: LISTENING.search(self.log()) or self.process.poll() is not None)
        assert isinstance(found, re.Match), self.log()
        self.host, self.port = found[1], int(found[2])
        self.url = f"http://{self.host}:{self.port}"

    def log(self) -> str:
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()

    def wait_until_ready(self) -> Server:
        until(lambda: self.request("GET", "/health")[0] == 200 or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return self

    def request(
        self, method: str, path: str, body: object = None, headers: dict | None = None
    ) -> tuple[int, dict, str]:
        """Status, headers and body; a body that is no text is sent as JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=HANG_GUARD_S)
        with contextlib.closing(connection):
            data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()

    def post(self, path: str, body: object, **options) -> dict:
        """The answer to a good request."""
        status, _, text = self.request("POST", path, body, **options)
        assert status == 200, text
        return json.loads(text)

    def complete(self, prompt: object, **fields) -> dict:
        return self.post("/v1/completions", {"prompt": prompt, "temperature": 0, **fields})

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=HANG_GUARD_S)

    def metric(self, name: str) -> float:
        """The sum over its labels."""
        _, _, text = self.request("GET", "/metrics")
        values = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"no {name} in\n{text}"
        return sum(map(float, values))

    def is_idle(self) -> bool:
        """Nothing is asked, and the engine computes nothing and keeps nothing of it."""
        kinds = ("active", "running", "waiting")
        return all(self.metric(f"dms:num_requests_{kind}") == 0 for kind in kinds)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(signal_number)
        return self.process.wait(HANG_GUARD_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


def until(condition, guard_s: float = HANG_GUARD_S):
    """What `condition` returns once it is true."""
    end = time.monotonic() + guard_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


@contextlib.contextmanager
def serving(*args: object, **options) -> Iterator[Server]:
    """A server that is ready, and is gone afterwards."""
    server = Server(*args, **options)
    try:
        yield server.wait_until_ready()
    finally:
        server.close()


def request_text(path: str, body: str, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body.encode())}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Answers:
    """The answers on one connection, one after the other."""

    def __init__(self, connection: socket.socket):
        self._file = connection.makefile("rb")

    def next(self) -> tuple[int, str]:
        """Status and body."""
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return status, self._file.read(int(headers["Content-Length"])).decode()


def events(stream: str) -> list[dict]:
    """The chunks of a stream, which must end as it should."""
    lines = [line for line in stream.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines), stream
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]

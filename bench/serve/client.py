"""A client of the completions endpoint that times what it hears, on asyncio alone."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Heard:
    """One answer: its pieces, when they came (seconds after the request), and how it ended."""

    status: int = 0
    text: str = ""
    times: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status == 200 and not self.error


class Client:
    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.model = model

    async def send(
        self, method: str, path: str, body: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1 << 22)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        return reader, writer

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and body of an answer that comes at once."""
        data = b"" if body is None else json.dumps(body).encode()
        reader, writer = await self.send(method, path, data)
        raw = await reader.read()
        writer.close()
        head, _, rest = raw.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if b"transfer-encoding: chunked" in head.lower():
            rest = b"".join(rest.split(b"\r\n")[1::2])
        return status, rest.decode(errors="replace")

    async def complete(
        self, prompt: str, tokens: int, leave_after: int = -1, **more: object
    ) -> Heard:
        """Streams an answer to its end, or hangs up after `leave_after` pieces."""
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,
        }
        heard = Heard()
        begin = time.monotonic()
        reader, writer = await self.send("POST", "/v1/completions", json.dumps(body).encode())
        try:
            heard.status = int((await reader.readline()).split(b" ")[1])
            while (line := await reader.readline()) and not line.startswith(b"data: [DONE]"):
                if heard.status != 200:
                    heard.error += line.decode(errors="replace")
                elif line.startswith(b"data: "):
                    self.take(heard, json.loads(line[6:]), time.monotonic() - begin)
                if 0 <= leave_after <= len(heard.times):
                    break
        finally:
            writer.close()
        return heard

    @staticmethod
    def take(heard: Heard, event: dict, seconds: float) -> None:
        if "error" in event:
            heard.error = json.dumps(event["error"])
        for choice in event.get("choices", []):
            if choice.get("text"):
                heard.text += choice["text"]
                heard.times.append(seconds)
        if usage := event.get("usage"):
            heard.prompt_tokens = usage["prompt_tokens"]
            heard.completion_tokens = usage["completion_tokens"]
            details = usage.get("prompt_tokens_details") or {}
            heard.cached_tokens = details.get("cached_tokens", 0)

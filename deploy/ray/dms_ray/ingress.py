"""HTTP before the replicas. It holds no model, knows no endpoint's fields, and may run anywhere."""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from dms_ray.calls import Call, leading_text, object_of, pin_of
from dms_ray.errors import ApiError, replica_lost
from dms_ray.merged import merge
from dms_ray.prefixes import block_hashes
from dms_ray.settings import RoutingSettings

MAX_BODY_BYTES = 1 << 24
# How long a replica may take to say that it is there, or what it holds.
HEALTH_TIMEOUT_S = 10.0

_HEALTH = ("/health", "/livez")
# What needs no key.
_OPEN = (*_HEALTH, "/version")
# Answers that are made of those of all replicas.
_MERGED = ("/metrics", "/documents", "/slots")


class Ingress:
    """`engine` is the replicas' handle. `key_file` has the key that requests must carry; without
    one DMS_API_KEY of this process, if it is set, is the key."""

    def __init__(
        self, engine: DeploymentHandle[Any], routing: RoutingSettings, key_file: str = ""
    ) -> None:
        self._engine = engine
        self._answers = engine.options(stream=True, method_name="answer")
        self._routing = routing
        self._key = _read_key(key_file)
        self._heard = float("-inf")

    async def __call__(self, request: Request) -> Response:
        """Called by Ray with each HTTP request."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return _refuse(error, request.scope["path"])

    async def _answer(self, request: Request) -> Response:
        path: str = request.scope["path"]
        if "origin" in request.headers:
            raise ApiError(403, "web pages may not ask: any page could, on its reader's machine")
        if path not in _OPEN:
            self._check_key(request)
        is_read = request.method in ("GET", "HEAD")
        if is_read and path in _HEALTH:
            return await self._health()
        call = self._call(request, path, await _body(request))
        if is_read and path in _MERGED:
            return await self._merged(call, path)
        return await self._pass_on(call, path)

    def _call(self, request: Request, path: str, body: bytes) -> Call:
        target = quote(path)
        if query := request.scope["query_string"]:
            target += "?" + query.decode("latin-1")
        fields = object_of(body) if request.method == "POST" else {}
        routing = self._routing
        text = leading_text(path, fields, routing.block_chars * routing.max_blocks)
        kind = request.headers.get("content-type")
        return Call(
            method=request.method,
            target=target,
            headers=(("content-type", kind),) if kind else (),
            body=body,
            hashes=tuple(block_hashes(text, routing.block_chars, routing.max_blocks)),
            pin=pin_of(target, fields),
        )

    async def _health(self) -> Response:
        """200 where a replica answers, though it be so busy that it answers others alone."""
        try:
            await asyncio.wait_for(self._engine.context.remote(), HEALTH_TIMEOUT_S)
        except BackPressureError:
            pass
        except Exception:
            if time.monotonic() - self._heard < HEALTH_TIMEOUT_S:
                return JSONResponse({"status": "ok"})
            # Whatever it was, nobody answers.
            return JSONResponse({"status": "no replica answers"}, 503)
        return JSONResponse({"status": "ok"})

    async def _merged(self, call: Call, path: str) -> Response:
        try:
            asked: Any = self._engine.broadcast("whole", call)
            answers = await asked.results_async(timeout_s=HEALTH_TIMEOUT_S)
        except TimeoutError:
            raise ApiError(503, "a replica does not answer") from None
        except Exception as error:
            raise outcome(error) from error
        whole = {replica: body for replica, status, body in answers if status == 200}
        if not whole:
            raise ApiError(503, "no replica takes requests")
        body, kind = merge(path, whole)
        return Response(body, media_type=kind)

    async def _pass_on(self, call: Call, path: str) -> Response:
        events = self._events(call)
        replica = await anext(events)
        head = await anext(events) if isinstance(replica, str) else replica
        headers = {"X-Dms-Replica": replica} if isinstance(replica, str) else {}
        if isinstance(head, ApiError):
            await anext(events, None)  # its end
            return _refuse(head, path, headers)
        status, own = head
        headers |= dict(own)
        if headers.get("Content-Type", "").startswith("text/event-stream"):
            return StreamingResponse(_stream(events, path), status, headers)
        pieces = [piece async for piece in events]
        if pieces and isinstance(pieces[-1], ApiError):
            return _refuse(pieces[-1], path, headers)
        return Response(b"".join(pieces), status, headers)

    async def _events(self, call: Call) -> AsyncIterator[Any]:
        """What a replica says of a request (Engine.answer); an ApiError is the last."""
        response: Any = self._answers.remote(call)
        try:
            async for event in response:
                self._heard = time.monotonic()
                yield event
        except Exception as error:
            yield outcome(error)
        finally:
            response.cancel()

    def _check_key(self, request: Request) -> None:
        if not self._key:
            return
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        offered = [bearer if scheme.lower() == "bearer" else ""]
        offered.append(request.headers.get("x-api-key", ""))
        if not any(hmac.compare_digest(o.strip().encode(), self._key.encode()) for o in offered):
            message = "the key is missing or wrong: send Authorization: Bearer KEY, or x-api-key"
            raise ApiError(401, message, code="invalid_api_key")


def outcome(error: Exception) -> ApiError:
    """What a failed call means for its client."""
    if isinstance(error, BackPressureError):
        return ApiError(429, "too many requests are waiting", code="queue_full")
    if isinstance(error, RayTaskError) and not isinstance(error.cause, ActorDiedError):
        return ApiError(500, "the replica failed at this request")
    if isinstance(error, (RayError, DeploymentUnavailableError)):
        return replica_lost()
    return ApiError(500, "the request failed")


def _refuse(error: ApiError, path: str, headers: dict[str, str] | None = None) -> Response:
    own = {k: v for k, v in (headers or {}).items() if k.lower() == "x-dms-replica"}
    return JSONResponse(error.body(path), error.status, {**error.headers(), **own})


def _read_key(key_file: str) -> str:
    """Raises ValueError where the file has none: it must not stand open for a slip."""
    if not key_file:
        return os.environ.get("DMS_API_KEY", "")
    key = Path(key_file).read_text().strip()
    if not key or len(key.splitlines()) > 1:
        raise ValueError(f"args.api_key_file: {key_file}: expected one line, a key")
    return key


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ApiError(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


async def _stream(events: AsyncIterator[Any], path: str) -> AsyncIterator[bytes]:
    """A stream's bytes. A failure in the middle is an event of its own, the last one."""
    sent = 0
    async for piece in events:
        if isinstance(piece, ApiError):
            piece = piece.last_events(path, sent)
        sent += piece.count(b"\n\n")
        yield piece

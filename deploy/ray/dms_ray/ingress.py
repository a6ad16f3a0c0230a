"""HTTP: OpenAI's endpoints before the replicas. It holds no model and may run anywhere."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from dms_ray.asks import Ask, parse_chat, parse_completion
from dms_ray.errors import ApiError, replica_lost
from dms_ray.fields import parse_object

MAX_BODY_BYTES = 1 << 24
# How long a replica may take to say that it is there.
HEALTH_TIMEOUT_S = 10.0

_ENDPOINTS = {
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/models": "GET",
    "/health": "GET",
}
_MODEL_PREFIX = "/v1/models/"


class Ingress:
    """`engine` is the replicas' handle, `model` what requests call it. `key_file` has the key that
    requests must carry; without one DMS_API_KEY of this process, if it is set, is the key."""

    def __init__(self, engine: DeploymentHandle[Any], model: str, key_file: str = "") -> None:
        self._engine = engine
        self._answers = engine.options(stream=True, method_name="answer")
        self._model = model
        self._created = int(time.time())
        self._key = _read_key(key_file)
        self._heard = float("-inf")

    async def __call__(self, request: Request) -> Response:
        """Called by Ray with each HTTP request."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return _refuse(error)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        is_model = path.startswith(_MODEL_PREFIX)
        method = "GET" if is_model else _ENDPOINTS.get(path)
        if method is None:
            raise ApiError(404, "no such endpoint")
        if request.method != method:
            raise ApiError(405, f"this endpoint answers {method} only")
        if "origin" in request.headers:
            raise ApiError(403, "web pages may not ask: any page could, on its reader's machine")
        if path == "/health":
            return await self._health()
        self._check_key(request)
        if path == "/v1/chat/completions":
            return await self._complete(parse_chat(parse_object(await _body(request))))
        if path == "/v1/completions":
            return await self._complete(parse_completion(parse_object(await _body(request))))
        if is_model:
            self._check_model(path.removeprefix(_MODEL_PREFIX))
            return JSONResponse(self._entry())
        return JSONResponse({"object": "list", "data": [self._entry()]})

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

    async def _complete(self, ask: Ask) -> Response:
        self._check_model(ask.model or self._model)
        events = self._events(ask)
        replica = await anext(events)
        first = await anext(events, {}) if "error" not in replica else replica
        headers = {"X-Dms-Replica": replica.get("replica", "")}
        if "chunk" in first:
            stream = _server_sent(first, events)
            return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
        await anext(events, None)  # its end
        if "error" in first:
            return _refuse(first["error"], headers)
        return JSONResponse(first["whole"], headers=headers)

    async def _events(self, ask: Ask) -> AsyncIterator[dict[str, Any]]:
        """What a replica says of a request; an `error` is an ApiError, and the last."""
        response: Any = self._answers.remote(ask)
        try:
            async for event in response:
                self._heard = time.monotonic()
                if "error" in event:
                    event = {"error": _as_error(event)}
                yield event
        except Exception as error:
            yield {"error": outcome(error)}
        finally:
            response.cancel()

    def _entry(self) -> dict[str, Any]:
        return {
            "id": self._model,
            "object": "model",
            "created": self._created,
            "owned_by": "dms.cpp",
        }

    def _check_model(self, name: str) -> None:
        if name != self._model:
            message = f"model: is not served here (got {name[:200]}, expected {self._model})"
            raise ApiError(404, message, "model", "model_not_found")

    def _check_key(self, request: Request) -> None:
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(offered.strip().encode(), self._key.encode())
        if self._key and not (scheme.lower() == "bearer" and is_right):
            message = "the key is missing or wrong: send Authorization: Bearer KEY"
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


def _as_error(event: dict[str, Any]) -> ApiError:
    said = event["error"]["error"]
    return ApiError(event["status"], said["message"], said["param"], said["code"] or "")


def _refuse(error: ApiError, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(error.body(), error.status, {**error.headers(), **(headers or {})})


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


async def _server_sent(
    first: dict[str, Any], events: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[str]:
    """A stream's text. A failure in the middle is an event of its own, the last before the end."""
    event: dict[str, Any] | None = first
    while event:
        data = event["error"].body() if "error" in event else event["chunk"]
        yield f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
        event = await anext(events, None)
    yield "data: [DONE]\n\n"

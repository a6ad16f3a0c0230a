"""What is wrong with a request where no replica says it, in the words of the API it is of."""

from __future__ import annotations

import json
from typing import Any

# OpenAI's words, and Anthropic's.
_KINDS = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    403: ("permission_error", "permission_error"),
    405: ("invalid_request_error", "invalid_request_error"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_error"),
    503: ("service_unavailable_error", "overloaded_error"),
}
_OTHER = ("server_error", "api_error")
# Seconds after which another try is worth it.
_RETRY_AFTER = {429: "1", 503: "5"}


class ApiError(Exception):
    """A refusal with its HTTP status."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str = "") -> None:
        super().__init__(status, message, param, code)
        self.status = status
        self.message = message
        self.param = param
        self.code = code or None

    def body(self, path: str) -> dict[str, Any]:
        """The JSON of an answer to a request for `path`."""
        openai, anthropic = _KINDS.get(self.status, _OTHER)
        if _is_anthropic(path):
            return {"type": "error", "error": {"type": anthropic, "message": self.message}}
        error = {"message": self.message, "type": openai, "param": self.param, "code": self.code}
        return {"error": error}

    def last_events(self, path: str, events: int) -> bytes:
        """What ends a stream that so many events of have been sent."""
        if path == "/v1/responses":
            body: dict[str, Any] = {"type": "error", "code": self.code, "message": self.message}
            return _event({**body, "param": self.param, "sequence_number": events}, "error")
        if _is_anthropic(path):
            return _event(self.body(path), "error")
        return _event(self.body(path)) + b"data: [DONE]\n\n"

    def headers(self) -> dict[str, str]:
        """Those that belong to the status."""
        after = _RETRY_AFTER.get(self.status)
        return {"Retry-After": after} if after else {}


def _is_anthropic(path: str) -> bool:
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def _event(data: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def replica_lost() -> ApiError:
    """The replica ended while it had the request: the same request may be sent again."""
    return ApiError(503, "the replica that computed this ended; send it again", code="replica_lost")

"""What is wrong with a request, as OpenAI's API says it."""

from __future__ import annotations

from typing import Any

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}
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

    def body(self) -> dict[str, Any]:
        """The JSON of an answer, or of an event of a stream that has begun."""
        return {
            "error": {
                "message": self.message,
                "type": _KINDS.get(self.status, "server_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """Those that belong to the status."""
        after = _RETRY_AFTER.get(self.status)
        return {"Retry-After": after} if after else {}


def replica_lost() -> ApiError:
    """The replica ended while it had the request: the same request may be sent again."""
    return ApiError(503, "the replica that computed this ended; send it again", code="replica_lost")

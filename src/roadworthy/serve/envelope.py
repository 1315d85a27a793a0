"""The one shape that every error has on the wire."""

from __future__ import annotations

from typing import Any

from ..errors import RoadworthyError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


def envelope_of(error: RoadworthyError, request_id: str = "") -> dict[str, Any]:
    """Return `{"error": {…}}`; `type` is OpenAI's word for the status, which its clients know."""
    return {
        "error": {
            "code": error.code,
            "message": str(error),
            "type": _TYPES.get(error.status, "server_error"),
            "param": error.param,
            "request_id": request_id or None,
            "retryable": error.retryable,
        }
    }

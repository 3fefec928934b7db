"""Error responses: one per class of exception, and their declarations for the contract."""

import asyncio
import logging
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from lockstream.core.errors import (
    CursorRefused,
    InvalidKey,
    KeyEnded,
    KeysDamaged,
    KeysMissing,
    LockerNotAllowed,
    NotAllowed,
    NotAuthenticated,
    QuarantineOff,
    StoreUnavailable,
    TooManyLockers,
    TooManyToSort,
    UnknownKey,
)
from lockstream.presentation.http.event_stream import InvalidLastEventId
from lockstream.presentation.http.log_id import LOG, InvalidLogId
from lockstream.presentation.http.media_types import NotAcceptable
from lockstream.presentation.http.min_position import POSITION, InvalidMinPosition
from lockstream.presentation.http.query_parameters import InvalidQuery
from lockstream.presentation.http.telemetry.request_ids import REQUEST_ID, request_id_of
from lockstream.schemas.events import MalformedBody
from lockstream.schemas.outcomes import INTERNAL_ERROR
from lockstream.schemas.responses import ErrorBody
from lockstream.services.running.access.live_keys import KEY_MISSING
from lockstream.services.running.access.rate_limits import TooManyRequests
from lockstream.services.running.group_commit import STOPPING

RETRY_AFTER_SECONDS = 1

INTERNAL: dict[str, Any] = {
    "model": ErrorBody,
    "description": "An internal error of Lockstream. The server log has its traceback.",
}
"""Declares a response of 500."""

UNAVAILABLE: dict[str, Any] = {
    "model": ErrorBody,
    "description": "The ingest queue is full, or the log cannot be used. No event was acknowledged; try again later.",
    "headers": {
        "Retry-After": {
            "description": "Seconds to wait.",
            "required": True,
            "schema": {"type": "integer", "minimum": RETRY_AFTER_SECONDS},
        }
    },
}
"""Declares a response of 503."""

TOO_SLOW: dict[str, Any] = {
    "model": ErrorBody,
    "description": "The body arrived too slowly. Send all of it again; accepted events count once.",
}
"""Declares a response of 408."""

HEADERS_TOO_LARGE: dict[str, Any] = {"model": ErrorBody, "description": "The path and the headers are too large."}
"""Declares a response of 431."""

NOT_ACCEPTABLE: dict[str, Any] = {
    "model": ErrorBody,
    "description": "Accept names none of the media types of this response.",
}
"""Declares a response of 406."""

UNSUPPORTED: dict[str, Any] = {
    "model": ErrorBody,
    "description": "The body has another media type, or is compressed in another way than by gzip.",
    "headers": {
        "Accept-Encoding": {
            "description": "The supported compression, if the compression was wrong.",
            "schema": {"type": "string"},
        }
    },
}
"""Declares a response of 415."""

_REALM = 'Bearer realm="lockstream"'

logger = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    """Raised when a body exceeds a limit. The text names the limit and its setting."""


class UnsupportedMediaType(Exception):
    """Raised when a body has a media type that its operation does not accept."""

    def __init__(self, request: Request, *supported: str) -> None:
        given = request.headers["content-type"].partition(";")[0].strip()
        super().__init__(f"The Content-Type {given!r} is not supported. Send {' or '.join(supported)}.")


class UnsupportedEncoding(Exception):
    """Raised when a body is compressed in another way than by gzip."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"The Content-Encoding {encoding!r} is not supported. Send the body as it is, or use gzip.")


def error_response(request: Request, error: BaseException) -> Response:
    """Return the response to a request that raised `error`. No response contains a traceback."""
    match error:
        case MalformedBody():
            return JSONResponse({"detail": error.errors}, 422)
        case StoreUnavailable() | KeysDamaged() | KeysMissing():
            return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        case TooManyRequests():
            refused = {"detail": str(error), "code": error.code}
            return JSONResponse(refused, 429, {"Retry-After": str(error.retry_after)})
        case CursorRefused():
            body = {"detail": str(error), "code": error.code, "log": error.log_id, "head": error.head}
            return JSONResponse(body, 409, {LOG: error.log_id, POSITION: str(error.head)})
        case LockerNotAllowed():
            return JSONResponse({"detail": str(error), "code": error.code}, 403)
        case NotAuthenticated():
            headers = {"WWW-Authenticate": _challenge(error.code)}
            return JSONResponse({"detail": str(error), "code": error.code}, 401, headers)
        case NotAllowed():
            scope = f', scope="{error.missing}"' if error.missing else ""
            challenge = {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"{scope}'}
            return JSONResponse({"detail": str(error), "code": error.code}, 403, challenge)
        case InvalidKey():
            return JSONResponse({"detail": str(error)}, 422)
        case KeyEnded():
            return JSONResponse({"detail": str(error)}, 409)
        case QuarantineOff() | UnknownKey():
            return JSONResponse({"detail": str(error)}, 404)
        case InvalidLastEventId() | InvalidLogId() | InvalidMinPosition() | InvalidQuery():
            return JSONResponse({"detail": str(error)}, 422)
        case TooManyLockers() | TooManyToSort():
            return JSONResponse({"detail": str(error)}, 422)
        case NotAcceptable():
            return JSONResponse({"detail": str(error)}, 406)
        case BodyTooLarge():
            return JSONResponse({"detail": str(error)}, 413)
        case UnsupportedMediaType():
            return JSONResponse({"detail": str(error)}, 415)
        case UnsupportedEncoding():
            return JSONResponse({"detail": str(error)}, 415, {"Accept-Encoding": "gzip"})
        case HTTPException():
            return JSONResponse({"detail": error.detail}, error.status_code, _with_head(error.headers))
        case asyncio.CancelledError():  # LOCKSTREAM_STOP_SECONDS are over, and the server stops
            return error_response(request, StoreUnavailable(STOPPING))
        case ClientDisconnect():
            return Response(status_code=400)  # the client has closed the connection, and reads no response
        case _:
            request_id, is_new = request_id_of(request.scope)
            logger.error(
                "%s %s failed",
                request.method,
                request.url.path,
                exc_info=error,
                extra={"event_name": "request_failed", "request_id": request_id},
            )
            return JSONResponse({"detail": INTERNAL_ERROR}, 500, {REQUEST_ID: request_id} if is_new else None)


def _challenge(code: str) -> str:
    """Return the value of `WWW-Authenticate` (RFC 6750, section 3). For a request without a key, it names no error."""
    if code == KEY_MISSING:
        return _REALM
    return f'{_REALM}, error="invalid_token", error_description="{code}"'


def _with_head(headers: Any) -> dict[str, str]:
    """Add HEAD to the methods in the header `Allow`, because every GET operation also answers HEAD."""
    return {
        name: f"{value}, HEAD" if name.lower() == "allow" and "GET" in value and "HEAD" not in value else value
        for name, value in (headers or {}).items()
    }

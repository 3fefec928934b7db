"""What goes wrong, as HTTP says it."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from lockstream.core.errors import StoreUnavailable
from lockstream.schemas.answers import Problem
from lockstream.schemas.events import MalformedBody

RETRY_AFTER_SECONDS = 1

UNAVAILABLE: dict[str, Any] = {
    "model": Problem,
    "description": "Too much is waiting, or the files cannot be used. Nothing was acknowledged; try again later.",
    "headers": {
        "Retry-After": {
            "description": "Seconds to wait.",
            "required": True,
            "schema": {"type": "integer", "minimum": RETRY_AFTER_SECONDS},
        }
    },
}
"""How an answer of 503 is declared."""

logger = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes. LOCKSTREAM_MAX_EVENT_BYTES sets the limit.")


class UnsupportedMediaType(Exception):
    def __init__(self, media_type: str) -> None:
        super().__init__(f"An event is sent as application/json, not as {media_type!r}.")


def add_problem_handlers(app: FastAPI) -> None:
    """Have each kind of error answered in its own way, and none with a traceback."""
    app.exception_handler(MalformedBody)(_malformed)
    app.exception_handler(StoreUnavailable)(_unavailable)
    app.exception_handler(BodyTooLarge)(_too_large)
    app.exception_handler(UnsupportedMediaType)(_unsupported)
    app.exception_handler(ClientDisconnect)(_gone)
    app.exception_handler(Exception)(_unexpected)


async def _malformed(_: Request, error: MalformedBody) -> JSONResponse:
    return JSONResponse({"detail": error.errors}, 422)


async def _unavailable(_: Request, error: StoreUnavailable) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})


async def _too_large(_: Request, error: BodyTooLarge) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 413)


async def _unsupported(_: Request, error: UnsupportedMediaType) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 415)


async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
    """The client hung up in the middle of its body: nothing was taken in, and nobody hears this answer."""
    return Response(status_code=400)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"detail": "A fault of Lockstream's own; its log on standard error says more."}, 500)

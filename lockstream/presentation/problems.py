"""What goes wrong, as HTTP says it."""

import asyncio
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.errors import StoreUnavailable
from lockstream.presentation.positions import NoPosition
from lockstream.schemas.answers import Problem
from lockstream.schemas.events import MalformedBody
from lockstream.schemas.outcomes import FAULT_DETAIL

RETRY_AFTER_SECONDS = 1

FAULT: dict[str, Any] = {"model": Problem, "description": "A fault of Lockstream's own. It says more where it runs."}
"""How an answer of 500 is declared."""

UNAVAILABLE: dict[str, Any] = {
    "model": Problem,
    "description": "Too much is waiting, or the files cannot be used. No event was acknowledged; try again later.",
    "headers": {
        "Retry-After": {
            "description": "Seconds to wait.",
            "required": True,
            "schema": {"type": "integer", "minimum": RETRY_AFTER_SECONDS},
        }
    },
}
"""How an answer of 503 is declared."""

TOO_SLOW: dict[str, Any] = {
    "model": Problem,
    "description": "The body came in too slowly. Send all of it again: what was accepted counts once.",
}
"""How an answer of 408 is declared."""

HEADERS_TOO_LARGE: dict[str, Any] = {"model": Problem, "description": "The path and headers are too large."}
"""How an answer of 431 is declared."""

UNSUPPORTED: dict[str, Any] = {
    "model": Problem,
    "description": "The body is of another media type, or compressed in another way than by gzip.",
    "headers": {
        "Accept-Encoding": {
            "description": "What it may be compressed by, where that was wrong.",
            "schema": {"type": "string"},
        }
    },
}
"""How an answer of 415 is declared."""

logger = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    """The text says what is too large, and what to do about it."""


class UnsupportedMediaType(Exception):
    def __init__(self, media_type: str, *supported: str) -> None:
        super().__init__(f"The body is sent as {' or '.join(supported)}, not as {media_type!r}.")


class UnsupportedEncoding(Exception):
    def __init__(self, encoding: str) -> None:
        super().__init__(f"The body is sent as it is or with Content-Encoding gzip, not {encoding!r}.")


class Handed(Response):
    """The answer that an ASGI application gives."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def add_problem_handlers(app: FastAPI) -> None:
    """Have each kind of error answered in its own way, and none with a traceback."""
    for kind in (StoreUnavailable, ClientDisconnect, Exception):
        app.exception_handler(kind)(answer_problem)


async def answer_problem(request: Request, error: BaseException) -> Response:
    """What is answered where `error` came out of a request."""
    match error:
        case MalformedBody():
            return JSONResponse({"detail": error.errors}, 422)
        case StoreUnavailable():
            return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        case NoPosition():
            return JSONResponse({"detail": str(error)}, 422)
        case BodyTooLarge():
            return JSONResponse({"detail": str(error)}, 413)
        case UnsupportedMediaType():
            return JSONResponse({"detail": str(error)}, 415)
        case UnsupportedEncoding():
            return JSONResponse({"detail": str(error)}, 415, {"Accept-Encoding": "gzip"})
        case asyncio.CancelledError():  # the server stops, and has waited for as long as it may
            return await answer_problem(request, StoreUnavailable("Lockstream is stopping. Send it again."))
        case ClientDisconnect():
            return Response(status_code=400)  # it hung up in the middle of its body: nobody hears this
        case _:
            logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return JSONResponse({"detail": FAULT_DETAIL}, 500)

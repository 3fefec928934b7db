"""Liveness and readiness, for load balancers and for the supervisor that restarts the process."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lockstream.core.errors import StoreUnavailable
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import HEADERS_TOO_LARGE, INTERNAL, UNAVAILABLE
from lockstream.schemas.responses import HealthResponse

router = APIRouter(prefix="/health", tags=["health"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    431: HEADERS_TOO_LARGE,
    500: INTERNAL,
    503: UNAVAILABLE | {"description": "No event is accepted now. `detail` names the reason and the next step."},
}


@router.get("/live", response_model=HealthResponse, responses={431: HEADERS_TOO_LARGE})
async def get_live(_: Request) -> Response:
    """Liveness: 200 while the process answers. Restart the process if this fails."""
    return JSONResponse({"status": "live"})


@router.get("/ready", response_model=HealthResponse, responses=_RESPONSES)
async def get_ready(request: Request) -> Response:
    """Readiness: 200 while the server accepts events. Reads may still work when this returns 503."""
    if reason := lockstream_of(request).unavailable_reason:
        raise StoreUnavailable(reason)
    return JSONResponse({"status": "ready"})

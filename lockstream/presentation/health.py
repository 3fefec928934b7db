"""Whether the server answers, and whether it would take in an event: for load balancers and whoever restarts it.

Some of them send HEAD, which is answered as GET is, without the body; the contract says GET alone.
"""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from lockstream.core.errors import StoreUnavailable
from lockstream.presentation.problems import FAULT, HEADERS_TOO_LARGE, UNAVAILABLE
from lockstream.presentation.running import CurrentLockstream
from lockstream.schemas.answers import HealthAnswer

router = APIRouter(prefix="/health", tags=["health"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    431: HEADERS_TOO_LARGE,
    500: FAULT,
    503: UNAVAILABLE | {"description": "An event would not be taken in now; `detail` says why, and what to do."},
}


@router.head("/live", include_in_schema=False)
@router.get("/live", response_model=HealthAnswer, responses={431: HEADERS_TOO_LARGE})
async def get_live() -> Response:
    """The process answers. Restart it where this fails."""
    return JSONResponse({"status": "live"})


@router.head("/ready", include_in_schema=False)
@router.get("/ready", response_model=HealthAnswer, responses=_RESPONSES)
async def get_ready(lockstream: CurrentLockstream) -> Response:
    """An event would be taken in now. Reads may be answered where this fails."""
    if obstacle := lockstream.obstacle:
        raise StoreUnavailable(obstacle)
    return JSONResponse({"status": "ready"})

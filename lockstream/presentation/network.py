"""GET: what the network looks like now."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.presentation.positions import MAX_POSITION, MIN_POSITION, POSITION, LeastPosition, least_position
from lockstream.presentation.problems import FAULT, HEADERS_TOO_LARGE, UNAVAILABLE, answer_problem
from lockstream.presentation.running import CurrentLockstream, Running
from lockstream.schemas.answers import CompartmentAnswer, LockerAnswer, Problem, ReservationAnswer
from lockstream.services.lockstream import Lockstream

router = APIRouter(tags=["network"])

_REFLECTED: dict[str, Any] = {
    POSITION: {
        "description": "Up to which position the log is reflected in this answer, at least.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    }
}

_REFLECTED_IF_ANY: dict[str, Any] = {POSITION: _REFLECTED[POSITION] | {"required": False}}
"""Where the path is none that there is, nobody has looked."""

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"headers": _REFLECTED},
    404: {"model": Problem, "description": "No accepted event has named it.", "headers": _REFLECTED_IF_ANY},
    422: {"model": Problem, "description": f"{MIN_POSITION} is no position."},
    431: HEADERS_TOO_LARGE,
    500: FAULT,
    503: UNAVAILABLE
    | {"description": "What was acknowledged, or asked for, cannot be shown for now; try again later."},
}

_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": MIN_POSITION,
            "in": "header",
            "required": False,
            "description": "The position, as in the answer to an event, that must be reflected: it is waited for "
            "briefly, then 503.",
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_POSITION},
        }
    ]
}


@router.get("/lockers/{locker_id}", response_model=LockerAnswer, responses=_RESPONSES, openapi_extra=_PARAMETERS)
async def get_locker(locker_id: str, lockstream: CurrentLockstream, least: LeastPosition) -> Response:
    """What a locker holds now."""
    locker, position = await lockstream.locker(locker_id, least)
    if locker:
        return _json(LockerAnswer.of(locker), position)
    return _missing(f"There is no locker {locker_id!r}.", position)


@router.get(
    "/lockers/{locker_id}/compartments/{compartment_id}",
    response_model=CompartmentAnswer,
    responses=_RESPONSES,
    openapi_extra=_PARAMETERS,
)
async def get_compartment(
    locker_id: str, compartment_id: str, lockstream: CurrentLockstream, least: LeastPosition
) -> Response:
    """What a compartment holds now."""
    compartment, position = await lockstream.compartment(locker_id, compartment_id, least)
    if compartment:
        return _json(CompartmentAnswer.of(compartment), position)
    return _missing(f"Locker {locker_id!r} has no compartment {compartment_id!r}.", position)


@router.get(
    "/reservations/{reservation_id}", response_model=ReservationAnswer, responses=_RESPONSES, openapi_extra=_PARAMETERS
)
async def get_reservation(reservation_id: str, lockstream: CurrentLockstream, least: LeastPosition) -> Response:
    """How far a reservation has come."""
    reservation, position = await lockstream.reservation(reservation_id, least)
    if reservation:
        return _json(ReservationAnswer.of(reservation), position)
    return _missing(f"There is no reservation {reservation_id!r}.", position)


def reader(path: str) -> ASGIApp | None:
    """What answers GET of a path, where that is one of the reads above."""
    match path.split("/"):
        case ["", "lockers", str(locker_id)] if locker_id:
            return _Reader(partial(get_locker, locker_id))
        case ["", "lockers", str(locker_id), "compartments", str(compartment_id)] if locker_id and compartment_id:
            return _Reader(partial(get_compartment, locker_id, compartment_id))
        case ["", "reservations", str(reservation_id)] if reservation_id:
            return _Reader(partial(get_reservation, reservation_id))
        case _:
            return None


class _Reader:
    """A read in front of FastAPI, answered by the same function as its route."""

    def __init__(self, read: Callable[[Lockstream, int], Awaitable[Response]]) -> None:
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            running: Running = scope["app"].state.running
            response = await self._read(running.get(), least_position(scope))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # FastAPI, which would catch it, is not there
            response = await answer_problem(Request(scope), error)
        await response(scope, receive, send)


def _json(answer: LockerAnswer | CompartmentAnswer | ReservationAnswer, position: int) -> Response:
    """FastAPI would hold an answer to its model once more: what was made by that model needs no such care."""
    return Response(answer.model_dump_json(), media_type="application/json", headers={POSITION: str(position)})


def _missing(detail: str, position: int) -> Response:
    return JSONResponse({"detail": detail}, 404, {POSITION: str(position)})

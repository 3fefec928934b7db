"""GET: what the network looks like now."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.presentation.problems import FAULT, HEADERS_TOO_LARGE, UNAVAILABLE, answer_problem
from lockstream.presentation.running import CurrentLockstream, Running
from lockstream.schemas.answers import CompartmentAnswer, LockerAnswer, Problem, ReservationAnswer
from lockstream.services.lockstream import Lockstream

router = APIRouter(tags=["network"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No accepted event has named it."},
    431: HEADERS_TOO_LARGE,
    500: FAULT,
    503: UNAVAILABLE | {"description": "What was acknowledged cannot be shown for now; try again later."},
}


@router.get("/lockers/{locker_id}", response_model=LockerAnswer, responses=_RESPONSES)
async def get_locker(locker_id: str, lockstream: CurrentLockstream) -> Response:
    """What a locker holds now."""
    if locker := await lockstream.locker(locker_id):
        return _json(LockerAnswer.of(locker))
    return _missing(f"There is no locker {locker_id!r}.")


@router.get(
    "/lockers/{locker_id}/compartments/{compartment_id}", response_model=CompartmentAnswer, responses=_RESPONSES
)
async def get_compartment(locker_id: str, compartment_id: str, lockstream: CurrentLockstream) -> Response:
    """What a compartment holds now."""
    if compartment := await lockstream.compartment(locker_id, compartment_id):
        return _json(CompartmentAnswer.of(compartment))
    return _missing(f"Locker {locker_id!r} has no compartment {compartment_id!r}.")


@router.get("/reservations/{reservation_id}", response_model=ReservationAnswer, responses=_RESPONSES)
async def get_reservation(reservation_id: str, lockstream: CurrentLockstream) -> Response:
    """How far a reservation has come."""
    if reservation := await lockstream.reservation(reservation_id):
        return _json(ReservationAnswer.of(reservation))
    return _missing(f"There is no reservation {reservation_id!r}.")


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

    def __init__(self, read: Callable[[Lockstream], Awaitable[Response]]) -> None:
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            running: Running = scope["app"].state.running
            response = await self._read(running.get())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # FastAPI, which would catch it, is not there
            response = await answer_problem(Request(scope), error)
        await response(scope, receive, send)


def _json(answer: LockerAnswer | CompartmentAnswer | ReservationAnswer) -> Response:
    """FastAPI would hold an answer to its model once more: what was made by that model needs no such care."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _missing(detail: str) -> Response:
    return JSONResponse({"detail": detail}, 404)

"""GET: what the network looks like now."""

from typing import Any

from fastapi import APIRouter, HTTPException, Response

from lockstream.presentation.problems import FAULT, UNAVAILABLE
from lockstream.presentation.running import CurrentLockstream
from lockstream.schemas.answers import CompartmentAnswer, LockerAnswer, Problem, ReservationAnswer

router = APIRouter(tags=["network"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No accepted event has named it."},
    500: FAULT,
    503: UNAVAILABLE | {"description": "What was acknowledged cannot be shown for now; try again later."},
}


@router.get("/lockers/{locker_id}", response_model=LockerAnswer, responses=_RESPONSES)
async def get_locker(locker_id: str, lockstream: CurrentLockstream) -> Response:
    """What a locker holds now."""
    if locker := await lockstream.locker(locker_id):
        return _json(LockerAnswer.of(locker))
    raise HTTPException(404, f"There is no locker {locker_id!r}.")


@router.get(
    "/lockers/{locker_id}/compartments/{compartment_id}", response_model=CompartmentAnswer, responses=_RESPONSES
)
async def get_compartment(locker_id: str, compartment_id: str, lockstream: CurrentLockstream) -> Response:
    """What a compartment holds now."""
    if compartment := await lockstream.compartment(locker_id, compartment_id):
        return _json(CompartmentAnswer.of(compartment))
    raise HTTPException(404, f"Locker {locker_id!r} has no compartment {compartment_id!r}.")


@router.get("/reservations/{reservation_id}", response_model=ReservationAnswer, responses=_RESPONSES)
async def get_reservation(reservation_id: str, lockstream: CurrentLockstream) -> Response:
    """How far a reservation has come."""
    if reservation := await lockstream.reservation(reservation_id):
        return _json(ReservationAnswer.of(reservation))
    raise HTTPException(404, f"There is no reservation {reservation_id!r}.")


def _json(answer: LockerAnswer | CompartmentAnswer | ReservationAnswer) -> Response:
    """FastAPI would hold an answer to its model once more: what was made by that model needs no such care."""
    return Response(answer.model_dump_json(), media_type="application/json")

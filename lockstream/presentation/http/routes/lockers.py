"""Reads of one locker or one compartment."""

from fastapi import APIRouter, Request, Response

from lockstream.presentation.http.routes.reads import PARAMETERS, RESPONSES, answer_read
from lockstream.schemas.responses import CompartmentStatus, LockerSummary

router = APIRouter(prefix="/lockers", tags=["network"])


@router.get("/{locker_id}", response_model=LockerSummary, responses=RESPONSES, openapi_extra=PARAMETERS)
async def get_locker(request: Request, locker_id: str) -> Response:
    """The present state of a locker."""
    return await answer_read(
        request,
        lambda reads: reads.locker(locker_id),
        LockerSummary.of,
        f"There is no locker {locker_id!r}. Its first CompartmentRegistered event creates it.",
    )


@router.get(
    "/{locker_id}/compartments/{compartment_id}",
    response_model=CompartmentStatus,
    responses=RESPONSES,
    openapi_extra=PARAMETERS,
)
async def get_compartment(request: Request, locker_id: str, compartment_id: str) -> Response:
    """The present state of a compartment."""
    return await answer_read(
        request,
        lambda reads: reads.compartment(locker_id, compartment_id),
        CompartmentStatus.of,
        f"Locker {locker_id!r} has no compartment {compartment_id!r}. Its CompartmentRegistered event creates it.",
    )

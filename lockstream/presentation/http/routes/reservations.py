"""Reads of one reservation."""

from fastapi import APIRouter, Request, Response

from lockstream.presentation.http.routes.reads import PARAMETERS, RESPONSES, answer_read
from lockstream.schemas.responses import ReservationStatus

router = APIRouter(prefix="/reservations", tags=["network"])


@router.get("/{reservation_id}", response_model=ReservationStatus, responses=RESPONSES, openapi_extra=PARAMETERS)
async def get_reservation(request: Request, reservation_id: str) -> Response:
    """The present status of a reservation."""
    return await answer_read(
        request,
        lambda reads: reads.reservation(reservation_id),
        ReservationStatus.of,
        f"There is no reservation {reservation_id!r}. Its ReservationCreated event creates it.",
    )

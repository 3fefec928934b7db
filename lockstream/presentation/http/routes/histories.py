"""Accepted events: one by its id, and the history of a reservation."""

import re

from fastapi import APIRouter, Request, Response
from msgspec import Raw

from lockstream.core.entities.fields import UUID
from lockstream.core.entities.subjects import ReservationSubject
from lockstream.core.use_cases.history import ReservationHistory, reservation_history
from lockstream.presentation.http.routes.reads import (
    PARAMETERS,
    RESPONSES,
    Responses,
    answer_read,
    answer_subject,
    responses_of,
)
from lockstream.schemas.records import EventPage, RecordedEvent

router = APIRouter(tags=["events"])

_UUID = re.compile(UUID)

_EXAMPLE = RecordedEvent(
    81377,
    "2026-11-23T17:40:12.250000Z",
    "0190a5e0-0000-4000-8000-000000000003",
    "2026-11-23T18:40:11+01:00",
    "station-7",
    "ParcelDeposited",
    Raw(b'{"reservation_id":"parcel-77","weight_kg":1.50}'),
    "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
)
_PRESENT: Responses = {status: RESPONSES[status] for status in (404, 422)}


@router.get(
    "/events/{event_id}",
    response_model=None,
    responses=responses_of(_EXAMPLE, "The event.", _PRESENT),
    openapi_extra=PARAMETERS,
)
async def get_event(request: Request, event_id: str) -> Response:
    """An accepted event, as it was sent, with its position, time of acceptance and chain value."""
    return await answer_read(
        request,
        lambda reads: reads.event(event_id.lower()) if _UUID.fullmatch(event_id) else None,
        RecordedEvent.of,
        f"No accepted event has the id {event_id!r}. Refused events are not in the log.",
    )


@router.get(
    "/reservations/{reservation_id}/events",
    response_model=None,
    responses=responses_of(EventPage([_EXAMPLE], None), "The events of the reservation.", _PRESENT),
    openapi_extra=PARAMETERS,
)
async def get_reservation_events(request: Request, reservation_id: str) -> Response:
    """The accepted events of a reservation, from the oldest to the newest."""
    return await answer_subject(
        request, ReservationSubject(reservation_id), lambda reads: reservation_history(reads, reservation_id), _page
    )


def _page(history: ReservationHistory) -> EventPage:
    return EventPage([RecordedEvent.of(record) for record in history.records], None)

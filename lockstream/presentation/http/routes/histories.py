"""Accepted events: one by its id, and the history of a locker, a compartment or a reservation."""

from fastapi import APIRouter, Request, Response
from msgspec import Raw

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.fields import is_uuid
from lockstream.core.entities.listings import Rows
from lockstream.core.entities.log import Record
from lockstream.core.entities.subjects import (
    CompartmentSubject,
    LockerSubject,
    ReservationSubject,
    Subject,
)
from lockstream.core.ports import Listings
from lockstream.core.use_cases.history import EventFilter, recorded_events
from lockstream.presentation.http.query_parameters import QueryParameters, choice, position_or_instant, word
from lockstream.presentation.http.routes.shared.lists import PagedList, Source
from lockstream.presentation.http.routes.shared.pages import Order
from lockstream.presentation.http.routes.shared.reads import PARAMETERS, RESPONSES, answer_read, responses_of
from lockstream.schemas.instants import Instant, position_of
from lockstream.schemas.records import EventPage, RecordedEvent

router = APIRouter(tags=["events"])

EXAMPLE = RecordedEvent(
    position=81377,
    recorded_at="2026-11-23T17:40:12.250000Z",
    recorded_by="k7TqW2xA",
    event_id="0190a5e0-0000-4000-8000-000000000003",
    occurred_at="2026-11-23T18:40:11+01:00",
    locker_id="station-7",
    type="ParcelDeposited",
    payload=Raw(b'{"reservation_id":"parcel-77","weight_kg":1.50}'),
    chain="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
)
_TYPE = word("type", EVENT_TYPES, "Events of this type.")
_ORDER = choice("order", Order, Order.ASC, "`asc` has the oldest first, as the log has them.")
_SINCE = position_or_instant("since", "Events at this position or later, or that were accepted at this time or later.")
_UNTIL = position_or_instant("until", "Events up to this position, or that were accepted at this time or before.")

_NO_PARAMETERS = QueryParameters()

_OF_LOCKER, _OF_COMPARTMENT, _OF_RESERVATION = (
    PagedList[Record](name, RecordedEvent, EventPage, _TYPE, _ORDER, _SINCE, _UNTIL)
    for name in ("locker-events", "compartment-events", "reservation-events")
)
_EVENTS_RESPONSES = _OF_LOCKER.responses(EXAMPLE, {404: RESPONSES[404]})


@router.get(
    "/events/{event_id}",
    response_model=None,
    responses=responses_of(EXAMPLE, "The event.", {status: RESPONSES[status] for status in (404, 422)}),
    openapi_extra=PARAMETERS,
)
async def get_event(request: Request, event_id: str) -> Response:
    """An accepted event, as it was sent, with its position, time of acceptance and chain value."""
    _NO_PARAMETERS.parse(request)
    return await answer_read(
        request,
        lambda reads: reads.event(event_id.lower()) if is_uuid(event_id) else None,
        RecordedEvent.of,
        f"No accepted event has the id {event_id!r}. Refused events are not in the log.",
    )


@router.get(
    "/lockers/{locker_id}/events",
    response_model=None,
    responses=_EVENTS_RESPONSES,
    openapi_extra=_OF_LOCKER.parameters,
)
async def get_locker_events(request: Request, locker_id: str) -> Response:
    """The accepted events of a locker, each as its line of the log."""
    return await _answer_events(request, _OF_LOCKER, LockerSubject(locker_id))


@router.get(
    "/lockers/{locker_id}/compartments/{compartment_id}/events",
    response_model=None,
    responses=_EVENTS_RESPONSES,
    openapi_extra=_OF_COMPARTMENT.parameters,
)
async def get_compartment_events(request: Request, locker_id: str, compartment_id: str) -> Response:
    """The accepted events of a compartment, its reservations and its faults, each as its line of the log."""
    return await _answer_events(request, _OF_COMPARTMENT, CompartmentSubject(locker_id, compartment_id))


@router.get(
    "/reservations/{reservation_id}/events",
    response_model=None,
    responses=_EVENTS_RESPONSES,
    openapi_extra=_OF_RESERVATION.parameters,
)
async def get_reservation_events(request: Request, reservation_id: str) -> Response:
    """The accepted events of a reservation, each as its line of the log."""
    return await _answer_events(request, _OF_RESERVATION, ReservationSubject(reservation_id))


async def _answer_events(request: Request, events: PagedList[Record], subject: Subject) -> Response:
    values = events.parse(request)
    event_type, order, since, until = values[_TYPE], values[_ORDER], values[_SINCE], values[_UNTIL]
    has_time = isinstance(since, Instant) or isinstance(until, Instant)

    def page(listings: Listings, after: int | None, limit: int) -> Rows[Record] | None:
        first, last = _bounds(listings, since, until)
        wanted = EventFilter(EVENT_TYPES[event_type] if event_type else None, order is Order.DESC, first, last)
        return recorded_events(listings, subject, wanted, after, limit)

    source: Source[Record, int] = Source(
        int,
        lambda record: record.end.position,
        page,
        subject,
        depends_on=None if has_time else subject,
    )
    return await events.answer(request, values, source)


def _bounds(listings: Listings, since: int | Instant | None, until: int | Instant | None) -> tuple[int, int | None]:
    """Return the lowest and the highest position that `since` and `until` allow."""
    first = listings.position_at(since.last_before) + 1 if isinstance(since, Instant) else since or 0
    return first, None if until is None else position_of(listings, until)

"""The list of reservations, and the read of one."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from lockstream.core.entities.listings import ReservationOrder, ReservationQuery
from lockstream.core.entities.state import Reservation, Status
from lockstream.core.entities.subjects import LockerSubject, ReservationSubject
from lockstream.core.ports import Listings
from lockstream.core.use_cases.history import reservation_history
from lockstream.presentation.http.query_parameters import InvalidQuery, Values, choice, identifier, instant
from lockstream.presentation.http.routes.shared.lists import PagedList, Source, paged
from lockstream.presentation.http.routes.shared.pages import Order
from lockstream.presentation.http.routes.shared.reads import (
    AT,
    AT_AND_OTHERS,
    RESPONSES_AT,
    answer_subject,
    parameters_of,
    responses_of,
)
from lockstream.schemas.instants import positions_between
from lockstream.schemas.listings import ReservationItem, ReservationPage
from lockstream.schemas.records import ReservationState, ReservationStep
from lockstream.schemas.responses import ReservationStatus

router = APIRouter(prefix="/reservations", tags=["network"])

_STATUS = choice("status", Status, None, "Reservations with this status.")
_LOCKER_ID = identifier("locker_id", "Reservations of this locker.")
_CHANGED_BEFORE = instant("changed_before", "Reservations that got their status before this time.")
_CHANGED_AFTER = instant("changed_after", "Reservations that got their status after this time.")
_SORT = choice(
    "sort",
    ReservationOrder,
    ReservationOrder.CHANGED,
    "`changed`: by the time at which a reservation got its status. `id`: by its id, without `changed_before` and "
    "`changed_after`.",
)
_ORDER = choice("order", Order, Order.ASC, "`asc` has the oldest, or the lowest id, first.")

_RESERVATIONS: PagedList[Reservation] = PagedList(
    "reservations",
    ReservationItem,
    ReservationPage,
    *(_STATUS, _LOCKER_ID, _CHANGED_BEFORE, _CHANGED_AFTER, _SORT, _ORDER),
)

_EXAMPLE = ReservationItem(
    reservation_id="parcel-77",
    locker_id="station-7",
    compartment_id="A1",
    status=Status.DEPOSITED,
    created_at="2026-11-23T08:15:00.000000Z",
    created_position=81204,
    deposited_at="2026-11-23T17:40:12.250000Z",
    deposited_position=81377,
    changed_at="2026-11-23T17:40:12.250000Z",
    changed_position=81377,
)

_STATE_EXAMPLE = ReservationState(
    "parcel-77",
    "station-7",
    "A1",
    Status.DEPOSITED,
    [
        ReservationStep(
            status=Status.CREATED,
            position=81204,
            recorded_at="2026-11-23T08:15:00.000000Z",
            recorded_by="b0xCq81m",
            occurred_at="2026-11-23T09:15:00+01:00",
            event_id="0190a5e0-0000-4000-8000-000000000002",
        ),
        ReservationStep(
            status=Status.DEPOSITED,
            position=81377,
            recorded_at="2026-11-23T17:40:12.250000Z",
            recorded_by="k7TqW2xA",
            occurred_at="2026-11-23T18:40:11+01:00",
            event_id="0190a5e0-0000-4000-8000-000000000003",
        ),
    ],
)
_STATE_RESPONSES = responses_of(_STATE_EXAMPLE, "The steps of the reservation.", {404: RESPONSES_AT[404]}, RESPONSES_AT)


@router.get(
    "",
    response_model=None,
    responses=_RESERVATIONS.responses(_EXAMPLE),
    openapi_extra=_RESERVATIONS.parameters,
)
async def get_reservations(request: Request) -> Response:
    """Reservations of all statuses, in the order in which they got their status.

    `status=DEPOSITED&changed_before=` and a time lists the parcels that were deposited before it, the oldest first.
    Times are those of acceptance by Lockstream.
    """
    values = _RESERVATIONS.parse(request)
    locker_id, has_times = values[_LOCKER_ID], _CHANGED_BEFORE in values or _CHANGED_AFTER in values
    locker = None if locker_id is None or has_times else LockerSubject(locker_id)
    if values[_SORT] is ReservationOrder.ID:
        if has_times:
            raise InvalidQuery(
                "The query parameter sort is 'id', and changed_before and changed_after select by the order of "
                "changes. Send sort=changed, or omit the times."
            )
        by_id: Source[Reservation, str] = Source(
            str, lambda row: row.reservation_id, paged(_rows(values)), depends_on=locker
        )
        return await _RESERVATIONS.answer(request, values, by_id)
    by_change: Source[Reservation, int] = Source(
        int, lambda row: row.changed_position, paged(_rows(values)), depends_on=locker
    )
    return await _RESERVATIONS.answer(request, values, by_change)


@router.get(
    "/{reservation_id}", response_model=ReservationStatus, responses=RESPONSES_AT, openapi_extra=parameters_of(AT)
)
async def get_reservation(request: Request, reservation_id: str) -> Response:
    """The status of a reservation, at present or at an earlier position or time."""
    return await answer_subject(
        request,
        AT_AND_OTHERS,
        ReservationSubject(reservation_id),
        lambda reads: reads.reservation(reservation_id),
        ReservationStatus.of,
    )


@router.get("/{reservation_id}/state", response_model=None, responses=_STATE_RESPONSES, openapi_extra=parameters_of(AT))
async def get_reservation_state(request: Request, reservation_id: str) -> Response:
    """The compartment and the steps of a reservation, at present or at an earlier position or time."""
    return await answer_subject(
        request,
        AT,
        ReservationSubject(reservation_id),
        lambda reads: reservation_history(reads, reservation_id),
        ReservationState.of,
    )


def _rows(values: Values) -> Callable[[Listings, int | str | None, int], list[Reservation]]:
    """Return a function that reads up to `limit` rows behind the key `last_key`."""

    def rows(listings: Listings, last_key: int | str | None, limit: int) -> list[Reservation]:
        changed = positions_between(listings, values[_CHANGED_AFTER], values[_CHANGED_BEFORE])
        is_descending = values[_ORDER] is Order.DESC
        query = ReservationQuery(values[_STATUS], values[_LOCKER_ID], *changed, values[_SORT], is_descending)
        return listings.reservations(query, last_key, limit)

    return rows

"""Read a subject with the times and events of its history."""

from typing import NamedTuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.listings import HistoryQuery, Rows
from lockstream.core.entities.log import Record
from lockstream.core.entities.state import LockerState, Reservation
from lockstream.core.entities.subjects import (
    CompartmentSubject,
    LockerSubject,
    ReservationSubject,
    Subject,
    can_exist,
)
from lockstream.core.past import events_of
from lockstream.core.ports import Listings, SubjectReads

PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of payloads with which a page of records is full, so that a response takes bounded memory."""

FIRST_RECORDS = 20
"""Number of records that are read first for a page. Their sizes tell how many more fit into it."""


class EventFilter(NamedTuple):
    """Filter and order of the events of a subject."""

    event_type: type[Event] | None = None
    descending: bool = False
    first: int = 0
    """Lowest position."""

    last: int | None = None
    """Highest position."""


def recorded_events(
    listings: Listings, subject: Subject, wanted: EventFilter, after: int | None, limit: int
) -> Rows[Record] | None:
    """Return the records of up to `limit` events of a subject behind position `after`, in the order of the filter.

    A page also ends with about `PAGE_BYTES` of payloads. None means that the subject is unknown.

    Raises:
        StoreUnavailable: the events cannot be read.
    """
    positions = _positions(listings, subject, wanted, _start(wanted, after), limit + 1) if can_exist(subject) else None
    if positions is None:
        return None
    positions = [position for position in positions if _is_between(wanted, position)]
    records: list[Record] = []
    size, count = 0, FIRST_RECORDS
    while size < PAGE_BYTES and (wanted_positions := positions[len(records) : min(len(records) + count, limit)]):
        found = listings.records(wanted_positions)
        records += found
        size += sum(len(record.event.payload_text) for record in found)
        count = max(1, (PAGE_BYTES - size) * len(records) // max(size, 1))
    return Rows(records, has_more=len(records) < len(positions))


class ReservationHistory(NamedTuple):
    """A reservation and the records of its events, from the oldest to the newest."""

    reservation: Reservation
    records: list[Record]

    @property
    def locker_id(self) -> str:
        return self.reservation.locker_id


def reservation_history(reads: SubjectReads, reservation_id: str) -> ReservationHistory | None:
    """Return a reservation with its records. Raises StoreUnavailable if they cannot be read."""
    reservation = reads.reservation(reservation_id)
    if reservation is None:
        return None
    return ReservationHistory(reservation, reads.records(reservation.positions))


class DatedLockerState(NamedTuple):
    """The state of a locker, and the recorded times of the positions in it, in microseconds since 1970."""

    state: LockerState
    times: dict[int, int]

    @property
    def locker_id(self) -> str:
        return self.state.locker_id


def dated_locker_state(reads: SubjectReads, locker_id: str) -> DatedLockerState | None:
    """Return the state of a locker with its times. Raises StoreUnavailable if they cannot be read."""
    state = reads.locker_state(locker_id)
    if state is None:
        return None
    positions = {change.position for change in state.last_changes.values()} | {state.totals.last_position}
    return DatedLockerState(state, reads.times(sorted(positions)))


def _start(wanted: EventFilter, after: int | None) -> int | None:
    """Return the position behind which a page begins: no earlier in its order than the bounds of the filter."""
    if wanted.descending:
        bounds = [bound for bound in (after, None if wanted.last is None else wanted.last + 1) if bound is not None]
        return min(bounds, default=None)
    return max(after or 0, wanted.first - 1) or after


def _is_between(wanted: EventFilter, position: int) -> bool:
    return position >= wanted.first and (wanted.last is None or position <= wanted.last)


def _positions(
    listings: Listings, subject: Subject, wanted: EventFilter, after: int | None, limit: int
) -> list[int] | None:
    match subject:
        case ReservationSubject(reservation_id):
            reservation = listings.reservation(reservation_id)
            return None if reservation is None else _positions_in(reservation, wanted, after)[:limit]
        case LockerSubject(locker_id):
            return listings.history(HistoryQuery(locker_id, None, *wanted[:2]), after, limit)
        case CompartmentSubject(locker_id, compartment_id):
            return listings.history(HistoryQuery(locker_id, compartment_id, *wanted[:2]), after, limit)


def _positions_in(reservation: Reservation, wanted: EventFilter, after: int | None) -> list[int]:
    """Return the positions of a reservation's events behind position `after`: at most three."""
    positions = [position for position, event in events_of(reservation) if wanted.event_type in (None, type(event))]
    if wanted.descending:
        return [position for position in reversed(positions) if after is None or position < after]
    return [position for position in positions if after is None or position > after]

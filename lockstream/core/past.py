"""Past states: each event that still matters at a position is made from the rows of today, and folded by `evolve`.

Every accepted event is a position in one row: of its compartment, its reservation or its fault. So rows tell which
events a subject had, in which order, without a look at the log.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from msgspec import Struct

from lockstream.core.entities.events import (
    CompartmentPayload,
    CompartmentRegistered,
    Event,
    FaultCleared,
    FaultClearedPayload,
    FaultPayload,
    FaultReported,
    NewReservationPayload,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
    ReservationPayload,
)
from lockstream.core.entities.state import Compartment, Fault, Reservation, Status
from lockstream.core.evolve import evolve
from lockstream.core.row_set import RowSet

type Positioned = tuple[int, Event]
"""A position and the event there, which has only the fields that `evolve` reads."""


class LastingRows(Struct, frozen=True):
    """Rows of a locker whose events still mattered at a position. The rows themselves may be newer.

    An ended reservation no longer matters once its compartment is reserved again, and a cleared fault once it degrades
    its compartment no longer and another fault has done so. A cleared fault of low severity never mattered to the
    state.
    """

    compartments: list[Compartment]
    """Compartments that were registered by then."""

    reservations: list[Reservation]
    """Of each compartment, the last reservation that was created by then."""

    faults: list[Fault]
    """Faults that were reported by then: those that were open, and those of each compartment's last degraded period."""


def rows_at(found: LastingRows, position: int) -> RowSet:
    """Return the rows as they were at `position`, among the changed rows of a row set.

    Its `LockerTotals` count only the events that still mattered, and only the reservations that were found.
    """
    return _folded([*found.compartments, *found.reservations, *found.faults], position)


def reservation_at(reservation: Reservation, position: int) -> Reservation | None:
    """Return a reservation as it was at `position`, or None if it was created later."""
    compartment = Compartment(reservation.locker_id, reservation.compartment_id)
    past: Reservation | None = _folded([compartment, reservation], position).changed[Reservation].get(reservation.key)
    return past


def events_of(row: Compartment | Reservation | Fault) -> Iterator[Positioned]:
    """Yield the events that are positions in a row, in order."""
    if isinstance(row, Compartment):
        registered = CompartmentRegistered("", "", row.locker_id, CompartmentPayload(row.compartment_id))
        yield row.registered_position, registered
    elif isinstance(row, Reservation):
        yield from _events_of_reservation(row)
    else:
        reported = FaultReported(row.fault_id, "", row.locker_id, FaultPayload(row.compartment_id, row.severity))
        yield row.reported_position, reported
        if row.is_cleared:
            cleared = FaultClearedPayload(row.compartment_id, row.fault_id)
            yield row.cleared_position, FaultCleared("", "", row.locker_id, cleared)


def _events_of_reservation(row: Reservation) -> Iterator[Positioned]:
    created = NewReservationPayload(row.reservation_id, row.compartment_id)
    yield row.created_position, ReservationCreated("", "", row.locker_id, created)
    payload = ReservationPayload(row.reservation_id)
    if row.deposited_position:
        yield row.deposited_position, ParcelDeposited("", "", row.locker_id, payload)
    if row.status is Status.PICKED_UP:
        yield row.changed_position, ParcelPickedUp("", "", row.locker_id, payload)
    elif row.status is Status.EXPIRED:
        yield row.changed_position, ReservationExpired("", "", row.locker_id, payload)


def _folded(rows: Iterable[Compartment | Reservation | Fault], position: int) -> RowSet:
    """Return a row set in which all events of `rows` up to `position` were applied, in order."""
    events = [event for row in rows for event in events_of(row) if event[0] <= position]
    folded = RowSet(_absent(), _absent(), _absent(), _absent())
    for at, event in sorted(events, key=itemgetter(0)):
        folded.save(evolve(folded, event, at))
    return folded


def _absent() -> defaultdict[Any, Any]:
    """Return rows by key, none of which exists yet."""
    return defaultdict(lambda: None)

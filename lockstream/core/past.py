"""Past states: the events that still mattered at a position are made from the present rows, and applied by `evolve`.

One row notes the position of each accepted event: the row of its compartment, its reservation or its fault. So the rows
give the events of a subject in order, and the log is not read.
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

    An ended reservation matters until its compartment is reserved again. A cleared fault of degrading severity matters
    until the next degraded period of its compartment begins. A cleared fault of low severity does not matter.
    """

    compartments: list[Compartment]
    """Compartments that were registered up to the position."""

    reservations: list[Reservation]
    """The last reservation of each compartment that was created up to the position."""

    faults: list[Fault]
    """Faults that were open at the position, and the faults of each compartment's last degraded period up to it."""


def rows_at(found: LastingRows, position: int) -> RowSet:
    """Return a row set whose changed rows are the rows as they were at `position`.

    The `LockerTotals` among them count only the events that still mattered, and only the reservations in `found`.
    """
    return _folded([*found.compartments, *found.reservations, *found.faults], position)


def reservation_at(reservation: Reservation, position: int) -> Reservation | None:
    """Return a reservation as it was at `position`, or None if it was created later."""
    compartment = Compartment(reservation.locker_id, reservation.compartment_id)
    past: Reservation | None = _folded([compartment, reservation], position).changed[Reservation].get(reservation.key)
    return past


def events_of(row: Compartment | Reservation | Fault) -> Iterator[Positioned]:
    """Yield the events whose positions a row notes, in order."""
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
    """Return a mapping of rows by key in which every key is absent: None."""
    return defaultdict(lambda: None)

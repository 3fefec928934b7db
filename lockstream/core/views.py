"""Lockers as reads show them, built from rows."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from lockstream.core.entities.state import (
    Compartment,
    CompartmentKey,
    CompartmentView,
    Fault,
    LastChange,
    Locker,
    Reservation,
)

type FindReservation = Callable[[str], Reservation | None]
"""Returns the reservation with an id, or None."""


def locker_views(
    compartments: Iterable[Compartment], faults: Iterable[Fault], find_reservation: FindReservation
) -> Iterator[Locker]:
    """Yield the lockers of `compartments`, sorted by id. `faults` are all faults of these compartments."""
    open_faults: dict[CompartmentKey, list[tuple[str, int]]] = {}
    for fault in sorted(faults, key=attrgetter("fault_id")):
        if not fault.is_cleared:
            open_faults.setdefault(fault.compartment_key, []).append((fault.fault_id, fault.severity))
    for locker_id, of_locker in groupby(sorted(compartments, key=attrgetter("key")), attrgetter("locker_id")):
        views = (_view(row, find_reservation, tuple(open_faults.get(row.key, ()))) for row in of_locker)
        yield Locker(locker_id, tuple(views))


def last_change(compartment: Compartment, find_reservation: FindReservation) -> LastChange:
    """Return the positions of the last changes of a compartment."""
    reservation = _active_reservation(compartment, find_reservation)
    return LastChange(compartment.changed_position, reservation.changed_position if reservation else 0)


def _view(
    row: Compartment, find_reservation: FindReservation, open_faults: tuple[tuple[str, int], ...]
) -> CompartmentView:
    reservation = _active_reservation(row, find_reservation)
    return CompartmentView(
        row.compartment_id,
        degraded=row.degraded,
        active_reservation=row.active_reservation,
        reservation_status=reservation.status if reservation else None,
        open_faults=open_faults,
    )


def _active_reservation(row: Compartment, find_reservation: FindReservation) -> Reservation | None:
    return find_reservation(row.active_reservation) if row.active_reservation else None

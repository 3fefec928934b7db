"""The read set of an event: the keys of the rows that the rules need to decide it."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from lockstream.core.entities.events import (
    CompartmentRegistered,
    Event,
    FaultCleared,
    FaultReported,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
)
from lockstream.core.entities.state import CompartmentKey


class ReadSet(Struct, frozen=True, gc=False):
    """Keys of at most one compartment, one reservation and one fault."""

    compartment: CompartmentKey | None = None
    """None if the event names only a reservation; the compartment is then the reservation's own."""

    reservation: str | None = None
    fault: str | None = None


def read_set_of(event: Event) -> ReadSet:
    """Return the keys of the rows that `event` needs."""
    return _READ_SETS[type(event)](event)


def _of_compartment(event: CompartmentRegistered | FaultReported) -> ReadSet:
    return ReadSet((event.locker_id, event.compartment_id))


def _of_new_reservation(event: ReservationCreated) -> ReadSet:
    return ReadSet((event.locker_id, event.compartment_id), event.reservation_id)


def _of_reservation(event: ParcelDeposited | ParcelPickedUp | ReservationExpired) -> ReadSet:
    return ReadSet(None, event.reservation_id)


def _of_fault(event: FaultCleared) -> ReadSet:
    return ReadSet((event.locker_id, event.compartment_id), None, event.fault_event_id)


_READ_SETS: dict[type[Event], Callable[[Any], ReadSet]] = {
    CompartmentRegistered: _of_compartment,
    ReservationCreated: _of_new_reservation,
    ParcelDeposited: _of_reservation,
    ParcelPickedUp: _of_reservation,
    ReservationExpired: _of_reservation,
    FaultReported: _of_compartment,
    FaultCleared: _of_fault,
}

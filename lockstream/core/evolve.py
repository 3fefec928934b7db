"""What an accepted event changes. Live, recovery and rebuild all use this one function, so they cannot differ."""

from typing import assert_never

from msgspec.structs import replace

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
from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.errors import HistoryImpossible


def evolve(state: Slice, event: Event) -> Slice:
    """Apply `event` to `state`. It never refuses: whether an event may happen was decided before it was recorded.

    Raises:
        HistoryImpossible: the event stands on a row that no event before it has made, so the log is none that
            `decide` let be written.
    """
    match event:
        case ReservationCreated():
            compartment = _there(state.compartment, event)
            return Slice(
                _occupied(compartment, event.reservation_id),
                Reservation(event.reservation_id, event.locker_id, event.compartment_id),
            )
        case ParcelDeposited():
            return Slice(state.compartment, _in_status(state, event, Status.DEPOSITED))
        case ParcelPickedUp():
            return Slice(_occupied(_there(state.compartment, event), None), _in_status(state, event, Status.PICKED_UP))
        case ReservationExpired():
            return Slice(_occupied(_there(state.compartment, event), None), _in_status(state, event, Status.EXPIRED))
        case CompartmentRegistered():
            return Slice(Compartment(event.locker_id, event.compartment_id))
        case FaultReported():
            opened = Fault(event.event_id, event.locker_id, event.compartment_id, event.severity)
            return Slice(_with_faults(_there(state.compartment, event), opened, 1), None, opened)
        case FaultCleared():
            fault = _there(state.fault, event)
            compartment = _with_faults(_there(state.compartment, event), fault, -1)
            return Slice(compartment, None, replace(fault, cleared=True))
        case _:
            assert_never(event)


def _occupied(compartment: Compartment, by: str | None) -> Compartment:
    return Compartment(compartment.locker_id, compartment.compartment_id, by, compartment.degrading_faults)


def _in_status(state: Slice, event: Event, status: Status) -> Reservation:
    reservation = _there(state.reservation, event)
    return Reservation(reservation.reservation_id, reservation.locker_id, reservation.compartment_id, status)


def _with_faults(compartment: Compartment, fault: Fault, change: int) -> Compartment:
    if not fault.degrading:
        return compartment
    return replace(compartment, degrading_faults=compartment.degrading_faults + change)


def _there[RowT](row: RowT | None, event: Event) -> RowT:
    if row is None:
        raise HistoryImpossible(event)
    return row

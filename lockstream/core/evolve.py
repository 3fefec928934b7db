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
        case CompartmentRegistered():
            return replace(state, compartment=Compartment(event.locker_id, event.compartment_id))
        case ReservationCreated():
            return replace(
                state,
                compartment=replace(_there(state.compartment, event), active_reservation=event.reservation_id),
                reservation=Reservation(event.reservation_id, event.locker_id, event.compartment_id),
            )
        case ParcelDeposited():
            return replace(state, reservation=replace(_there(state.reservation, event), status=Status.DEPOSITED))
        case ParcelPickedUp():
            return _end(state, event, Status.PICKED_UP)
        case ReservationExpired():
            return _end(state, event, Status.EXPIRED)
        case FaultReported():
            opened = Fault(event.event_id, event.locker_id, event.compartment_id, event.severity)
            return replace(_count_fault(state, event, opened, 1), fault=opened)
        case FaultCleared():
            fault = _there(state.fault, event)
            return replace(_count_fault(state, event, fault, -1), fault=replace(fault, cleared=True))
        case _:
            assert_never(event)


def _end(state: Slice, event: Event, status: Status) -> Slice:
    return replace(
        state,
        compartment=replace(_there(state.compartment, event), active_reservation=None),
        reservation=replace(_there(state.reservation, event), status=status),
    )


def _count_fault(state: Slice, event: Event, fault: Fault, change: int) -> Slice:
    compartment = _there(state.compartment, event)
    if not fault.degrading:
        return state
    return replace(state, compartment=replace(compartment, degrading_faults=compartment.degrading_faults + change))


def _there[RowT](row: RowT | None, event: Event) -> RowT:
    if row is None:
        raise HistoryImpossible(event)
    return row

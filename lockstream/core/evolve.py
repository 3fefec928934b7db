"""Evolve the state by an accepted event. Live decisions, recovery and rebuild share this function."""

from collections.abc import Callable
from typing import Any

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
from lockstream.core.errors import InconsistentHistory


def evolve(state: Slice, event: Event) -> Slice:
    """Return `state` after `event`. It never refuses: `rules.decide` ran before the event was recorded.

    Raises:
        InconsistentHistory: the event needs a row that no earlier event made, so `decide` never accepted it.
    """
    return _EVOLUTIONS[type(event)](state, event)


def _compartment_registered(state: Slice, event: CompartmentRegistered) -> Slice:
    return Slice(Compartment(event.locker_id, event.compartment_id), state.reservation, state.fault)


def _reservation_created(state: Slice, event: ReservationCreated) -> Slice:
    created = Reservation(event.reservation_id, event.locker_id, event.compartment_id)
    return Slice(_occupied(state.compartment, event, event.reservation_id), created, state.fault)


def _parcel_deposited(state: Slice, event: ParcelDeposited) -> Slice:
    return Slice(state.compartment, _in_status(state.reservation, event, Status.DEPOSITED), state.fault)


def _parcel_picked_up(state: Slice, event: ParcelPickedUp) -> Slice:
    ended = _in_status(state.reservation, event, Status.PICKED_UP)
    return Slice(_occupied(state.compartment, event, None), ended, state.fault)


def _reservation_expired(state: Slice, event: ReservationExpired) -> Slice:
    ended = _in_status(state.reservation, event, Status.EXPIRED)
    return Slice(_occupied(state.compartment, event, None), ended, state.fault)


def _fault_reported(state: Slice, event: FaultReported) -> Slice:
    opened = Fault(event.event_id, event.locker_id, event.compartment_id, event.severity)
    return Slice(_with_faults(state.compartment, event, int(opened.is_degrading)), state.reservation, opened)


def _fault_cleared(state: Slice, event: FaultCleared) -> Slice:
    fault = _required(state.fault, event)
    cleared = Fault(fault.fault_id, fault.locker_id, fault.compartment_id, fault.severity, cleared=True)
    return Slice(_with_faults(state.compartment, event, -int(fault.is_degrading)), state.reservation, cleared)


def _occupied(row: Compartment | None, event: Event, by: str | None) -> Compartment:
    row = _required(row, event)
    return Compartment(row.locker_id, row.compartment_id, by, row.degrading_faults)


def _in_status(row: Reservation | None, event: Event, status: Status) -> Reservation:
    row = _required(row, event)
    return Reservation(row.reservation_id, row.locker_id, row.compartment_id, status)


def _with_faults(row: Compartment | None, event: Event, change: int) -> Compartment:
    row = _required(row, event)
    if not change:
        return row
    return Compartment(row.locker_id, row.compartment_id, row.active_reservation, row.degrading_faults + change)


def _required[RowT](row: RowT | None, event: Event) -> RowT:
    if row is None:
        raise InconsistentHistory(event)
    return row


_EVOLUTIONS: dict[type[Event], Callable[[Slice, Any], Slice]] = {
    CompartmentRegistered: _compartment_registered,
    ReservationCreated: _reservation_created,
    ParcelDeposited: _parcel_deposited,
    ParcelPickedUp: _parcel_picked_up,
    ReservationExpired: _reservation_expired,
    FaultReported: _fault_reported,
    FaultCleared: _fault_cleared,
}

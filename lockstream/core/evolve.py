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
from lockstream.core.entities.state import Compartment, CompartmentKey, Fault, Reservation, Row, Status
from lockstream.core.errors import InconsistentHistory
from lockstream.core.row_set import RowSet

type _Changed = tuple[Row, ...]


def evolve(rows: RowSet, event: Event) -> _Changed:
    """Return the rows that `event` adds or changes. It never refuses: `rules.decide` ran before it was recorded.

    Raises:
        InconsistentHistory: the event needs a row that no earlier event made, so `decide` never accepted it.
        RowsNotLoaded: `rows` lacks a row that the event needs.
    """
    return _EVOLUTIONS[event.__class__](rows, event)


def _compartment_registered(_: RowSet, event: CompartmentRegistered) -> _Changed:
    return (Compartment(event.locker_id, event.payload.compartment_id),)


def _reservation_created(rows: RowSet, event: ReservationCreated) -> _Changed:
    reservation_id = event.payload.reservation_id
    occupied = _occupied(rows, event, (event.locker_id, event.payload.compartment_id), reservation_id)
    # with the ids of the compartment's row instead of the event's, so that memory holds one copy of each
    return occupied, Reservation(reservation_id, occupied.locker_id, occupied.compartment_id)


def _parcel_deposited(rows: RowSet, event: ParcelDeposited) -> _Changed:
    return (_in_status(rows, event, Status.DEPOSITED),)


def _parcel_picked_up(rows: RowSet, event: ParcelPickedUp) -> _Changed:
    ended = _in_status(rows, event, Status.PICKED_UP)
    return _occupied(rows, event, (ended.locker_id, ended.compartment_id), None), ended


def _reservation_expired(rows: RowSet, event: ReservationExpired) -> _Changed:
    ended = _in_status(rows, event, Status.EXPIRED)
    return _occupied(rows, event, (ended.locker_id, ended.compartment_id), None), ended


def _fault_reported(rows: RowSet, event: FaultReported) -> _Changed:
    opened = Fault(event.event_id, event.locker_id, event.payload.compartment_id, event.payload.severity)
    compartment = _with_faults(rows, event, int(opened.is_degrading))
    return (compartment, opened) if opened.is_degrading else (opened,)


def _fault_cleared(rows: RowSet, event: FaultCleared) -> _Changed:
    fault = rows.faults[event.payload.fault_event_id]
    if fault is None:
        raise InconsistentHistory(event)
    cleared = Fault(fault.fault_id, fault.locker_id, fault.compartment_id, fault.severity, cleared=True)
    compartment = _with_faults(rows, event, -int(fault.is_degrading))
    return (compartment, cleared) if fault.is_degrading else (cleared,)


def _occupied(rows: RowSet, event: Event, key: CompartmentKey, by: str | None) -> Compartment:
    row = rows.compartments[key]
    if row is None:
        raise InconsistentHistory(event)
    return Compartment(row.locker_id, row.compartment_id, by, row.degrading_faults)


def _in_status(
    rows: RowSet, event: ParcelDeposited | ParcelPickedUp | ReservationExpired, status: Status
) -> Reservation:
    row = rows.reservations[event.payload.reservation_id]
    if row is None:
        raise InconsistentHistory(event)
    return Reservation(row.reservation_id, row.locker_id, row.compartment_id, status)


def _with_faults(rows: RowSet, event: FaultReported | FaultCleared, change: int) -> Compartment:
    row = rows.compartments[event.locker_id, event.payload.compartment_id]
    if row is None:
        raise InconsistentHistory(event)
    return Compartment(row.locker_id, row.compartment_id, row.active_reservation, row.degrading_faults + change)


_EVOLUTIONS: dict[type[Event], Callable[[RowSet, Any], _Changed]] = {
    CompartmentRegistered: _compartment_registered,
    ReservationCreated: _reservation_created,
    ParcelDeposited: _parcel_deposited,
    ParcelPickedUp: _parcel_picked_up,
    ReservationExpired: _reservation_expired,
    FaultReported: _fault_reported,
    FaultCleared: _fault_cleared,
}

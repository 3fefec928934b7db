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
    """
    try:
        return _EVOLUTIONS[event.__class__](rows, event)
    except KeyError as missing:
        raise InconsistentHistory(event) from missing


def _compartment_registered(_: RowSet, event: CompartmentRegistered) -> _Changed:
    return (Compartment(event.locker_id, event.payload.compartment_id),)


def _reservation_created(rows: RowSet, event: ReservationCreated) -> _Changed:
    locker_id, payload = event.locker_id, event.payload
    created = Reservation(payload.reservation_id, locker_id, payload.compartment_id)
    return _occupied(rows, (locker_id, payload.compartment_id), payload.reservation_id), created


def _parcel_deposited(rows: RowSet, event: ParcelDeposited) -> _Changed:
    return (_in_status(rows, event.payload.reservation_id, Status.DEPOSITED),)


def _parcel_picked_up(rows: RowSet, event: ParcelPickedUp) -> _Changed:
    ended = _in_status(rows, event.payload.reservation_id, Status.PICKED_UP)
    return _occupied(rows, (ended.locker_id, ended.compartment_id), None), ended


def _reservation_expired(rows: RowSet, event: ReservationExpired) -> _Changed:
    ended = _in_status(rows, event.payload.reservation_id, Status.EXPIRED)
    return _occupied(rows, (ended.locker_id, ended.compartment_id), None), ended


def _fault_reported(rows: RowSet, event: FaultReported) -> _Changed:
    locker_id, payload = event.locker_id, event.payload
    opened = Fault(event.event_id, locker_id, payload.compartment_id, payload.severity)
    compartment = rows.compartments[locker_id, payload.compartment_id]
    return (_with_faults(compartment, +1), opened) if opened.is_degrading else (opened,)


def _fault_cleared(rows: RowSet, event: FaultCleared) -> _Changed:
    fault = rows.faults[event.payload.fault_event_id]
    cleared = Fault(fault.fault_id, fault.locker_id, fault.compartment_id, fault.severity, cleared=True)
    compartment = rows.compartments[event.locker_id, event.payload.compartment_id]
    return (_with_faults(compartment, -1), cleared) if fault.is_degrading else (cleared,)


def _occupied(rows: RowSet, key: CompartmentKey, by: str | None) -> Compartment:
    row = rows.compartments[key]
    return Compartment(row.locker_id, row.compartment_id, by, row.degrading_faults)


def _in_status(rows: RowSet, reservation_id: str, status: Status) -> Reservation:
    row = rows.reservations[reservation_id]
    return Reservation(row.reservation_id, row.locker_id, row.compartment_id, status)


def _with_faults(row: Compartment, change: int) -> Compartment:
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

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
    compartment, reservation, fault = state.compartment, state.reservation, state.fault
    if type(event) is ReservationCreated:
        made = Reservation(event.reservation_id, event.locker_id, event.compartment_id)
        return Slice(_occupied(_there(compartment, event), event.reservation_id), made, fault)
    if type(event) is ParcelDeposited:
        return Slice(compartment, _in_status(_there(reservation, event), Status.DEPOSITED), fault)
    if type(event) is ParcelPickedUp:
        ended = _in_status(_there(reservation, event), Status.PICKED_UP)
        return Slice(_occupied(_there(compartment, event), None), ended, fault)
    if type(event) is ReservationExpired:
        ended = _in_status(_there(reservation, event), Status.EXPIRED)
        return Slice(_occupied(_there(compartment, event), None), ended, fault)
    if type(event) is CompartmentRegistered:
        return Slice(Compartment(event.locker_id, event.compartment_id), reservation, fault)
    if type(event) is FaultReported:
        opened = Fault(event.event_id, event.locker_id, event.compartment_id, event.severity)
        return Slice(_with_faults(_there(compartment, event), opened, 1), reservation, opened)
    if type(event) is FaultCleared:
        cleared = replace(_there(fault, event), cleared=True)
        return Slice(_with_faults(_there(compartment, event), cleared, -1), reservation, cleared)
    assert_never(event)


def _occupied(row: Compartment, by: str | None) -> Compartment:
    return Compartment(row.locker_id, row.compartment_id, by, row.degrading_faults)


def _in_status(row: Reservation, status: Status) -> Reservation:
    return Reservation(row.reservation_id, row.locker_id, row.compartment_id, status)


def _with_faults(row: Compartment, fault: Fault, change: int) -> Compartment:
    return replace(row, degrading_faults=row.degrading_faults + change) if fault.degrading else row


def _there[RowT](row: RowT | None, event: Event) -> RowT:
    if row is None:
        raise HistoryImpossible(event)
    return row

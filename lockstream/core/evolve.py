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
from lockstream.core.entities.silence import LEARNED_GAPS, MAX_GAP, SILENT_FACTOR
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Row, Status
from lockstream.core.errors import InconsistentHistory
from lockstream.core.row_set import RowSet

type _Changed = tuple[Row, ...]


def evolve(rows: RowSet, event: Event, position: int) -> _Changed:
    """Return the rows that `event` adds or changes. `rules.decide` accepted the event, so nothing is refused here.

    `position` is the event's position in the log.

    Raises:
        InconsistentHistory: the event needs a row that no earlier event created, so `decide` never accepted it.
        RowsNotLoaded: `rows` lacks a row that the event needs.
    """
    return _EVOLUTIONS[event.__class__](rows, event, position)


def _compartment_registered(rows: RowSet, event: CompartmentRegistered, position: int) -> _Changed:
    locker = rows.lockers[event.locker_id] or LockerTotals(event.locker_id)
    registered = Compartment(locker.locker_id, event.payload.compartment_id, None, 0, position, position)
    return registered, _totals(locker, position, 1, 1, 0, 0, 0, 0, 0)


def _reservation_created(rows: RowSet, event: ReservationCreated, position: int) -> _Changed:
    locker, before = _locker(rows, event), _compartment(rows, event, event.payload.compartment_id)
    # with the ids of the compartment's row instead of the event's, so that memory holds one copy of each
    locker_id, compartment_id, reservation_id = before.locker_id, before.compartment_id, event.payload.reservation_id
    after = Compartment(
        locker_id,
        compartment_id,
        reservation_id,
        before.degrading_faults,
        position,
        before.registered_position,
    )
    created = Reservation(reservation_id, locker_id, compartment_id, Status.CREATED, position, 0, position)
    return after, created, _totals(locker, position, 0, -1, 0, 1, 0, 0, 0)


def _parcel_deposited(rows: RowSet, event: ParcelDeposited, position: int) -> _Changed:
    locker, row = _locker(rows, event), _reservation(rows, event)
    deposited = Reservation(
        row.reservation_id,
        row.locker_id,
        row.compartment_id,
        Status.DEPOSITED,
        row.created_position,
        position,
        position,
    )
    return deposited, _totals(locker, position, 0, 0, 0, -1, 1, 0, 0)


def _parcel_picked_up(rows: RowSet, event: ParcelPickedUp, position: int) -> _Changed:
    locker, row = _locker(rows, event), _reservation(rows, event)
    freed = _freed(_compartment(rows, event, row.compartment_id), position)
    totals = _totals(locker, position, 0, not freed.degrading_faults, 0, 0, -1, 1, 0)
    return freed, _ended(row, Status.PICKED_UP, position), totals


def _reservation_expired(rows: RowSet, event: ReservationExpired, position: int) -> _Changed:
    locker, row = _locker(rows, event), _reservation(rows, event)
    freed = _freed(_compartment(rows, event, row.compartment_id), position)
    was_reserved = row.status is Status.CREATED
    totals = _totals(locker, position, 0, not freed.degrading_faults, 0, -was_reserved, was_reserved - 1, 0, 1)
    return freed, _ended(row, Status.EXPIRED, position), totals


def _fault_reported(rows: RowSet, event: FaultReported, position: int) -> _Changed:
    locker, row = _locker(rows, event), _compartment(rows, event, event.payload.compartment_id)
    opened = Fault(event.event_id, row.locker_id, row.compartment_id, event.payload.severity, position)
    return opened, *_with_faults(locker, row, int(opened.is_degrading), position)


def _fault_cleared(rows: RowSet, event: FaultCleared, position: int) -> _Changed:
    locker, row = _locker(rows, event), _compartment(rows, event, event.payload.compartment_id)
    fault = rows.faults[event.payload.fault_event_id]
    if fault is None:
        raise InconsistentHistory(event)
    cleared = Fault(
        fault.fault_id,
        fault.locker_id,
        fault.compartment_id,
        fault.severity,
        fault.reported_position,
        position,
    )
    return cleared, *_with_faults(locker, row, -int(fault.is_degrading), position)


def _locker(rows: RowSet, event: Event) -> LockerTotals:
    row = rows.lockers[event.locker_id]
    if row is None:
        raise InconsistentHistory(event)
    return row


def _compartment(rows: RowSet, event: Event, compartment_id: str) -> Compartment:
    row = rows.compartments[event.locker_id, compartment_id]
    if row is None:
        raise InconsistentHistory(event)
    return row


def _reservation(rows: RowSet, event: ParcelDeposited | ParcelPickedUp | ReservationExpired) -> Reservation:
    row = rows.reservations[event.payload.reservation_id]
    if row is None:
        raise InconsistentHistory(event)
    return row


def _freed(row: Compartment, position: int) -> Compartment:
    return Compartment(
        row.locker_id,
        row.compartment_id,
        None,
        row.degrading_faults,
        position,
        row.registered_position,
    )


def _ended(row: Reservation, status: Status, position: int) -> Reservation:
    return Reservation(
        row.reservation_id,
        row.locker_id,
        row.compartment_id,
        status,
        row.created_position,
        row.deposited_position,
        position,
    )


def _with_faults(locker: LockerTotals, before: Compartment, change: int, position: int) -> _Changed:
    """Return the rows of a locker and its compartment after `change` more degrading faults."""
    if not change:
        return (_totals(locker, position, 0, 0, 0, 0, 0, 0, 0),)
    faults = before.degrading_faults + change
    degraded = (faults > 0) - before.degraded
    after = Compartment(
        before.locker_id,
        before.compartment_id,
        before.active_reservation,
        faults,
        position if degraded else before.changed_position,
        before.registered_position,
    )
    gained = after.is_available - before.is_available
    return after, _totals(locker, position, 0, gained, degraded, 0, 0, 0, 0)


def _totals(  # noqa: PLR0913, PLR0917  # keywords would cost 0.2 µs an event
    row: LockerTotals,
    position: int,
    compartments: int,
    available: int,
    degraded: int,
    reserved: int,
    occupied: int,
    picked_up: int,
    expired: int,
    /,
) -> LockerTotals:
    """Return the totals of a locker after the event at `position`, with these numbers added.

    Every event but a registration ends a gap, whose length and square are added to the sums of gaps. Once `gap_sum`
    exceeds `LEARNED_GAPS` usual gaps, the new gap replaces as many positions of older gaps.
    """
    gap_sum, gap_squares = row.gap_sum, row.gap_squares
    if not compartments:
        usual_gap, gap = gap_squares // gap_sum, position - row.last_position
        if gap > usual_gap * SILENT_FACTOR:  # noqa: PLR1730  # `min` would cost 0.1 µs an event
            gap = usual_gap * SILENT_FACTOR
        if gap > MAX_GAP:  # noqa: PLR1730
            gap = MAX_GAP
        if gap_sum > usual_gap * LEARNED_GAPS:
            gap_squares += gap * (gap - usual_gap)  # replaces `gap` positions of usual gaps
        else:
            gap_sum += gap
            gap_squares += gap * gap
    return LockerTotals(
        row.locker_id,
        row.events + 1,
        position,
        row.compartments + compartments,
        row.available + available,
        row.degraded + degraded,
        row.reserved + reserved,
        row.occupied + occupied,
        row.picked_up + picked_up,
        row.expired + expired,
        gap_sum,
        gap_squares,
    )


_EVOLUTIONS: dict[type[Event], Callable[[RowSet, Any, int], _Changed]] = {
    CompartmentRegistered: _compartment_registered,
    ReservationCreated: _reservation_created,
    ParcelDeposited: _parcel_deposited,
    ParcelPickedUp: _parcel_picked_up,
    ReservationExpired: _reservation_expired,
    FaultReported: _fault_reported,
    FaultCleared: _fault_cleared,
}

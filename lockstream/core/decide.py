"""The rules of a locker network: for each event what refuses it, in order; what nothing refuses may happen.

The rules and their order are those of RULES, "What happens to an event".
"""

from typing import assert_never

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
from lockstream.core.entities.state import Slice, Status
from lockstream.core.outcomes import Ground, Refusal

UNKNOWN_COMPARTMENT = Refusal(
    "unknown_compartment",
    Ground.UNRESOLVED,
    "Locker {event.locker_id!r} has no compartment {event.compartment_id!r}. Send its CompartmentRegistered first.",
)
UNKNOWN_RESERVATION = Refusal(
    "unknown_reservation",
    Ground.UNRESOLVED,
    "There is no reservation {event.reservation_id!r}. Send its ReservationCreated first.",
)
RESERVATION_MISMATCH = Refusal(
    "reservation_mismatch",
    Ground.UNRESOLVED,
    "Reservation {event.reservation_id!r} belongs to another locker or another compartment than this event names.",
)
COMPARTMENT_ALREADY_REGISTERED = Refusal(
    "compartment_already_registered",
    Ground.CONFLICT,
    "Compartment {event.compartment_id!r} of locker {event.locker_id!r} is registered already.",
)
RESERVATION_ALREADY_EXISTS = Refusal(
    "reservation_already_exists",
    Ground.CONFLICT,
    "Reservation id {event.reservation_id!r} was used before; ids are unique in the whole network, for ever.",
)
COMPARTMENT_DEGRADED = Refusal(
    "compartment_degraded",
    Ground.CONFLICT,
    "Compartment {event.compartment_id!r} of locker {event.locker_id!r} has a severe fault open; it can be reserved "
    "once the fault is cleared.",
)
COMPARTMENT_RESERVED = Refusal(
    "compartment_reserved",
    Ground.CONFLICT,
    "Compartment {event.compartment_id!r} of locker {event.locker_id!r} has an active reservation.",
)
RESERVATION_NOT_AWAITING_DEPOSIT = Refusal(
    "reservation_not_awaiting_deposit",
    Ground.CONFLICT,
    "Reservation {event.reservation_id!r} does not await a deposit: its parcel was deposited, or it has ended.",
)
RESERVATION_EXPIRED = Refusal(
    "reservation_expired", Ground.CONFLICT, "Reservation {event.reservation_id!r} has expired."
)
RESERVATION_NOT_AWAITING_PICKUP = Refusal(
    "reservation_not_awaiting_pickup",
    Ground.CONFLICT,
    "Reservation {event.reservation_id!r} does not await a pick-up: no parcel lies in its compartment.",
)
RESERVATION_FINAL = Refusal(
    "reservation_final",
    Ground.CONFLICT,
    "Reservation {event.reservation_id!r} has ended: it was picked up, or it has expired before.",
)
UNKNOWN_FAULT = Refusal(
    "unknown_fault", Ground.CONFLICT, "No fault was ever reported by an event {event.fault_event_id!r}."
)
FAULT_MISMATCH = Refusal(
    "fault_mismatch",
    Ground.CONFLICT,
    "Fault {event.fault_event_id!r} is another compartment's, not of {event.compartment_id!r} of locker "
    "{event.locker_id!r}.",
)
FAULT_ALREADY_CLEARED = Refusal(
    "fault_already_cleared", Ground.CONFLICT, "Fault {event.fault_event_id!r} is cleared already."
)

_FORBIDDEN: dict[type[Event], dict[Status, Refusal]] = {
    ParcelDeposited: {
        Status.DEPOSITED: RESERVATION_NOT_AWAITING_DEPOSIT,
        Status.PICKED_UP: RESERVATION_NOT_AWAITING_DEPOSIT,
        Status.EXPIRED: RESERVATION_NOT_AWAITING_DEPOSIT,
    },
    ParcelPickedUp: {
        Status.CREATED: RESERVATION_NOT_AWAITING_PICKUP,
        Status.PICKED_UP: RESERVATION_NOT_AWAITING_PICKUP,
        Status.EXPIRED: RESERVATION_EXPIRED,
    },
    ReservationExpired: {
        Status.PICKED_UP: RESERVATION_FINAL,
        Status.EXPIRED: RESERVATION_FINAL,
    },
}
"""In which status of its reservation an event cannot happen."""

REFUSALS = (
    UNKNOWN_COMPARTMENT,
    UNKNOWN_RESERVATION,
    RESERVATION_MISMATCH,
    COMPARTMENT_ALREADY_REGISTERED,
    RESERVATION_ALREADY_EXISTS,
    COMPARTMENT_DEGRADED,
    COMPARTMENT_RESERVED,
    RESERVATION_NOT_AWAITING_DEPOSIT,
    RESERVATION_EXPIRED,
    RESERVATION_NOT_AWAITING_PICKUP,
    RESERVATION_FINAL,
    UNKNOWN_FAULT,
    FAULT_MISMATCH,
    FAULT_ALREADY_CLEARED,
)
"""Each way to be refused."""


def decide(state: Slice, event: Event) -> Refusal | None:
    """Say why `event` cannot happen in `state`, or None where it can."""
    compartment, reservation, fault = state.compartment, state.reservation, state.fault
    match event:
        case CompartmentRegistered():
            if compartment is not None:
                return COMPARTMENT_ALREADY_REGISTERED
        case ReservationCreated():
            if compartment is None:
                return UNKNOWN_COMPARTMENT
            if reservation is not None:
                return RESERVATION_ALREADY_EXISTS
            if compartment.degraded:
                return COMPARTMENT_DEGRADED
            if compartment.active_reservation is not None:
                return COMPARTMENT_RESERVED
        case ParcelDeposited() | ParcelPickedUp() | ReservationExpired():
            if reservation is None:
                return UNKNOWN_RESERVATION
            if event.locker_id != reservation.locker_id:
                return RESERVATION_MISMATCH
            if event.compartment_id not in (None, reservation.compartment_id):
                return RESERVATION_MISMATCH
            return _FORBIDDEN[type(event)].get(reservation.status)
        case FaultReported():
            if compartment is None:
                return UNKNOWN_COMPARTMENT
        case FaultCleared():
            if compartment is None:
                return UNKNOWN_COMPARTMENT
            if fault is None:
                return UNKNOWN_FAULT
            if fault.where != compartment.key:
                return FAULT_MISMATCH
            if fault.cleared:
                return FAULT_ALREADY_CLEARED
        case _:
            assert_never(event)
    return None

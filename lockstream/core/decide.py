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
from lockstream.core.entities.state import Reservation, Slice, Status
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
    if type(event) is ReservationCreated:
        if compartment is None:
            return UNKNOWN_COMPARTMENT
        if reservation is not None:
            return RESERVATION_ALREADY_EXISTS
        if compartment.degraded:
            return COMPARTMENT_DEGRADED
        return None if compartment.active_reservation is None else COMPARTMENT_RESERVED
    if type(event) is ParcelDeposited:
        if reservation is None or _names_another(event, reservation):
            return RESERVATION_MISMATCH if reservation else UNKNOWN_RESERVATION
        return None if reservation.status is Status.CREATED else RESERVATION_NOT_AWAITING_DEPOSIT
    if type(event) is ParcelPickedUp:
        if reservation is None or _names_another(event, reservation):
            return RESERVATION_MISMATCH if reservation else UNKNOWN_RESERVATION
        if reservation.status is Status.EXPIRED:
            return RESERVATION_EXPIRED
        return None if reservation.status is Status.DEPOSITED else RESERVATION_NOT_AWAITING_PICKUP
    if type(event) is ReservationExpired:
        if reservation is None or _names_another(event, reservation):
            return RESERVATION_MISMATCH if reservation else UNKNOWN_RESERVATION
        return RESERVATION_FINAL if reservation.final else None
    if type(event) is CompartmentRegistered:
        return None if compartment is None else COMPARTMENT_ALREADY_REGISTERED
    if type(event) is FaultReported:
        return UNKNOWN_COMPARTMENT if compartment is None else None
    if type(event) is FaultCleared:
        if compartment is None:
            return UNKNOWN_COMPARTMENT
        if fault is None:
            return UNKNOWN_FAULT
        if fault.where != compartment.key:
            return FAULT_MISMATCH
        return FAULT_ALREADY_CLEARED if fault.cleared else None
    assert_never(event)


def _names_another(event: ParcelDeposited | ParcelPickedUp | ReservationExpired, reservation: Reservation) -> bool:
    """Whether the event names a locker or a compartment that is not the reservation's."""
    named = event.compartment_id
    return event.locker_id != reservation.locker_id or (named is not None and named != reservation.compartment_id)

"""The rules of a locker network, one table: for each event the rows that refuse it, then the row that lets it happen.

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
from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
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
    match event, state:
        case CompartmentRegistered(), Slice(compartment=Compartment()):
            return COMPARTMENT_ALREADY_REGISTERED
        case ReservationCreated() | FaultReported() | FaultCleared(), Slice(compartment=None):
            return UNKNOWN_COMPARTMENT
        case CompartmentRegistered() | FaultReported(), _:
            return None

        case ReservationCreated(), Slice(reservation=Reservation()):
            return RESERVATION_ALREADY_EXISTS
        case ReservationCreated(), Slice(compartment=Compartment(degraded=True)):
            return COMPARTMENT_DEGRADED
        case ReservationCreated(), Slice(compartment=Compartment(active_reservation=str())):
            return COMPARTMENT_RESERVED
        case ReservationCreated(), _:
            return None

        case ParcelDeposited() | ParcelPickedUp() | ReservationExpired(), Slice(reservation=None):
            return UNKNOWN_RESERVATION
        case ParcelDeposited() | ParcelPickedUp() | ReservationExpired(), _ if _names_another(event, state.reservation):
            return RESERVATION_MISMATCH
        case ParcelDeposited(), Slice(reservation=Reservation(status=Status.CREATED)):
            return None
        case ParcelDeposited(), _:
            return RESERVATION_NOT_AWAITING_DEPOSIT
        case ParcelPickedUp(), Slice(reservation=Reservation(status=Status.EXPIRED)):
            return RESERVATION_EXPIRED
        case ParcelPickedUp(), Slice(reservation=Reservation(status=Status.DEPOSITED)):
            return None
        case ParcelPickedUp(), _:
            return RESERVATION_NOT_AWAITING_PICKUP
        case ReservationExpired(), Slice(reservation=Reservation(status=Status.CREATED | Status.DEPOSITED)):
            return None
        case ReservationExpired(), _:
            return RESERVATION_FINAL

        case FaultCleared(), Slice(fault=None):
            return UNKNOWN_FAULT
        case FaultCleared(), Slice(fault=Fault(where=where)) if where != (event.locker_id, event.compartment_id):
            return FAULT_MISMATCH
        case FaultCleared(), Slice(fault=Fault(cleared=True)):
            return FAULT_ALREADY_CLEARED
        case FaultCleared(), _:
            return None
        case _:
            assert_never(event)


def _names_another(
    event: ParcelDeposited | ParcelPickedUp | ReservationExpired, reservation: Reservation | None
) -> bool:
    """Whether the event names a locker or a compartment that is not the reservation's."""
    return reservation is not None and (
        event.locker_id != reservation.locker_id or event.compartment_id not in (None, reservation.compartment_id)
    )

"""Which rows an event's slice needs."""

from typing import assert_never

from msgspec import Struct

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


class Keys(Struct, frozen=True):
    compartment: tuple[str, str] | None = None
    """Where there is none, the slice holds the compartment of its reservation."""

    reservation: str | None = None
    fault: str | None = None


def keys(event: Event) -> Keys:
    match event:
        case CompartmentRegistered() | FaultReported():
            return Keys(compartment=(event.locker_id, event.compartment_id))
        case ReservationCreated():
            return Keys(compartment=(event.locker_id, event.compartment_id), reservation=event.reservation_id)
        case ParcelDeposited() | ParcelPickedUp() | ReservationExpired():
            return Keys(reservation=event.reservation_id)
        case FaultCleared():
            return Keys(compartment=(event.locker_id, event.compartment_id), fault=event.fault_event_id)
        case _:
            assert_never(event)

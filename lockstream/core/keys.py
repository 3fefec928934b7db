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


class Keys(Struct, frozen=True, gc=False):
    compartment: tuple[str, str] | None = None
    """Where there is none, the slice holds the compartment of its reservation."""

    reservation: str | None = None
    fault: str | None = None


def keys(event: Event) -> Keys:
    if type(event) is ParcelDeposited or type(event) is ParcelPickedUp or type(event) is ReservationExpired:
        return Keys(None, event.reservation_id)
    if type(event) is ReservationCreated:
        return Keys((event.locker_id, event.compartment_id), event.reservation_id)
    if type(event) is CompartmentRegistered or type(event) is FaultReported:
        return Keys((event.locker_id, event.compartment_id))
    if type(event) is FaultCleared:
        return Keys((event.locker_id, event.compartment_id), None, event.fault_event_id)
    assert_never(event)

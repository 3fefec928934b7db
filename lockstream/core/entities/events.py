"""The seven things that a locker can report, one frozen class each.

The name of a class is the event's `type` on the wire and in the log.

They are final, so that `type(event) is ParcelDeposited` tells the type checker as much as `isinstance` would. That
takes four times as long here: for a class with a metaclass, Python looks for its `__instancecheck__`.
"""

from typing import final

from msgspec import Struct


class _Reported(Struct, frozen=True, gc=False):
    """What every event bears."""

    event_id: str
    """A UUID in its canonical lower-case form, so that two spellings of one id are one id."""

    occurred_at: str
    """What the locker says: RFC 3339 with an offset, as it came. Never used to order events."""

    locker_id: str

    payload: bytes
    """The payload's JSON text on one line, each value as it came. Only the log reads it."""


@final
class CompartmentRegistered(_Reported, frozen=True, gc=False):
    compartment_id: str


@final
class ReservationCreated(_Reported, frozen=True, gc=False):
    reservation_id: str
    compartment_id: str


@final
class ParcelDeposited(_Reported, frozen=True, gc=False):
    reservation_id: str
    compartment_id: str | None = None


@final
class ParcelPickedUp(_Reported, frozen=True, gc=False):
    reservation_id: str
    compartment_id: str | None = None


@final
class ReservationExpired(_Reported, frozen=True, gc=False):
    reservation_id: str
    compartment_id: str | None = None


@final
class FaultReported(_Reported, frozen=True, gc=False):
    compartment_id: str
    severity: int


@final
class FaultCleared(_Reported, frozen=True, gc=False):
    compartment_id: str
    fault_event_id: str
    """The `event_id` of the `FaultReported` that opened the fault, in canonical form."""


type Event = (
    CompartmentRegistered
    | ReservationCreated
    | ParcelDeposited
    | ParcelPickedUp
    | ReservationExpired
    | FaultReported
    | FaultCleared
)

EVENT_TYPES: dict[str, type[Event]] = {
    event_type.__name__: event_type
    for event_type in (
        CompartmentRegistered,
        ReservationCreated,
        ParcelDeposited,
        ParcelPickedUp,
        ReservationExpired,
        FaultReported,
        FaultCleared,
    )
}

"""The seven events that a locker can report, one frozen class each.

The name of a class is the event's `type` on the wire and in the log. A new event type needs a class here, and an entry
in `read_set`, `rules` and `evolve`; `Event` and all that is derived from it follow.
"""

from typing import get_args

from msgspec import Struct


class _Reported(Struct, frozen=True, gc=False):
    """The fields that every event has. A subclass adds the payload fields that the rules read."""

    event_id: str
    """A UUID in its canonical lower-case form, so that two spellings of one id are equal."""

    occurred_at: str
    """Time by the locker's clock: RFC 3339 with an offset, exactly as sent. Never used to order events."""

    locker_id: str

    payload: bytes
    """The payload's JSON text on one line, with every value exactly as sent. Only the log reads it."""


class CompartmentRegistered(_Reported, frozen=True, gc=False):
    """A compartment exists."""

    compartment_id: str


class ReservationCreated(_Reported, frozen=True, gc=False):
    """A compartment is reserved for a parcel."""

    reservation_id: str
    compartment_id: str


class ParcelDeposited(_Reported, frozen=True, gc=False):
    """The parcel lies in the compartment."""

    reservation_id: str
    compartment_id: str | None = None
    """Must be the reservation's compartment if it is given."""


class ParcelPickedUp(_Reported, frozen=True, gc=False):
    """The parcel was taken out; the compartment is free."""

    reservation_id: str
    compartment_id: str | None = None
    """Must be the reservation's compartment if it is given."""


class ReservationExpired(_Reported, frozen=True, gc=False):
    """The reservation ended without a pick-up; the compartment is free."""

    reservation_id: str
    compartment_id: str | None = None
    """Must be the reservation's compartment if it is given."""


class FaultReported(_Reported, frozen=True, gc=False):
    """A compartment has a defect. The event's id is the fault's id."""

    compartment_id: str
    severity: int


class FaultCleared(_Reported, frozen=True, gc=False):
    """A fault is repaired."""

    compartment_id: str
    fault_event_id: str
    """The `event_id` of the `FaultReported` event that opened the fault, in canonical form."""


type Event = (
    CompartmentRegistered
    | ReservationCreated
    | ParcelDeposited
    | ParcelPickedUp
    | ReservationExpired
    | FaultReported
    | FaultCleared
)

EVENT_TYPES: dict[str, type[Event]] = {event_type.__name__: event_type for event_type in get_args(Event.__value__)}
"""Every event class by its name."""

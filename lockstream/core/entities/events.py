"""The seven events that a locker can report, one frozen class each.

The name of a class is the event's `type` on the wire and in the log, and its fields are the members there: the decoder
makes these objects from JSON, and nothing copies them. A new event type needs a class here, which `Event` must list,
and an entry in `rules` and in `evolve`.
"""

from typing import Annotated, get_args

from msgspec import Meta, Struct

from lockstream.core.entities.fields import IDENTIFIER_MAX, SEVERITY_MAX, UUID

type Identifier = Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_MAX)]
type Severity = Annotated[int, Meta(ge=0, le=SEVERITY_MAX)]
type FaultId = Annotated[str, Meta(pattern=rf"\A{UUID}\Z")]


class JsonText(bytes):
    """JSON text on one line, with every value exactly as sent. No JSON value decodes to this class."""

    __slots__ = ()


NO_TEXT = JsonText()


class KeyId(str):
    """The public part of an API key. No JSON value decodes to this class."""

    __slots__ = ()


NO_KEY = KeyId()


class _Reported[PayloadT](Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="type", tag=True):
    """The fields that every event has."""

    event_id: str
    """A UUID in its canonical lower-case form, so that two spellings of one id are equal."""

    occurred_at: str
    """Time by the locker's clock: RFC 3339 with an offset, exactly as sent. Never used to order events."""

    locker_id: Identifier

    payload: PayloadT
    """The payload fields that the rules read."""

    payload_text: JsonText = NO_TEXT
    """The whole payload. Only the log reads it. No client can send a member of this name: see `JsonText`."""

    recorded_by: KeyId = NO_KEY
    """The key that reported the event, or an empty text. No client can send a member of this name: see `KeyId`."""


class CompartmentPayload(Struct, frozen=True, gc=False):
    """Payload of an event about a compartment."""

    compartment_id: Identifier


class NewReservationPayload(Struct, frozen=True, gc=False):
    """Payload of the event that creates a reservation."""

    reservation_id: Identifier
    compartment_id: Identifier


class ReservationPayload(Struct, frozen=True, gc=False):
    """Payload of an event about a reservation."""

    reservation_id: Identifier
    compartment_id: Identifier | None = None
    """Must be the reservation's compartment if it is given."""


class FaultPayload(Struct, frozen=True, gc=False):
    """Payload of the event that opens a fault. The event's id is the fault's id."""

    compartment_id: Identifier
    severity: Severity


class FaultClearedPayload(Struct, frozen=True, gc=False):
    """Payload of the event that closes a fault."""

    compartment_id: Identifier
    fault_event_id: FaultId
    """The `event_id` of the `FaultReported` event that opened the fault, in canonical form."""


class CompartmentRegistered(_Reported[CompartmentPayload], frozen=True, gc=False):
    """A compartment exists."""


class ReservationCreated(_Reported[NewReservationPayload], frozen=True, gc=False):
    """A compartment is reserved for a parcel."""


class ParcelDeposited(_Reported[ReservationPayload], frozen=True, gc=False):
    """The parcel lies in the compartment."""


class ParcelPickedUp(_Reported[ReservationPayload], frozen=True, gc=False):
    """The parcel was taken out; the compartment is free."""


class ReservationExpired(_Reported[ReservationPayload], frozen=True, gc=False):
    """The reservation ended without a pick-up; the compartment is free."""


class FaultReported(_Reported[FaultPayload], frozen=True, gc=False):
    """A compartment has a defect."""


class FaultCleared(_Reported[FaultClearedPayload], frozen=True, gc=False):
    """A fault is repaired."""


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

"""An event as a request body.

`infrastructure.event_codec` decides what is an event. These models word the contract, and what is wrong with a body
that is none: they are run on refused bodies only.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from lockstream.core.entities.events import EVENT_TYPES, Event
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.event_codec import (
    IDENTIFIER,
    IDENTIFIER_MAX,
    INSTANT,
    SEVERITY_MAX,
    UUID,
    decode_event,
    is_instant,
)

MANY_ERRORS = 20
"""Faults of one event that are told one by one. An event has room for thousands, and a batch for millions."""


class MalformedBody(Exception):
    """A request body is no event. `errors` are FastAPI's: a list of `{loc, msg, type}`."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("malformed body")
        self.errors = errors


def parse_event(body: bytes) -> Event:
    """Read the body of `POST /events`.

    Raises:
        MalformedBody: it is no event.
    """
    try:
        return decode_event(body)
    except MalformedEvent as error:
        raise MalformedBody(explain(body, str(error))) from error


def _instant(text: str) -> str:
    if not is_instant(text):
        raise ValueError("a timestamp is RFC 3339 with an offset, such as 2026-11-23T09:15:00+01:00")
    return text


Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=IDENTIFIER_MAX, pattern=f"^{IDENTIFIER}$"),
    Field(description="1 to 128 characters, without control characters and `/`."),
]
Uuid = Annotated[str, StringConstraints(pattern=f"^{UUID}$"), Field(json_schema_extra={"format": "uuid"})]
Instant = Annotated[
    str,
    AfterValidator(_instant),
    Field(
        description="What the locker says: RFC 3339 with an offset.",
        json_schema_extra={"format": "date-time", "pattern": f"^{INSTANT}$"},
    ),
]
Severity = Annotated[
    int, Field(ge=0, le=SEVERITY_MAX, description="3 or more degrades the compartment while the fault is open.")
]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)


class _Payload(_Body):
    model_config = ConfigDict(strict=True, extra="allow")


class _Envelope(_Body):
    model_config = ConfigDict(strict=True, extra="forbid")

    event_id: Annotated[Uuid, Field(description="Chosen by the sender; compared as a UUID. An event counts once.")]
    occurred_at: Instant
    locker_id: Identifier


class CompartmentRegisteredPayload(_Payload):
    compartment_id: Identifier


class CompartmentRegistered(_Envelope):
    """A compartment is there."""

    type: Literal["CompartmentRegistered"]
    payload: CompartmentRegisteredPayload


class ReservationCreatedPayload(_Payload):
    reservation_id: Identifier
    compartment_id: Identifier


class ReservationCreated(_Envelope):
    """A compartment is reserved for a parcel."""

    type: Literal["ReservationCreated"]
    payload: ReservationCreatedPayload


class ReservationPayload(_Payload):
    reservation_id: Identifier
    compartment_id: Annotated[
        Identifier | None, Field(description="Where it is given, it must be the reservation's.")
    ] = None


class ParcelDeposited(_Envelope):
    """The parcel lies in the compartment."""

    type: Literal["ParcelDeposited"]
    payload: ReservationPayload


class ParcelPickedUp(_Envelope):
    """The parcel was taken; the compartment is free."""

    type: Literal["ParcelPickedUp"]
    payload: ReservationPayload


class ReservationExpired(_Envelope):
    """The reservation ended without a pick-up; the compartment is free."""

    type: Literal["ReservationExpired"]
    payload: ReservationPayload


class FaultReportedPayload(_Payload):
    compartment_id: Identifier
    severity: Severity


class FaultReported(_Envelope):
    """Something is wrong with a compartment. This event's id is the fault's."""

    type: Literal["FaultReported"]
    payload: FaultReportedPayload


class FaultClearedPayload(_Payload):
    compartment_id: Identifier
    fault_event_id: Annotated[Uuid, Field(description="The `event_id` of the `FaultReported` that opened the fault.")]


class FaultCleared(_Envelope):
    """A fault is mended."""

    type: Literal["FaultCleared"]
    payload: FaultClearedPayload


EventBody = Annotated[
    CompartmentRegistered
    | ReservationCreated
    | ParcelDeposited
    | ParcelPickedUp
    | ReservationExpired
    | FaultReported
    | FaultCleared,
    Field(discriminator="type"),
]

_adapter: TypeAdapter[Any] = TypeAdapter(EventBody)


def event_schema(ref_template: str) -> dict[str, Any]:
    """The JSON Schema of an event, with those that it refers to in `$defs`."""
    return _adapter.json_schema(ref_template=ref_template)


def malformed(kind: str, message: str, *place: int) -> MalformedBody:
    """One error that concerns the body, or what stands at `place` in it, as a whole."""
    return MalformedBody([{"loc": ["body", *place], "msg": message, "type": kind}])


def explain(text: bytes, reason: str, *place: int) -> list[dict[str, Any]]:
    """What is wrong with the text at `place` in a body, of which the decoder said `reason`."""
    try:
        _adapter.validate_json(text)
    except ValidationError as error:
        if error.error_count() > MANY_ERRORS:
            message = f"It has {error.error_count()} faults, the first of which is: {reason}"
            return malformed("event_malformed", message, *place).errors
        return [
            {"loc": ["body", *place, *loc], "msg": message, "type": kind}
            for loc, message, kind in map(_told, error.errors(include_url=False, include_context=False))
        ]
    return malformed("event_malformed", reason, *place).errors


def _told(found: ErrorDetails) -> tuple[tuple[int | str, ...], str, str]:
    """Where in the event, what, of which kind: as pydantic says it, but for the type, by which it chooses a model."""
    loc, kind = found["loc"], found["type"]
    if kind == "union_tag_not_found":
        return ("type",), f"`type` is missing. {_TYPES}", "missing"
    if kind == "union_tag_invalid":
        return ("type",), f"This is no type of event. {_TYPES}", "type_unknown"
    return loc[1:] if loc and loc[0] in EVENT_TYPES else loc, found["msg"], kind


_TYPES = f"The types are {', '.join(EVENT_TYPES)}."

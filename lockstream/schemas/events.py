"""An event as a request body: its JSON Schema, and a list of errors for a malformed one.

`codec.event_json` decides whether a body is an event. The models here describe the contract, and explain what is
wrong with a malformed body (docs/decisions/0004). Both are derived from the event classes.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from lockstream.core.entities.events import EVENT_TYPES, Event
from lockstream.core.entities.fields import (
    IDENTIFIER,
    IDENTIFIER_FORM,
    IDENTIFIER_MAX,
    SEVERITY_MAX,
    TIMESTAMP,
    UUID,
)
from lockstream.core.errors import MalformedEvent
from lockstream.core.wording import quoted
from lockstream.infrastructure.codec.event_json import is_timestamp, payload_fields

MAX_ERRORS = 20
"""Errors of one event that are listed one by one. A single event may contain thousands, and a batch millions."""

_KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
    list: "a list",
    dict: "an object",
}
"""Maps the class of a JSON value that is not a string to what an error calls it."""


class MalformedBody(Exception):
    """Raised when a request body is malformed. `errors` has FastAPI's form: a list of `{loc, msg, type}`."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("malformed body")
        self.errors = errors


def malformed(kind: str, message: str, *location: int) -> MalformedBody:
    """Return one error about the whole body, or about the item at `location`."""
    return MalformedBody([{"loc": ["body", *location], "msg": message, "type": kind}])


class Form:
    """A form of reported events: its JSON Schema, and what is wrong with a body that does not have it."""

    def __init__(self, models: Mapping[str, type[BaseModel]]) -> None:
        """`models` has a pydantic model for each type of event. A key is the value of the body's member `type`."""
        self._models = models
        any_model: Any = Annotated[reduce(or_, models.values()), Field(discriminator="type")]
        self._adapter: TypeAdapter[Any] = TypeAdapter(any_model)

    def schema(self, ref_template: str) -> dict[str, Any]:
        """Return the JSON Schema, with the schemas it refers to in `$defs`."""
        return self._adapter.json_schema(ref_template=ref_template)

    def explain(self, text: bytes, reason: MalformedEvent, *location: int) -> list[dict[str, Any]]:
        """Return the errors of an event whose JSON text is `text`, as a response lists them.

        `location` is the index of the event if the body is a batch. `reason` is the error that the decoder has found;
        it is listed if the models find none.
        """
        try:
            self._adapter.validate_json(text)
        except ValidationError as error:
            if error.error_count() > MAX_ERRORS:
                message = f"The event has {error.error_count()} errors. The first one: {reason}"
                return malformed("event_malformed", message, *location).errors
            return [
                {"loc": ["body", *location, *loc], "msg": message, "type": kind}
                for loc, message, kind in map(self._error, error.errors(include_url=False, include_context=False))
            ]
        return malformed(reason.kind, str(reason), *location).errors

    def _error(self, found: ErrorDetails) -> tuple[tuple[int | str, ...], str, str]:
        """Return location, message and kind of pydantic's error.

        A wrong `type`, and a body that is not an object, are explained in our own words.
        """
        loc, kind = found["loc"], found["type"]
        types = f"The types are {', '.join(self._models)}."
        if kind == "union_tag_not_found":
            return ("type",), f"`type` is missing. {types}", "missing"
        if kind == "union_tag_invalid":
            return ("type",), f"`type` is not an event type. {types}", "type_unknown"
        if kind == "dict_type":
            form = "an event as an object, or a list of events as application/json to POST /events/batch"
            return loc, f"The event is {_shown(found['input'])}. Send {form}.", kind
        return loc[1:] if loc and loc[0] in self._models else loc, found["msg"], kind


def send_instead(form: str) -> WrapValidator:
    """Return a validator of a member. Its errors show the value that was sent, and ask for `form` instead.

    An error keeps its location and the kind that pydantic has given it.
    """

    def validate(value: Any, validate_type: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return validate_type(value)
        except ValidationError as error:
            [found] = error.errors(include_url=False)
            sentences = f"`{info.field_name}` is {_shown(value)}. Send {form}."
            raise PydanticCustomError(found["type"], "{sentences}", {"sentences": sentences}) from error

    return WrapValidator(validate)


def _shown(value: Any) -> str:
    """Return a JSON value as an error shows it: the beginning of a string, and the kind of any other value."""
    return quoted(value) if isinstance(value, str) else _KINDS[type(value)]


def _require_timestamp(text: str) -> str:
    if not is_timestamp(text):
        raise ValueError("not an RFC 3339 date-time with an offset")
    return text


_Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=IDENTIFIER_MAX, pattern=f"^{IDENTIFIER}$"),
    send_instead(f"a string of {IDENTIFIER_FORM}"),
    Field(description="1 to 128 characters, without control characters and `/`."),
]
Uuid = Annotated[
    str,
    StringConstraints(pattern=f"^{UUID}$"),
    send_instead("a UUID as a string, such as 0190a5e0-0000-4000-8000-000000000001"),
    Field(json_schema_extra={"format": "uuid"}),
]
Timestamp = Annotated[
    str,
    AfterValidator(_require_timestamp),
    send_instead("an existing day and time as a string, in RFC 3339 with an offset, such as 2026-11-23T09:15:00+01:00"),
    Field(
        description="Time by the locker's clock: RFC 3339 with an offset.",
        json_schema_extra={"format": "date-time", "pattern": f"^{TIMESTAMP}$"},
    ),
]
_Optional = Annotated[_Identifier | None, Field(description="If it is given, it must be the reservation's.")]
_Severity = Annotated[
    int, Field(ge=0, le=SEVERITY_MAX, description="3 or more degrades the compartment while the fault is open.")
]
_FaultId = Annotated[Uuid, Field(description="The `event_id` of the `FaultReported` event that opened the fault.")]


class _Payload(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    event_id: Annotated[Uuid, Field(description="Chosen by the sender; compared as a UUID. An event counts once.")]
    occurred_at: Timestamp
    locker_id: _Identifier


def _payload_model(event_type: type[Event]) -> type[BaseModel]:
    types: dict[str, Any] = {"severity": _Severity, "fault_event_id": _FaultId}
    fields: dict[str, Any] = {}
    for name, is_required in payload_fields(event_type).items():
        fields[name] = types.get(name, _Identifier) if is_required else (_Optional, None)
    return create_model(f"{event_type.__name__}Payload", __base__=_Payload, **fields)


PAYLOADS = {name: _payload_model(event_type) for name, event_type in EVENT_TYPES.items()}
"""The model of the payload of each type of events."""


def _event_model(name: str, event_type: type[Event]) -> type[BaseModel]:
    fields: dict[str, Any] = {"type": Literal[name], "payload": PAYLOADS[name]}
    return create_model(name, __base__=_Event, __doc__=event_type.__doc__, **fields)


EVENT = Form({name: _event_model(name, event_type) for name, event_type in EVENT_TYPES.items()})
"""An event as a locker sends it."""

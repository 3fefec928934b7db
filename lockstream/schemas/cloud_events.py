"""Events as CloudEvents 1.0 in JSON, for systems that exchange events of many kinds in this form."""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta, Raw, Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.feed import FeedPage
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import encode_text, payload_fields, require_each_member_once
from lockstream.schemas.events import MAX_ERRORS, MalformedBody, explain
from lockstream.schemas.records import RecordedEvent, event_stream

TYPES = {f"io.lockstream.{name}.v1": name for name in EVENT_TYPES}
"""The type of an event by the `type` of its CloudEvent. The version is that of the payload's form."""

_TYPE_OF = {name: cloud_type for cloud_type, name in TYPES.items()}
_LOCKERS = "/lockers/"
_MEMBERS = {"event_id": "id", "occurred_at": "time", "locker_id": "source", "payload": "data"}
"""The members of a CloudEvent that hold those of an event, as far as their names differ."""


class CloudEvent(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An accepted event as a CloudEvent."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(description="The `event_id`.", extra_json_schema={"format": "uuid"})]
    source: Annotated[
        str,
        Meta(
            description="`/lockers/` and the locker's id, percent-encoded.",
            extra_json_schema={"format": "uri-reference"},
        ),
    ]
    type: Annotated[str, Meta(extra_json_schema={"enum": list(TYPES)})]
    subject: Annotated[str, Meta(description="`reservations/` or `compartments/`, and the id.")]
    time: Annotated[
        str,
        Meta(description="Time by the locker's clock, the `occurred_at`.", extra_json_schema={"format": "date-time"}),
    ]
    recordedtime: Annotated[
        str, Meta(description="Time of acceptance, the `recorded_at`.", extra_json_schema={"format": "date-time"})
    ]
    partitionkey: Annotated[str, Meta(description="The locker's id.")]
    sequence: Annotated[
        str, Meta(pattern="^[0-9]{20}$", description="The position, so that texts sort as positions do.")
    ]
    datacontenttype: Literal["application/json"]
    data: Annotated[
        Raw,
        Meta(
            description="The payload, as it was sent, without white space between tokens.",
            extra_json_schema={"type": "object", "additionalProperties": True},
        ),
    ]


class _OfReservation(Struct, gc=False):
    reservation_id: str


class _OfCompartment(Struct, gc=False):
    compartment_id: str


_read_record = msgspec.json.Decoder(RecordedEvent).decode
_read_reservation = msgspec.json.Decoder(_OfReservation).decode
_read_compartment = msgspec.json.Decoder(_OfCompartment).decode
_encode = msgspec.json.Encoder().encode


def cloud_event(line: bytes) -> bytes:
    """Encode the event of a line of the log as a CloudEvent."""
    record = _read_record(line)
    return _encode(
        CloudEvent(
            specversion="1.0",
            id=record.event_id,
            source=_LOCKERS + quote(record.locker_id, safe=""),
            type=_TYPE_OF[record.type],
            subject=_SUBJECT_OF[record.type](record.payload),
            time=f"{record.occurred_at[:10]}T{record.occurred_at[11:]}".upper(),  # an event may have a blank or `t`
            recordedtime=record.recorded_at,
            partitionkey=record.locker_id,
            sequence=f"{record.position:020d}",
            datacontenttype="application/json",
            data=record.payload,
        )
    )


def cloud_event_batch(page: FeedPage) -> bytes:
    """Encode a page of the feed as a batch of CloudEvents."""
    return b"[%b]" % b",".join(map(cloud_event, page.items))


def cloud_event_stream(page: FeedPage) -> bytes:
    """Encode a page of the feed as server-sent events whose data are CloudEvents."""
    return event_stream(page, cloud_event)


def _subject_of_reservation(payload: Raw) -> str:
    return f"reservations/{_read_reservation(payload).reservation_id}"


def _subject_of_compartment(payload: Raw) -> str:
    return f"compartments/{_read_compartment(payload).compartment_id}"


_SUBJECT_OF: dict[str, Callable[[Raw], str]] = {
    name: _subject_of_reservation if "reservation_id" in payload_fields(event_type) else _subject_of_compartment
    for name, event_type in EVENT_TYPES.items()
}


def _require_locker(source: str) -> str:
    """Check that `source` names a locker in percent-encoding. The rules of ids are those of every event."""
    try:
        unquote(source, errors="strict")
    except UnicodeDecodeError as error:
        raise PydanticCustomError("source_invalid", "The percent-encoded bytes are not UTF-8.") from error
    return source


def _require_json(media_type: str) -> str:
    given = media_type.partition(";")[0].strip().lower()
    if given != "application/json" and not given.endswith("+json"):
        raise PydanticCustomError("media_type_unsupported", "The payload must be JSON: send application/json.")
    return media_type


class ReportedCloudEvent(BaseModel):
    """An event as a CloudEvent. Extension attributes are allowed, and ignored."""

    model_config = ConfigDict(strict=True, extra="allow")

    specversion: Literal["1.0"]
    id: Annotated[str, Field(description="The `event_id`: a UUID.")]
    source: Annotated[
        str,
        StringConstraints(pattern=f"^{_LOCKERS}[^/?#]+$"),
        AfterValidator(_require_locker),
        Field(description="`/lockers/` and the locker's id, percent-encoded.", examples=["/lockers/station-7"]),
    ]
    type: Annotated[Literal[tuple(TYPES)], Field()]  # type: ignore[valid-type]  # mypy knows no computed values
    time: Annotated[str, Field(description="The `occurred_at`.", json_schema_extra={"format": "date-time"})]
    datacontenttype: Annotated[str, AfterValidator(_require_json)] = "application/json"
    data: Annotated[dict[str, Any], Field(description="The payload.")]
    data_base64: Annotated[None, Field(description="The payload is JSON, in `data`.")] = None


_reported: TypeAdapter[ReportedCloudEvent] = TypeAdapter(ReportedCloudEvent)


class _Data(Struct, gc=False):
    """The payload of a CloudEvent, undecoded."""

    data: Raw


_read_data = msgspec.json.Decoder(_Data).decode


def reported_event(text: bytes) -> bytes:
    """Return the event that a CloudEvent reports, as a locker sends it. Its payload is exactly as it was sent.

    Raises:
        MalformedBody: the text is not a CloudEvent that can report an event.
    """
    try:
        found = _reported.validate_json(text)
        require_each_member_once(text)
        payload = _read_data(text).data
        source = unquote(found.source.removeprefix(_LOCKERS), errors="strict")
        members = map(encode_text, (found.id, found.time, source, TYPES[found.type]))
        return b'{"event_id":%b,"occurred_at":%b,"locker_id":%b,"type":%b,"payload":%b}' % (
            *(member.encode() for member in members),
            payload,
        )
    except ValidationError as error:
        found_errors = error.errors(include_url=False, include_context=False)[:MAX_ERRORS]
        raise MalformedBody(
            [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found_errors]
        ) from error
    except (MalformedEvent, msgspec.MsgspecError) as error:
        kind = error.kind if isinstance(error, MalformedEvent) else "event_malformed"
        raise MalformedBody([{"loc": ["body"], "msg": str(error), "type": kind}]) from error


def explain_reported(event: bytes, reason: MalformedEvent) -> list[dict[str, Any]]:
    """List what is wrong with an event that a CloudEvent reports, by the members of the CloudEvent."""
    return [
        {**error, "loc": [_MEMBERS.get(str(part), part) if depth == 1 else part for depth, part in enumerate(loc)]}
        for error in explain(event, reason)
        for loc in [error["loc"]]
    ]

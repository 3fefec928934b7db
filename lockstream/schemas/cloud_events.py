"""Events as CloudEvents 1.0 in JSON, for systems that exchange events of many kinds in this form."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from lockstream.core.entities.events import EVENT_TYPES, CompartmentPayload, ReservationPayload
from lockstream.core.entities.feed import FeedPage
from lockstream.core.entities.fields import IDENTIFIER_MAX
from lockstream.core.errors import MalformedEvent
from lockstream.core.wording import quoted
from lockstream.infrastructure.codec.event_json import (
    encode_text,
    event_of_members,
    payload_fields,
    require_each_member_once,
)
from lockstream.schemas.events import PAYLOADS, Form, Timestamp, Uuid, send_instead
from lockstream.schemas.records import decode_recorded_event, event_stream

TYPES = {f"io.lockstream.{name}.v1": name for name in EVENT_TYPES}
"""Maps the `type` of each CloudEvent to the type of its event. `.v1` is the version of the payload's fields."""

_TYPE_OF = {name: cloud_type for cloud_type, name in TYPES.items()}
_LOCKERS = "/lockers/"

_NEXT = "%[89ABab][0-9A-Fa-f]"
_CHARACTERS = (
    r"[A-Za-z0-9._~!$&'()*+,;=:@-]",
    "%(?:2[0-9A-Ea-e]|[3-6][0-9A-Fa-f]|7[0-9A-Ea-e])",  # ASCII without control characters and `/`
    "%[Cc]2%[ABab][0-9A-Fa-f]",  # without control characters
    f"%(?:[Cc][3-9A-Fa-f]|[Dd][0-9A-Fa-f]){_NEXT}",
    f"%[Ee]0%[ABab][0-9A-Fa-f]{_NEXT}",
    f"%[Ee][1-9A-CEFa-cef](?:{_NEXT}){{2}}",
    f"%[Ee][Dd]%[89][0-9A-Fa-f]{_NEXT}",  # without surrogates
    f"%[Ff]0%[9ABab][0-9A-Fa-f](?:{_NEXT}){{2}}",
    f"%[Ff][1-3](?:{_NEXT}){{3}}",
    f"%[Ff]4%8[0-9A-Fa-f](?:{_NEXT}){{2}}",
)
"""The forms of one character of an id in a URI (RFC 3986), percent-encoded in UTF-8 where it must be."""

_SOURCE = f"{_LOCKERS}(?:{'|'.join(_CHARACTERS)}){{1,{IDENTIFIER_MAX}}}"

_JSON_TYPE = r"[Aa]pplication/([A-Za-z0-9.-]+[+])?json( *;.*)?"


class CloudEvent(Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
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
        Meta(
            description="Time by the locker's clock: the `occurred_at`, with `T` and `Z` in upper case.",
            extra_json_schema={"format": "date-time"},
        ),
    ]
    recordedtime: Annotated[
        str, Meta(description="Time of acceptance, the `recorded_at`.", extra_json_schema={"format": "date-time"})
    ]
    recordedby: Annotated[
        str | UnsetType,
        Meta(description="The key that reported the event, the `recorded_by`. Absent if there was none."),
    ] = UNSET
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


_read_reservation = msgspec.json.Decoder(ReservationPayload).decode
_read_compartment = msgspec.json.Decoder(CompartmentPayload).decode
_encode = msgspec.json.Encoder().encode


def cloud_event(line: bytes) -> bytes:
    """Encode the event of a line of the log as a CloudEvent."""
    record = decode_recorded_event(line)
    return _encode(
        CloudEvent(
            specversion="1.0",
            id=record.event_id,
            source=_LOCKERS + quote(record.locker_id, safe=""),
            type=_TYPE_OF[record.type],
            subject=_SUBJECT_OF[record.type](record.payload),
            time=f"{record.occurred_at[:10]}T{record.occurred_at[11:]}".upper(),  # of an event: also a blank, `t`, `z`
            recordedtime=record.recorded_at,
            recordedby=record.recorded_by,
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


def _require_source(text: str) -> str:
    if not re.fullmatch(_SOURCE, text):
        raise ValueError(
            f"the source is not `{_LOCKERS}` and a locker's id, percent-encoded, such as /lockers/station-7"
        )
    return text


def _require_json(media_type: str | None) -> str | None:
    if media_type is not None and not re.fullmatch(_JSON_TYPE, media_type):
        raise ValueError("the payload must be JSON: send application/json, or omit datacontenttype")
    return media_type


_Source = Annotated[
    str,
    AfterValidator(_require_source),
    send_instead(f"{_LOCKERS} and a locker's id, percent-encoded, such as /lockers/station-7"),
    Field(
        description="`/lockers/` and the locker's id, percent-encoded.",
        json_schema_extra={"pattern": f"^{_SOURCE}$"},
    ),
]
_JsonType = Annotated[
    str | None,
    AfterValidator(_require_json),
    send_instead("application/json, or omit it: the payload must be JSON"),
    Field(json_schema_extra={"pattern": f"^{_JSON_TYPE}$"}),
]


class _ReportedCloudEvent(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    specversion: Literal["1.0"]
    id: Annotated[Uuid, Field(description="The `event_id`.")]
    source: _Source
    time: Timestamp
    datacontenttype: _JsonType = None
    data_base64: Annotated[None, Field(description="The payload is JSON, in `data`.")] = None


def _reported_model(cloud_type: str, name: str) -> type[BaseModel]:
    fields: dict[str, Any] = {"type": Literal[cloud_type], "data": PAYLOADS[name]}
    return create_model(f"Reported{name}", __base__=_ReportedCloudEvent, **fields)


REPORTED_CLOUD_EVENT = Form({cloud_type: _reported_model(cloud_type, name) for cloud_type, name in TYPES.items()})
"""A CloudEvent that reports an event. Its extensions are allowed, and ignored."""


class _Envelope(Struct, gc=False):
    """A CloudEvent whose payload is not decoded. Extensions are ignored."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: str
    data: Raw
    datacontenttype: str | None = None
    data_base64: None = None


_read_envelope = msgspec.json.Decoder(_Envelope).decode


def reported_event(text: bytes) -> bytes:
    """Return the event that a CloudEvent reports, as a locker sends it. Its payload is exactly as it was sent.

    Raises:
        MalformedEvent: the text is not a CloudEvent 1.0 with a JSON payload, the source does not name a locker, or
            the type is not in `TYPES`.
    """
    try:
        require_each_member_once(text)
        found = _read_envelope(text)
        _require_json(found.datacontenttype)
        source = unquote(_require_source(found.source)).removeprefix(_LOCKERS)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedEvent(str(error)) from error
    if found.type not in TYPES:
        raise MalformedEvent(f"The type is {quoted(found.type)}, which is not a type of events.")
    event_id, occurred_at, locker_id, event_type = (
        encode_text(text).encode() for text in (found.id, found.time, source, TYPES[found.type])
    )
    return event_of_members(event_id, occurred_at, locker_id, event_type, bytes(found.data))

"""JSON of an event as a locker sends it.

Events are decoded many at a time, because most checks cost the same for a hundred events as for one: 4 µs an event
instead of 16 (docs/decisions/0014). A single event is a batch of one.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import astuple

from lockstream.core.entities.events import EVENT_TYPES, Event
from lockstream.core.entities.fields import IDENTIFIER_MAX, SEVERITY_MAX, TIMESTAMP, UUID
from lockstream.core.errors import MalformedEvent

NESTING_MAX = 100
"""Deepest nesting of an event, in levels.

The decoder's own limit depends on its caller's stack, so one caller could accept what another could not read again.
"""

_MINUTES_OF_DAY = 24 * 60

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?')
"""A JSON string. The closing quote is optional, so that an unterminated string is searched only once."""

_BRACKET_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(set(range(256)) - _BRACKET_STEPS.keys())

_TIMESTAMP = re.compile(TIMESTAMP.encode())
_FORBIDDEN_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f/]")
_HEX_TO_ZERO = bytes(ord("0") if chr(byte) in "0123456789abcdefABCDEF" else byte for byte in range(256))
_DIGIT_TO_ZERO = bytes(ord("0") if chr(byte) in "0123456789" else byte for byte in range(256))
_UUID_SHAPE = b"00000000-0000-0000-0000-000000000000\n"
_SPACE, _TAB, _RETURN = b" \t\r"
"""Byte values, as integers. `number in bytes` is 1 µs faster than `bytes in bytes`, which first tries a conversion."""

_ENVELOPE_QUOTES = 2 * 5 + 2 * 4
"""Quotes in an event outside its payload: around 5 member names and 4 strings."""

_ARCHIVE_QUOTES = 2 * 3 + 2 * 2
"""Further quotes in a log line: around 3 member names and 2 strings."""


class _Envelope(Struct, forbid_unknown_fields=True, gc=False):
    """An event as a locker sends it."""

    event_id: str
    occurred_at: str
    locker_id: Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_MAX)]
    type: str
    payload: Raw


class _ArchivedEnvelope(_Envelope, forbid_unknown_fields=True, gc=False):
    """An event with the further members of a log line."""

    position: int | None = None
    recorded_at: str = ""
    chain: str = ""


_FIELD_LIMITS: dict[str, Any] = {
    "severity": Annotated[int, Meta(ge=0, le=SEVERITY_MAX)],
    "fault_event_id": Annotated[str, Meta(pattern=rf"\A{UUID}\Z")],
}
"""Types of the payload fields that are not identifiers."""

_IDENTIFIER = Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_MAX)]
_COMMON_FIELDS = ("event_id", "occurred_at", "locker_id", "payload")


def payload_fields(event_type: type[Event]) -> dict[str, bool]:
    """Return the payload fields that the rules read, in order, and whether each is required."""
    names = [name for name in event_type.__struct_fields__ if name not in _COMMON_FIELDS]
    first_optional = len(names) - len(event_type.__struct_defaults__)
    return {name: number < first_optional for number, name in enumerate(names)}


def _payload_decoder(event_type: type[Event]) -> msgspec.json.Decoder[Struct]:
    """Return a decoder whose struct has the payload fields of `event_type`, in the same order."""
    fields: list[Any] = []
    for name, is_required in payload_fields(event_type).items():
        limit = _FIELD_LIMITS.get(name, _IDENTIFIER)
        fields.append((name, limit) if is_required else (name, limit | None, None))
    namespace = {"__post_init__": _lower_fault_id} if "fault_event_id" in event_type.__struct_fields__ else {}
    payload = msgspec.defstruct(f"{event_type.__name__}Payload", fields, namespace=namespace, gc=False)
    return msgspec.json.Decoder(payload)


def _lower_fault_id(payload: Any) -> None:
    payload.fault_event_id = payload.fault_event_id.lower()


def _quotes(event_type: type[Event]) -> list[int]:
    """Return how many quotes an event without further members has, by how many optional fields are absent."""
    fields = payload_fields(event_type)
    strings = len(fields) - ("severity" in fields)
    return [_ENVELOPE_QUOTES + 2 * len(fields) + 2 * strings - 4 * absent for absent in range(len(fields) + 1)]


_envelopes = msgspec.json.Decoder(_Envelope)
_archived_envelopes = msgspec.json.Decoder(_ArchivedEnvelope)
_payloads = {name: _payload_decoder(event_type) for name, event_type in EVENT_TYPES.items()}
_minimal_quotes = {name: _quotes(event_type) for name, event_type in EVENT_TYPES.items()}
_datetimes = msgspec.json.Decoder(list[datetime])
_objects = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode

type _EnvelopeDecoder = msgspec.json.Decoder[_Envelope] | msgspec.json.Decoder[_ArchivedEnvelope]


def decode_event(text: bytes) -> Event:
    """Decode an event as a locker sends it.

    Raises:
        MalformedEvent: `text` is not an event.
    """
    [event] = decode_events([text])
    if isinstance(event, MalformedEvent):
        raise event
    return event


def decode_events(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Decode events as lockers send them. A malformed event is returned as its error, and harms no other."""
    return _decode_each(texts, _envelopes, is_new=True)


def decode_archived(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Decode events as lockers send them, or as lines of any log; position, time and chain value are ignored."""
    return _decode_each(texts, _archived_envelopes, is_new=True)


def decode_recorded(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Decode events that a log holds. Repeated member names pass: versions before 2.1 accepted them."""
    return _decode_each(texts, _envelopes, is_new=False)


def is_timestamp(text: str) -> bool:
    """Return whether `text` is an RFC 3339 date-time with an offset."""
    try:
        _require_timestamps([text])
    except (MalformedEvent, msgspec.MsgspecError):
        return False
    return True


def encode_event(event: Event) -> bytes:
    """Encode `event` as a locker sends it, on one line without a line end."""
    return encode_members(event, "{") + b"}"


def encode_text(text: str) -> str:
    """Encode `text` as a JSON string."""
    return _encode(text).decode()


def encode_members(event: Event, before: str) -> bytes:
    """Return `before`, followed by the members of the event's JSON object without its braces."""
    head = (
        f'{before}"event_id":"{event.event_id}","occurred_at":"{event.occurred_at}",'
        f'"locker_id":{_encode(event.locker_id).decode()},"type":"{type(event).__name__}","payload":'
    )
    return head.encode() + event.payload


def _decode_each(texts: Sequence[bytes], decoder: _EnvelopeDecoder, *, is_new: bool) -> list[Event | MalformedEvent]:
    try:
        return _decode(texts, decoder, is_new=is_new)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, MalformedEvent) as error:
        if len(texts) == 1:
            return [error if isinstance(error, MalformedEvent) else MalformedEvent(str(error))]
    return [event for text in texts for event in _decode_each([text], decoder, is_new=is_new)]


def _decode(texts: Sequence[bytes], decoder: _EnvelopeDecoder, *, is_new: bool) -> list[Event | MalformedEvent]:
    """Decode all of `texts`, or raise the first error found."""
    joined = b"\n".join(texts)
    _require_utf8_and_flat(texts, joined)
    envelopes = [decoder.decode(text) for text in texts]
    ids = _canonical_ids([envelope.event_id for envelope in envelopes])
    _require_timestamps([envelope.occurred_at for envelope in envelopes])
    try:
        fields: list[tuple[Any, ...]] = [
            astuple(_payloads[envelope.type].decode(envelope.payload)) for envelope in envelopes
        ]
    except KeyError as unknown:
        raise MalformedEvent(f"There is no event type {unknown.args[0]!r}.") from unknown
    _require_identifiers(envelopes, fields)
    if is_new:
        _require_unique_members(texts, joined, envelopes, fields)
    has_white_space = _SPACE in joined or _TAB in joined or _RETURN in joined or joined.count(b"\n") >= len(texts)
    on_one_line = _without_white_space if has_white_space else bytes
    return [
        EVENT_TYPES[envelope.type](
            event_id, envelope.occurred_at, envelope.locker_id, on_one_line(envelope.payload), *own
        )
        for event_id, envelope, own in zip(ids, envelopes, fields, strict=True)
    ]


def _require_utf8_and_flat(texts: Sequence[bytes], joined: bytes) -> None:
    joined.decode()
    # Each event opens at least two brackets, so few brackets in total mean that no event is nested too deep.
    if joined.count(b"[") + joined.count(b"{") > 2 * (len(texts) - 1) + NESTING_MAX:
        for text in texts:
            _require_flat(text)


def _require_flat(text: bytes) -> None:
    """Require at most `NESTING_MAX` levels, whether or not the JSON is well-formed."""
    if text.count(b"[") + text.count(b"{") <= NESTING_MAX:
        return
    brackets = _STRING.sub(b"", text).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_BRACKET_STEPS.__getitem__, brackets)), default=0) > NESTING_MAX:
        raise MalformedEvent(f"The event is nested deeper than {NESTING_MAX} levels.")


def _canonical_ids(ids: list[str]) -> list[str]:
    """Return UUIDs in lower case."""
    joined = "\n".join(ids)
    if joined.encode().translate(_HEX_TO_ZERO) + b"\n" != _UUID_SHAPE * len(ids):
        raise MalformedEvent("The event_id is not a UUID of 36 characters.")
    canonical = joined.lower()
    return ids if canonical == joined else canonical.split("\n")


def _require_timestamps(timestamps: list[str]) -> None:
    """Require the form of RFC 3339, of which there are few if all digits are alike, and a date of the calendar."""
    joined = "\n".join(timestamps)
    if not all(map(_is_timestamp_shape, set(joined.encode().translate(_DIGIT_TO_ZERO).split(b"\n")))):
        raise MalformedEvent("The timestamp is not an RFC 3339 date-time with an offset.")
    if ":60" in joined:
        joined = "\n".join(map(_without_leap_second, timestamps))
    if len(_datetimes.decode('["{}"]'.format(joined.replace("\n", '","')))) != len(timestamps):
        raise MalformedEvent("The timestamp contains a line end.")


@lru_cache(256)
def _is_timestamp_shape(shape: bytes) -> bool:
    return _TIMESTAMP.fullmatch(shape) is not None


def _without_leap_second(timestamp: str) -> str:
    """Return `timestamp`, or the second before it if it is a leap second at the end of a UTC day (RFC 3339, 5.7)."""
    if timestamp[17:19] != "60":
        return timestamp
    before = f"{timestamp[:17]}59{timestamp[19:]}"
    [instant] = _datetimes.decode(f'["{before}"]')
    # In minutes of the day, because UTC cannot express every instant of the years 1 and 9999. The minute is read from
    # the text, because the decoder rounds a fraction up.
    offset = (instant.utcoffset() or timedelta()) // timedelta(minutes=1)
    utc_minute = 60 * int(timestamp[11:13]) + int(timestamp[14:16]) - offset
    if utc_minute % _MINUTES_OF_DAY != _MINUTES_OF_DAY - 1:
        raise MalformedEvent("The timestamp has second 60, which only the last minute of a UTC day can have.")
    return before


def _require_identifiers(envelopes: Sequence[_Envelope], fields: list[tuple[Any, ...]]) -> None:
    joined = "".join([envelope.locker_id for envelope in envelopes])
    joined += "".join([value for own in fields for value in own if value.__class__ is str])
    is_plain = joined.isprintable() and "/" not in joined  # printable text contains no control character
    if not is_plain and (found := _FORBIDDEN_CHARACTER.search(joined)):
        raise MalformedEvent(f"An identifier contains the character {found[0]!r}, which is not allowed.")


def _require_unique_members(
    texts: Sequence[bytes], joined: bytes, envelopes: Sequence[_Envelope], fields: Sequence[tuple[Any, ...]]
) -> None:
    """Require that no object has a member name twice (RFC 7493, section 2.3), at any depth.

    Decoders keep the last of two members. A repeated member adds at least two quotes, and nothing takes a quote away,
    so a text with as few quotes as its values need repeats no member. Counting takes 0.2 µs an event.
    """
    expected = [
        _minimal_quotes[envelope.type][own.count(None)] for envelope, own in zip(envelopes, fields, strict=True)
    ]
    if joined.count(b'"') == sum(expected):
        return
    for text, envelope, quotes in zip(texts, envelopes, expected, strict=True):
        found = text.count(b'"')
        if isinstance(envelope, _ArchivedEnvelope) and envelope.position and envelope.recorded_at and envelope.chain:
            found -= _ARCHIVE_QUOTES
        if found != quotes and found != _quotes_if_flat(envelope.payload):
            json.loads(text, object_pairs_hook=_unique_members, parse_int=str, parse_float=str)


def _quotes_if_flat(payload: Raw) -> int:
    """Return how many quotes an event with this payload has if no member is repeated and no value is an object."""
    members = _objects.decode(payload)  # with undecoded values: they may be numbers that no decoder accepts
    return _ENVELOPE_QUOTES + 2 * len(members) + 2 * sum(bytes(value).startswith(b'"') for value in members.values())


def _unique_members(pairs: Iterable[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise MalformedEvent(f"The member {name!r} occurs twice in one object.", "duplicate_member")
        names.add(name)


def _without_white_space(payload: Raw) -> bytes:
    """Return the payload on one line, without white space between tokens; each value stays as it was sent."""
    return msgspec.json.format(bytes(payload), indent=-1)

"""JSON of an event as a locker sends it.

Events are decoded many at a time, because most checks cost the same for a hundred events as for one: 4 µs an event
instead of 16 (docs/decisions/0014). A single event is a batch of one.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple, fields, force_setattr

from lockstream.core.entities.events import EVENT_TYPES, Event, FaultCleared, JsonText
from lockstream.core.entities.fields import TIMESTAMP
from lockstream.core.errors import MalformedEvent

NESTING_MAX = 100
"""Deepest nesting of an event, in levels.

The decoder's own limit depends on the stack of its caller, so another caller might be unable to read an accepted event.
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

_ENVELOPE_QUOTES = 2 * 5 + 2 * 4
"""Quotes in an event outside its payload: around 5 member names and 4 strings."""

_RECORDED_NAMES = (b'"position"', b'"recorded_at"', b'"recorded_by"', b'"chain"')
"""Members that the log adds to an event."""

_RECORDED_QUOTES = 2 * 3 + 2 * 2
"""Quotes of these members except `recorded_by`: around 3 names and 2 strings."""

_KEY_QUOTES = 4
"""Quotes of the member `recorded_by`, which only events of a key have."""


class _Payload(Struct, gc=False):
    """The payload of an event, undecoded."""

    payload: Raw


class _RecordedMembers(Struct, forbid_unknown_fields=True, gc=False):
    """The members of a log line: the members of an event, undecoded, and the members that the log adds."""

    event_id: Raw
    occurred_at: Raw
    locker_id: Raw
    type: Raw
    payload: Raw
    position: int | None = None
    recorded_at: str = ""
    recorded_by: str | None = None
    chain: str = ""


def payload_fields(event_type: type[Event]) -> dict[str, bool]:
    """Return the payload fields that the rules read, in order, and whether each is required."""
    [payload] = [field.type for field in fields(event_type) if field.name == "payload"]
    return {field.name: field.required for field in fields(payload)}


def _minimal_quotes(event_type: type[Event]) -> int:
    """Return the number of quotes in an event with all payload fields and no further members."""
    names = payload_fields(event_type)
    strings = len(names) - ("severity" in names)
    return _ENVELOPE_QUOTES + 2 * len(names) + 2 * strings


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event.__value__)
_payloads = msgspec.json.Decoder(_Payload)
_recorded_members = msgspec.json.Decoder(_RecordedMembers)
_quotes_of = {event_type: _minimal_quotes(event_type) for event_type in EVENT_TYPES.values()}
_datetimes = msgspec.json.Decoder(list[datetime])
_lists = msgspec.json.Decoder(list[Any])
_encode = msgspec.json.Encoder().encode


def decode_events(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Decode events as lockers send them. In the place of a malformed event, its error is returned."""
    return _decode_each(texts, is_new=True)


def decode_archived(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Decode events as lockers send them, or as lines of any log; position, time, key and chain value are ignored."""
    unrecorded = [_without_record_members(text) for text in texts]
    decoded = iter(decode_events([text for text in unrecorded if isinstance(text, bytes)]))
    return [next(decoded) if isinstance(text, bytes) else text for text in unrecorded]


def decode_recorded(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Decode events that a log holds. Repeated member names pass: versions before 2.1 accepted them."""
    return _decode_each(texts, is_new=False)


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


def have_same_text(one: Event, other: Event) -> bool:
    """Return whether two events with the same id are the same, byte for byte, apart from white space."""
    return type(one) is type(other) and (one.locker_id, one.occurred_at, one.payload_text) == (
        other.locker_id,
        other.occurred_at,
        other.payload_text,
    )


def have_same_content(one: Event, other: Event) -> bool:
    """Return whether two events with the same id have equal values, whatever their white space and order of members."""
    return (
        type(one) is type(other)
        and (one.locker_id, one.payload) == (other.locker_id, other.payload)
        and (one.occurred_at == other.occurred_at or _instants(one) == _instants(other))
        and (one.payload_text == other.payload_text or _values(one) == _values(other))
    )


def is_text_of(text: bytes, event: Event) -> bool:
    """Return whether a JSON text is an event with the same content as `event`, which has the same id."""
    [decoded] = decode_events([text])
    return not isinstance(decoded, MalformedEvent) and have_same_content(decoded, event)


def encode_text(text: str) -> str:
    """Encode `text` as a JSON string."""
    return _encode(text).decode()


def event_of_members(event_id: bytes, occurred_at: bytes, locker_id: bytes, event_type: bytes, payload: bytes) -> bytes:
    """Return the JSON text of an event from the JSON texts of its members."""
    return b'{"event_id":%b,"occurred_at":%b,"locker_id":%b,"type":%b,"payload":%b}' % (
        *(event_id, occurred_at, locker_id, event_type, payload),
    )


def encode_members(event: Event, before: str) -> bytes:
    """Return `before`, followed by the members of the event's JSON object without its braces."""
    head = (
        f'{before}"event_id":"{event.event_id}","occurred_at":"{event.occurred_at}",'
        f'"locker_id":{_encode(event.locker_id).decode()},"type":"{type(event).__name__}","payload":'
    )
    return head.encode() + event.payload_text


def _instants(event: Event) -> list[datetime]:
    return _datetimes.decode(f'["{_without_leap_second(event.occurred_at)}"]')


def _values(event: Event) -> Any:
    """Return the values of a payload. Its numbers are neither rounded nor limited."""
    return json.loads(event.payload_text, parse_int=_number, parse_float=_number)


def _number(text: str) -> Decimal | tuple[str]:
    """Return a number, or a tuple with its text if its exponent is too large for a Decimal."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return (text,)


def _decode_each(texts: Sequence[bytes], *, is_new: bool) -> list[Event | MalformedEvent]:
    """Decode all of `texts` at once. If one of them is malformed, try each half on its own."""
    if not texts:
        return []
    try:
        return list(_decode(texts, is_new=is_new))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, MalformedEvent) as error:
        if len(texts) == 1:
            return [_malformed(texts[0], error, is_new=is_new)]
    middle = len(texts) // 2
    return [*_decode_each(texts[:middle], is_new=is_new), *_decode_each(texts[middle:], is_new=is_new)]


def _malformed(text: bytes, error: Exception, *, is_new: bool) -> MalformedEvent:
    """Return the error of a malformed event. A repeated member is reported before an error in one of its values."""
    try:
        if is_new:
            require_each_member_once(text)
    except MalformedEvent as repeated:
        return repeated
    except (ValueError, RecursionError):
        pass  # the text is not JSON, so `error` says more
    return error if isinstance(error, MalformedEvent) else MalformedEvent(str(error))


def _decode(texts: Sequence[bytes], *, is_new: bool) -> list[Event]:
    """Decode all of `texts`, or raise the first error found."""
    joined = b"\n".join(texts)
    text = joined.decode()
    # Each text is decoded on its own here, so no text is only a part of an event. The checks of `joined` rely on that.
    payloads = [_payloads.decode(text).payload for text in texts]
    events = _events.decode_lines(joined)
    _set_canonical_ids(events)
    _require_timestamps([event.occurred_at for event in events])
    _require_identifiers(events, text)
    if is_new and (more := _with_further_members(texts, joined, events)):
        larger = [texts[index] for index in more]
        _require_flat_events(larger)
        _require_unique_members(larger, [payloads[index] for index in more])
    has_white_space = " " in text or "\t" in text or "\r" in text or text.count("\n") >= len(texts)
    on_one_line = _without_white_space if has_white_space else JsonText
    for event, payload in zip(events, payloads, strict=True):
        force_setattr(event, "payload_text", on_one_line(payload))
    return events


def _with_further_members(texts: Sequence[bytes], joined: bytes, events: Sequence[Event]) -> list[int]:
    """Return the indexes of events that have more members than the rules read, or a member twice.

    Each further member adds at least two quotes to those that an event needs, and nothing removes a quote. So an event
    with no more quotes is flat, and repeats no member. Counting takes 0.2 µs an event (docs/decisions/0020).
    """
    absent = [event.payload.compartment_id for event in events].count(None)
    if joined.count(b'"') == sum(map(_quotes_of.__getitem__, map(type, events))) - 4 * absent:
        return []
    return [
        index
        for index, (text, event) in enumerate(zip(texts, events, strict=True))
        if text.count(b'"') != _quotes_of[event.__class__] - 4 * (event.payload.compartment_id is None)
    ]


def _require_flat_events(texts: Sequence[bytes]) -> None:
    joined = b"".join(texts)
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


def _set_canonical_ids(events: Sequence[Event]) -> None:
    """Require UUIDs, and turn them to lower case."""
    joined = "\n".join([event.event_id for event in events])
    if joined.encode().translate(_HEX_TO_ZERO) + b"\n" != _UUID_SHAPE * len(events):
        raise MalformedEvent("The event_id is not a UUID of 36 characters.")
    if (canonical := joined.lower()) != joined:
        for event, event_id in zip(events, canonical.split("\n"), strict=True):
            force_setattr(event, "event_id", event_id)
    for event in events:
        if event.__class__ is FaultCleared:
            force_setattr(event.payload, "fault_event_id", event.payload.fault_event_id.lower())


def _require_timestamps(timestamps: list[str]) -> None:
    """Require the form of RFC 3339 and an existing date. Timestamps have few forms once each digit is replaced by 0."""
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
    # In minutes of the day, because a datetime in UTC cannot be before the year 1 or after 9999. The minute is read
    # from the text, because the decoder rounds a fraction up.
    offset = (instant.utcoffset() or timedelta()) // timedelta(minutes=1)
    utc_minute = 60 * int(timestamp[11:13]) + int(timestamp[14:16]) - offset
    if utc_minute % _MINUTES_OF_DAY != _MINUTES_OF_DAY - 1:
        raise MalformedEvent("The timestamp has second 60, which only the last minute of a UTC day can have.")
    return before


def _require_identifiers(events: Sequence[Event], text: str) -> None:
    """Require identifiers without control characters and `/`. `text` is the JSON text of all `events`."""
    if text.isascii() and "/" not in text and "\\" not in text and "\x7f" not in text:
        return  # an unescaped control character would not be JSON
    joined = "".join([event.locker_id for event in events])
    joined += "".join([value for event in events for value in astuple(event.payload) if value.__class__ is str])
    if found := _FORBIDDEN_CHARACTER.search(joined):
        raise MalformedEvent(f"An identifier contains the character {found[0]!r}, which is not allowed.")


def _require_unique_members(texts: Sequence[bytes], payloads: Sequence[Raw]) -> None:
    """Require that no object has a member name twice (RFC 7493, section 2.3), at any depth.

    Decoders keep the last of two members, so the decoded values then need fewer quotes than the text has
    (docs/decisions/0020).
    """
    try:
        values = _lists.decode(b"[%b]" % b",".join(payloads))
    except msgspec.DecodeError:  # a number may be larger than any decoder accepts
        values = []
    joined = b"".join(texts)
    if b"\\" in joined:
        joined = joined.replace(rb"\\", b"").replace(rb"\"", b"")
    if joined.count(b'"') != _ENVELOPE_QUOTES * len(texts) + _quotes_in(values):
        for text in texts:
            require_each_member_once(text)


def require_each_member_once(text: bytes) -> None:
    """Require that no object has a member name twice, at any depth.

    Raises:
        MalformedEvent: a member name is repeated.
        ValueError, RecursionError: the text is not JSON, or is nested too deep.
    """
    json.loads(text, object_pairs_hook=_unique_members, parse_int=str, parse_float=str)


def _without_record_members(text: bytes) -> bytes | MalformedEvent:
    """Return a log line as the event that it holds. A text that is not a log line is returned as it is."""
    if not any(name in text for name in _RECORDED_NAMES):
        return text
    try:
        line = _recorded_members.decode(text)
        members = (line.event_id, line.occurred_at, line.locker_id, line.type, line.payload)
        event = event_of_members(*map(bytes, members))
        is_whole = line.position is not None and line.recorded_at and line.chain
        added = _RECORDED_QUOTES if line.recorded_by is None else _RECORDED_QUOTES + _KEY_QUOTES
        if not is_whole or text.count(b'"') != event.count(b'"') + added:
            require_each_member_once(text)
    except MalformedEvent as error:
        return error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text  # decoding the text as an event reports its error
    return event


def _quotes_in(values: list[Any]) -> int:
    """Return how many quotes the JSON text of `values` has, apart from escaped ones. All values are counted at once."""
    quotes = 0
    while values:
        quotes += 2 * list(map(type, values)).count(str)
        objects = [value for value in values if value.__class__ is dict]
        quotes += 2 * sum(map(len, objects))
        inner = [*map(dict.values, objects), *(value for value in values if value.__class__ is list)]
        values = list(chain.from_iterable(inner))
    return quotes


def _unique_members(pairs: Iterable[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise MalformedEvent(
                f"The member {name!r} occurs twice in one object. Send each member once.", "duplicate_member"
            )
        names.add(name)


def _without_white_space(payload: Raw) -> JsonText:
    """Return the payload on one line, without white space between tokens; each value stays as it was sent."""
    return JsonText(msgspec.json.format(bytes(payload), indent=-1))

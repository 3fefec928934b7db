"""An event as JSON, and as one line of the log: the only place that knows either form.

A line is one JSON object:

    {"position":…,"recorded_at":…,"event_id":…,"occurred_at":…,"locker_id":…,"type":…,"payload":{…},"chain":…}

`chain` is the SHA-256 (hexadecimal) of the chain value of the line before it (64 zeros before the first) followed by
all of this line's bytes up to the comma in front of "chain". So a line cannot be edited, dropped, repeated or moved
without its own check or the next line's failing.
"""

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import asdict

from lockstream.core.entities.events import EVENT_TYPES, Event
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.errors import MalformedEvent

IDENTIFIER_MAX = 128
"""Characters (RULES: An event)."""

IDENTIFIER = r"[^\x00-\x1f\x7f-\x9f/]+"
"""No control characters (Unicode category Cc) and no `/` (RULES: An event)."""

UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
"""The textual form of RFC 9562, in either case."""

INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
"""The date-time of RFC 3339: the offset must be there."""

SEVERITY_MAX = 2**31 - 1
"""It fits in 32 bits, signed (RULES: An event)."""


def _whole(pattern: str) -> str:
    return rf"\A{pattern}\Z"


type _Identifier = Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_MAX, pattern=_whole(IDENTIFIER))]
type _Uuid = Annotated[str, Meta(pattern=_whole(UUID))]
type _Instant = Annotated[str, Meta(pattern=_whole(INSTANT))]


class _Plain(Struct, forbid_unknown_fields=True):
    event_id: _Uuid
    occurred_at: _Instant
    locker_id: _Identifier
    type: str
    payload: Raw


class _Recorded(_Plain, forbid_unknown_fields=True):
    """What a line of the log has beyond the event; `Record` holds it once the line is checked."""

    position: int | None = None
    recorded_at: str = ""
    chain: str = ""


class _OfCompartment(Struct):
    compartment_id: _Identifier


class _OfNewReservation(Struct):
    reservation_id: _Identifier
    compartment_id: _Identifier


class _OfReservation(Struct):
    reservation_id: _Identifier
    compartment_id: _Identifier | None = None


class _OfFault(Struct):
    compartment_id: _Identifier
    severity: Annotated[int, Meta(ge=0, le=SEVERITY_MAX)]


class _OfClearance(Struct):
    compartment_id: _Identifier
    fault_event_id: _Uuid

    def __post_init__(self) -> None:
        self.fault_event_id = self.fault_event_id.lower()


_plain = msgspec.json.Decoder(_Plain)
_recorded = msgspec.json.Decoder(_Recorded)
_payloads: dict[str, msgspec.json.Decoder[Struct]] = {
    "CompartmentRegistered": msgspec.json.Decoder(_OfCompartment),
    "ReservationCreated": msgspec.json.Decoder(_OfNewReservation),
    "ParcelDeposited": msgspec.json.Decoder(_OfReservation),
    "ParcelPickedUp": msgspec.json.Decoder(_OfReservation),
    "ReservationExpired": msgspec.json.Decoder(_OfReservation),
    "FaultReported": msgspec.json.Decoder(_OfFault),
    "FaultCleared": msgspec.json.Decoder(_OfClearance),
}
_encode = msgspec.json.Encoder().encode


class InvalidLine(Exception):
    """A line is not the one that follows here; the text says why."""


def decode_event(text: bytes) -> Event:
    """Read an event as a locker sends it.

    Raises:
        MalformedEvent: `text` is no event.
    """
    return _decode(text, _plain)


def decode_archived(text: bytes) -> Event:
    """Read an event as a locker sends it or as a line of any log holds it; that line's place there is left aside.

    Raises:
        MalformedEvent: `text` is neither.
    """
    return _decode(text, _recorded)


def is_instant(text: str) -> bool:
    """Whether `text` is a date and time of RFC 3339 with an offset."""
    try:
        msgspec.convert(msgspec.convert(text, _Instant), datetime)
    except msgspec.ValidationError:
        return False
    return True


def encode_event(event: Event) -> bytes:
    """Write `event` as a locker sends it, on one line without its end."""
    return b"{%b}" % _members(event)


def encode_line(event: Event, recorded_at: str, after: Cursor) -> tuple[bytes, Cursor]:
    """Write the line for `event` that follows `after`; returns it with the cursor behind it."""
    position = after.position + 1
    content = b'{"position":%d,"recorded_at":"%b",%b' % (position, recorded_at.encode(), _members(event))
    chain = _chain(after, content)
    line = b'%b,"chain":"%b"}\n' % (content, chain)
    return line, Cursor(position, after.offset + len(line), chain.decode())


_TAIL = len(b',"chain":"') + 64 + len(b'"}\n')


def check_line(line: bytes, after: Cursor) -> Cursor:
    """Hold a line's form, position and chain to what must follow `after`; returns the cursor behind it.

    Raises:
        InvalidLine: it is not the line that was written there.
    """
    content, chain = line[:-_TAIL], line[-67:-3]
    position = after.position + 1
    if line[-_TAIL:-67] != b',"chain":"' or line[-3:] != b'"}\n':
        raise InvalidLine("the line has not the form of a record; it is torn or was overwritten.")
    if not content.startswith(b'{"position":%d,' % position):
        raise InvalidLine(f"the record of position {position} should stand here; a line is missing, repeated or moved.")
    if chain != _chain(after, content):
        raise InvalidLine("its content and the records before it do not give its chain value; a line was altered.")
    return Cursor(position, after.offset + len(line), chain.decode())


def whole_record(text: bytes, after: Cursor) -> bytes:
    """The record that follows `after` and that `text` begins with, without its line end; empty where there is none."""
    for chain in re.finditer(rb',"chain":"[0-9a-f]{64}"\}', text):  # a payload may hold the like
        record = text[: chain.end()]
        try:
            check_line(record + b"\n", after)
        except InvalidLine:
            continue
        return record
    return b""


def begins_record(text: bytes) -> bool:
    """Whether `text` begins as records do."""
    return text.startswith(b'{"position":')


def decode_line(line: bytes, after: Cursor) -> Record:
    """Read the line that follows `after`.

    Raises:
        InvalidLine: it is not the line that was written there, or holds no event.
    """
    end = check_line(line, after)
    try:
        event = decode_archived(line)
    except MalformedEvent as error:
        raise InvalidLine(f"its chain value is right, yet it holds no event: {error}") from error
    return Record(event, line.split(b'"', 6)[5].decode(), end)


def cursor_behind(line: bytes, end: int) -> Cursor:
    """The cursor behind a line that ends at offset `end`, by the line's own account.

    Raises:
        InvalidLine: it has not the form of a record.
    """
    try:
        recorded = _recorded.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidLine("the line has not the form of a record.") from error
    if recorded.position is None:
        raise InvalidLine("the line bears no position.")
    return Cursor(recorded.position, end, recorded.chain)


def _decode(text: bytes, decoder: msgspec.json.Decoder[_Plain] | msgspec.json.Decoder[_Recorded]) -> Event:
    try:
        text.decode()
        plain = decoder.decode(text)
        if plain.type not in _payloads:
            raise MalformedEvent(f"There is no event type {plain.type!r}.")
        msgspec.convert(plain.occurred_at, datetime)
        return EVENT_TYPES[plain.type](
            event_id=plain.event_id.lower(),
            occurred_at=plain.occurred_at,
            locker_id=plain.locker_id,
            payload=msgspec.json.format(plain.payload, indent=-1),
            **asdict(_payloads[plain.type].decode(plain.payload)),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error)) from error


def _members(event: Event) -> bytes:
    return b'"event_id":"%b","occurred_at":"%b","locker_id":%b,"type":"%b","payload":%b' % (
        event.event_id.encode(),
        event.occurred_at.encode(),
        _encode(event.locker_id),
        type(event).__name__.encode(),
        event.payload,
    )


def _chain(after: Cursor, content: bytes) -> bytes:
    return sha256(after.chain.encode() + content).hexdigest().encode()

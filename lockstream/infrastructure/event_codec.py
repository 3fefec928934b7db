"""An event as JSON: as a locker sends it, and as a line of the log holds it.

Events are read many at a time, since most checks cost the same for a hundred as for one: 4 µs an event instead of 16,
on a machine where a bare HTTP request costs 75. One that is alone is a batch of one.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import astuple

from lockstream.core.entities.events import EVENT_TYPES, Event
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

NESTING_MAX = 100
"""Levels. A decoder gives up at a depth that depends on its caller: what one accepts, another could not read again."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?')
"""The quote at its end may be missing, so that no text is searched for one again and again."""

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())


_INSTANT = re.compile(INSTANT.encode())
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f/]")
_HEX = bytes(ord("0") if chr(byte) in "0123456789abcdefABCDEF" else byte for byte in range(256))
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else byte for byte in range(256))
_UUID_SHAPE = b"00000000-0000-0000-0000-000000000000\n"
_SPACE, _TAB, _RETURN = b" \t\r"
"""As numbers: to look for bytes in bytes, Python fails to take them for a number first, which costs 1 µs."""

type _Identifier = Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_MAX)]
type _Uuid = Annotated[str, Meta(pattern=rf"\A{UUID}\Z")]


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    event_id: str
    occurred_at: str
    locker_id: _Identifier
    type: str
    payload: Raw


class _Recorded(_Plain, forbid_unknown_fields=True, gc=False):
    """With what a line of the log has beyond the event."""

    position: int | None = None
    recorded_at: str = ""
    chain: str = ""


# Of each type's payload the fields that its event class has, in that order.


class _OfCompartment(Struct, gc=False):
    compartment_id: _Identifier


class _OfNewReservation(Struct, gc=False):
    reservation_id: _Identifier
    compartment_id: _Identifier


class _OfReservation(Struct, gc=False):
    reservation_id: _Identifier
    compartment_id: _Identifier | None = None


class _OfFault(Struct, gc=False):
    compartment_id: _Identifier
    severity: Annotated[int, Meta(ge=0, le=SEVERITY_MAX)]


class _OfClearance(Struct, gc=False):
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
_instants = msgspec.json.Decoder(list[datetime])
_encode = msgspec.json.Encoder().encode

type _Decoder = msgspec.json.Decoder[_Plain] | msgspec.json.Decoder[_Recorded]


def decode_events(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Read events as lockers send them; in the place of what is no event stands why."""
    return _decode_each(texts, _plain)


def decode_archived(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
    """Read events as lockers send them or as lines of any log hold them; their places there are left aside."""
    return _decode_each(texts, _recorded)


def decode_event(text: bytes) -> Event:
    """Read an event as a locker sends it.

    Raises:
        MalformedEvent: `text` is no event.
    """
    [event] = decode_events([text])
    if isinstance(event, MalformedEvent):
        raise event
    return event


def is_instant(text: str) -> bool:
    """Whether `text` is a date and time of RFC 3339 with an offset."""
    try:
        _require_instants([text])
    except (MalformedEvent, msgspec.ValidationError):
        return False
    return True


def encode_event(event: Event) -> bytes:
    """Write `event` as a locker sends it, on one line without its end."""
    return encode_members(event, "{") + b"}"


def encode_text(text: str) -> str:
    """Write `text` as JSON."""
    return _encode(text).decode()


def encode_members(event: Event, before: str) -> bytes:
    """The members of that object, behind `before`, and not yet closed."""
    head = (
        f'{before}"event_id":"{event.event_id}","occurred_at":"{event.occurred_at}",'
        f'"locker_id":{_encode(event.locker_id).decode()},"type":"{type(event).__name__}","payload":'
    )
    return head.encode() + event.payload


def _decode_each(texts: Sequence[bytes], decoder: _Decoder) -> list[Event | MalformedEvent]:
    try:
        return _decode(texts, decoder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, MalformedEvent) as error:
        if len(texts) == 1:
            return [error if isinstance(error, MalformedEvent) else MalformedEvent(str(error))]
    return [event for text in texts for event in _decode_each([text], decoder)]  # what is wrong with one harms no other


def _decode(texts: Sequence[bytes], decoder: _Decoder) -> list[Event | MalformedEvent]:
    """Read `texts`, all of them or none: what is wrong with one is raised."""
    joined = b"\n".join(texts)
    _require_utf8_and_flat(texts, joined)
    plains = [decoder.decode(text) for text in texts]
    ids = _canonical_ids([plain.event_id for plain in plains])
    _require_instants([plain.occurred_at for plain in plains])
    try:
        fields: list[tuple[Any, ...]] = [astuple(_payloads[plain.type].decode(plain.payload)) for plain in plains]
    except KeyError as unknown:
        raise MalformedEvent(f"There is no event type {unknown.args[0]!r}.") from unknown
    _require_identifiers(plains, fields)
    spaced = _SPACE in joined or _TAB in joined or _RETURN in joined or joined.count(b"\n") >= len(texts)
    on_one_line = _squeezed if spaced else bytes
    return [
        EVENT_TYPES[plain.type](event_id, plain.occurred_at, plain.locker_id, on_one_line(plain.payload), *own)
        for event_id, plain, own in zip(ids, plains, fields, strict=True)
    ]


def _require_utf8_and_flat(texts: Sequence[bytes], joined: bytes) -> None:
    joined.decode()
    # An event opens two brackets at least: where all of them open so few, none can be nested too deep.
    if joined.count(b"[") + joined.count(b"{") > 2 * (len(texts) - 1) + NESTING_MAX:
        for text in texts:
            _require_flat(text)


def _require_flat(text: bytes) -> None:
    """Hold JSON to `NESTING_MAX` levels, whether it is well-formed or not."""
    if text.count(b"[") + text.count(b"{") <= NESTING_MAX:
        return
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > NESTING_MAX:
        raise MalformedEvent(f"The event is nested deeper than {NESTING_MAX} levels.")


def _canonical_ids(ids: list[str]) -> list[str]:
    """UUIDs in lower case."""
    joined = "\n".join(ids)
    if joined.encode().translate(_HEX) + b"\n" != _UUID_SHAPE * len(ids):
        raise MalformedEvent("An event_id is a UUID of 36 characters.")
    canonical = joined.lower()
    return ids if canonical == joined else canonical.split("\n")


def _require_instants(instants: list[str]) -> None:
    """Hold them to the form of RFC 3339, of which there are few where digits are alike, then to the calendar."""
    joined = "\n".join(instants).encode()
    if not all(map(_is_instant_shape, set(joined.translate(_DIGITS).split(b"\n")))):
        raise MalformedEvent("A timestamp is RFC 3339 with an offset.")
    if len(_instants.decode(b'["%b"]' % joined.replace(b"\n", b'","'))) != len(instants):
        raise MalformedEvent("A timestamp holds no line end.")


@lru_cache(256)
def _is_instant_shape(shape: bytes) -> bool:
    return _INSTANT.fullmatch(shape) is not None


def _require_identifiers(plains: Sequence[_Plain], fields: list[tuple[Any, ...]]) -> None:
    joined = "".join([plain.locker_id for plain in plains])
    joined += "".join([value for own in fields for value in own if value.__class__ is str])
    plain = joined.isprintable() and "/" not in joined  # what is printable holds no control character
    if not plain and (found := _FORBIDDEN.search(joined)):
        raise MalformedEvent(f"An identifier holds the character {found[0]!r}, which none may.")


def _squeezed(payload: Raw) -> bytes:
    """On one line: without white space between tokens, and each value as it came."""
    return msgspec.json.format(bytes(payload), indent=-1)

"""An event as JSON: as a locker sends it, and as a line of the log holds it."""

import re
from datetime import datetime
from itertools import accumulate
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import asdict

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

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())


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
    """With what a line of the log has beyond the event."""

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
    return b"{%b}" % encode_members(event)


def encode_members(event: Event) -> bytes:
    """The members of that object, without its braces."""
    return b'"event_id":"%b","occurred_at":"%b","locker_id":%b,"type":"%b","payload":%b' % (
        event.event_id.encode(),
        event.occurred_at.encode(),
        _encode(event.locker_id),
        type(event).__name__.encode(),
        event.payload,
    )


def _decode(text: bytes, decoder: msgspec.json.Decoder[_Plain] | msgspec.json.Decoder[_Recorded]) -> Event:
    try:
        text.decode()
        plain = decoder.decode(text)
        _require_flat(text)
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


def _require_flat(text: bytes) -> None:
    """Hold well-formed JSON to `NESTING_MAX` levels."""
    if text.count(b"[") + text.count(b"{") <= NESTING_MAX:
        return
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets))) > NESTING_MAX:
        raise MalformedEvent(f"The event is nested deeper than {NESTING_MAX} levels.")

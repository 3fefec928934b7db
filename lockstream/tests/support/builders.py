"""Builders of event bodies and batch bodies, as a locker sends them."""

import json
from typing import Any
from uuid import uuid4

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_events

type Body = dict[str, Any]

LOCKER, COMPARTMENT, RESERVATION = "locker-1", "compartment-1", "reservation-1"
RECORDED_AT = "2026-11-23T08:15:00.000000Z"


def body(event_type: str, locker: str = LOCKER, event_id: str | None = None, **payload: object) -> Body:
    """Return the body of an event, by default with a new id."""
    return {
        "event_id": event_id or str(uuid4()),
        "occurred_at": "2026-11-23T09:15:00+01:00",
        "locker_id": locker,
        "type": event_type,
        "payload": payload,
    }


def registered(compartment: str = COMPARTMENT, **more: Any) -> Body:
    return body("CompartmentRegistered", compartment_id=compartment, **more)


def reserved(reservation: str = RESERVATION, compartment: str = COMPARTMENT, **more: Any) -> Body:
    return body("ReservationCreated", reservation_id=reservation, compartment_id=compartment, **more)


def deposited(reservation: str = RESERVATION, **more: Any) -> Body:
    return body("ParcelDeposited", reservation_id=reservation, **more)


def picked_up(reservation: str = RESERVATION, **more: Any) -> Body:
    return body("ParcelPickedUp", reservation_id=reservation, **more)


def expired(reservation: str = RESERVATION, **more: Any) -> Body:
    return body("ReservationExpired", reservation_id=reservation, **more)


def fault_reported(severity: int = 3, compartment: str = COMPARTMENT, **more: Any) -> Body:
    return body("FaultReported", compartment_id=compartment, severity=severity, **more)


def fault_cleared(fault: Body, compartment: str = COMPARTMENT, **more: Any) -> Body:
    return body("FaultCleared", compartment_id=compartment, fault_event_id=fault["event_id"], **more)


def event_of_size(size: int) -> bytes:
    """Return an event whose JSON text has `size` bytes."""
    text = json.dumps(registered(note=""))
    return text.replace('"note": ""', f'"note": "{"x" * (size - len(text))}"').encode()


def fault_with_member(value: str) -> bytes:
    """Return a fault whose payload has one more member, with `value` as its JSON text."""
    return json.dumps(fault_reported()).replace('"severity": 3', f'"severity": 3, "further": {value}').encode()


def nested_event(depth: int) -> bytes:
    """Return an event whose payload has one more member, which is nested `depth` levels deep."""
    nested = "[" * depth + "]" * depth
    return json.dumps(registered(f"depth-{depth}")).replace('"payload": {', f'"payload": {{"deep": {nested}, ').encode()


def as_array(*items: Body | bytes) -> bytes:
    """Return a batch as a JSON array. Bytes are inserted unchanged."""
    return b"[%b]" % b",".join(map(_text, items))


def as_lines(*items: Body | bytes, end: bytes = b"\n") -> bytes:
    """Return a batch as NDJSON. Bytes are inserted unchanged."""
    return b"".join(_text(item) + end for item in items)


def decode_event(text: bytes) -> Event:
    """Decode an event as a locker sends it. Raises MalformedEvent if the text is not an event."""
    [decoded] = decode_events([text])
    if isinstance(decoded, MalformedEvent):
        raise decoded
    return decoded


def event(of: Body) -> Event:
    """Return the event that a body describes."""
    return decode_event(json.dumps(of).encode())


def _text(item: Body | bytes) -> bytes:
    return item if isinstance(item, bytes) else json.dumps(item).encode()

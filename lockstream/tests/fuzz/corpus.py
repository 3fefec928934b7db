"""What the fuzzers begin with: good bodies and lines, and what bodies are made of."""

import json

from lockstream.tests.fuzz.properties import LOG, TEXTS
from lockstream.tests.support.builders import (
    as_array,
    as_lines,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

_REPORT = fault_reported()
_EVENTS = [registered(), reserved(), deposited(compartment_id=None), picked_up(), expired(), _REPORT]
_EVENTS += [fault_cleared(_REPORT), registered(extra=[1.50, -0.0, 1e400, {"é": '\\"\n\ud83d\udd12'}], locker='"\\ ')]

SEEDS = [
    *TEXTS,
    *(json.dumps(event, indent=indent).encode() for event in _EVENTS for indent in (None, 1)),
    *LOG.splitlines(keepends=True),
    as_array(*_EVENTS),
    as_lines(*_EVENTS),
    b"[" * 200 + b"]" * 200,
    b"\x01\x02\x03 " + as_lines(_EVENTS[0], b"x" * 600, _EVENTS[1]),
]

TOKENS = [
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\n", b"\r", b"\t", b" ", b"/", b"\x00", b"\x1f", b"\x7f"),
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"0", b"-0", b"1e400", b"3.0", b"03", b"2147483648"),
    *(rb"\ud800", rb"\udc00", rb"\u0000", rb"\/", rb"\"", b"\xff", b"\xed\xa0\x80", "\x85".encode(), "\u2028".encode()),
    *(b'"event_id"', b'"occurred_at"', b'"locker_id"', b'"type"', b'"payload"', b'"position"', b'"recorded_at"'),
    *(b'"compartment_id"', b'"reservation_id"', b'"fault_event_id"', b'"severity"', b'"chain":"', b'{"event_id":"'),
    *(b'"FaultReported"', b'"FaultCleared"', b'"ParcelDeposited"', b'"CompartmentRegistered"', b"2026-11-23T09:15:00Z"),
    b"0190A5E0-0000-4000-8000-000000000001",
]

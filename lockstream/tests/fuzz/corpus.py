"""Inputs that the fuzzers begin with: valid bodies and lines, and the tokens that bodies consist of."""

import json

from lockstream.tests.fuzz.properties import BYTE_ORDER_MARK, LOG, MAX_EVENT_BYTES, TEXTS
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
_EVENTS += [registered(), registered() | {"occurred_at": "2016-12-31T23:59:60Z"}]

_LARGEST = TEXTS[1].replace(
    b'"payload":{', b'"payload":{"x":"%b",' % (b"x" * (MAX_EVENT_BYTES - len(TEXTS[1]) - len('"x":"",')))
)
assert len(_LARGEST) == MAX_EVENT_BYTES

SEEDS = [
    *TEXTS,
    *(json.dumps(event, indent=indent).encode() for event in _EVENTS for indent in (None, 1)),
    *LOG.splitlines(keepends=True),
    as_array(*_EVENTS),
    as_array(),
    as_lines(*_EVENTS),
    *(BYTE_ORDER_MARK + as_lines(first, TEXTS[0]) for first in (TEXTS[0], _LARGEST, _LARGEST + b" ", b" " + _LARGEST)),
    *(as_lines(b"x" + _LARGEST, _LARGEST), BYTE_ORDER_MARK + as_lines(b"x" + _LARGEST, _LARGEST)),
    json.dumps(registered(extra=1)).replace('"extra"', '"compartment_id": "", "extra": 2, "extr\\u0061"').encode(),
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
    *(b"0190A5E0-0000-4000-8000-000000000001", b"23:59:60", BYTE_ORDER_MARK, rb'"sever\u0069ty"', b'"extra":'),
    b'"recorded_by":"k3y8char",',
]

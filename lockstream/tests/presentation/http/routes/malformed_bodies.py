"""Bodies that are not events, with the location of an error that the response must list."""

from typing import Any

from lockstream.tests.support.builders import Body, deposited, fault_cleared, fault_reported, registered


def without(event: Body, name: str) -> Body:
    return {key: value for key, value in event.items() if key != name}


def _changed(**members: Any) -> Body:
    return registered() | members


def _with_payload(event: Body, payload: object) -> Body:
    return event | {"payload": payload}


PAYLOAD_TEXTS: tuple[object, ...] = (None, "", "{}", "e30=", {}, [123, 125], 0, True)
"""Values of a member whose name is that of a field of the event classes, which no client can set."""

MALFORMED: dict[str, tuple[object, list[str]]] = {
    "null": (None, ["body"]),
    "a list": ([registered()], ["body"]),
    "a string": ("event", ["body"]),
    "an empty object": ({}, ["body", "type"]),
    "no event id": (without(registered(), "event_id"), ["body", "event_id"]),
    "no time": (without(registered(), "occurred_at"), ["body", "occurred_at"]),
    "no locker": (without(registered(), "locker_id"), ["body", "locker_id"]),
    "no type": (without(registered(), "type"), ["body", "type"]),
    "no payload": (without(registered(), "payload"), ["body", "payload"]),
    "a further member": (_changed(extra=1), ["body", "extra"]),
    **{
        f"{value!r} for the text of the payload": (_changed(payload_text=value), ["body", "payload_text"])
        for value in PAYLOAD_TEXTS
    },
    "an id that is not a UUID": (registered(event_id="1"), ["body", "event_id"]),
    "an id without hyphens": (registered(event_id="0" * 32), ["body", "event_id"]),
    "an id in braces": (registered(event_id="{00000000-0000-4000-8000-000000000000}"), ["body", "event_id"]),
    "an id with a line end": (registered(event_id="00000000-0000-4000-8000-000000000000\n"), ["body", "event_id"]),
    "a numeric id": (_changed(event_id=1), ["body", "event_id"]),
    "a time without an offset": (_changed(occurred_at="2026-11-23T09:15:00"), ["body", "occurred_at"]),
    "a date": (_changed(occurred_at="2026-11-23"), ["body", "occurred_at"]),
    "a number for a time": (_changed(occurred_at=1795421700), ["body", "occurred_at"]),
    "a number in a string for a time": (_changed(occurred_at="1795421700"), ["body", "occurred_at"]),
    "the 30th of February": (_changed(occurred_at="2026-02-30T09:15:00Z"), ["body", "occurred_at"]),
    "the 25th hour": (_changed(occurred_at="2026-02-20T25:15:00Z"), ["body", "occurred_at"]),
    "second 60 in the middle of a day": (_changed(occurred_at="2016-12-31T12:00:60Z"), ["body", "occurred_at"]),
    "second 61": (_changed(occurred_at="2016-12-31T23:59:61Z"), ["body", "occurred_at"]),
    "a time with a line end": (_changed(occurred_at="2026-02-20T05:15:00Z\n"), ["body", "occurred_at"]),
    "an empty locker id": (registered(locker=""), ["body", "locker_id"]),
    "a locker id of 129 characters": (registered(locker="x" * 129), ["body", "locker_id"]),
    "a locker id with a slash": (registered(locker="a/b"), ["body", "locker_id"]),
    "a locker id with a control character": (registered(locker="a\x00"), ["body", "locker_id"]),
    "a locker id with a line end": (registered(locker="a\n"), ["body", "locker_id"]),
    "a locker id with a C1 control character": (registered(locker="a\x85"), ["body", "locker_id"]),
    "a number for a locker id": (_changed(locker_id=7), ["body", "locker_id"]),
    "an unknown type": (_changed(type="ParcelLost"), ["body", "type"]),
    "a type in another case": (_changed(type="compartmentregistered"), ["body", "type"]),
    "a list for a payload": (_with_payload(registered(), []), ["body", "payload"]),
    "null for a payload": (_with_payload(registered(), None), ["body", "payload"]),
    "an empty payload": (_with_payload(registered(), {}), ["body", "payload", "compartment_id"]),
    "null for a compartment": (
        _with_payload(registered(), {"compartment_id": None}),
        ["body", "payload", "compartment_id"],
    ),
    "no reservation": (_with_payload(deposited(), {}), ["body", "payload", "reservation_id"]),
    "an empty id for an optional compartment": (
        deposited(compartment_id=""),
        ["body", "payload", "compartment_id"],
    ),
    "no severity": (_with_payload(fault_reported(), {"compartment_id": "c"}), ["body", "payload", "severity"]),
    "a negative severity": (fault_reported(-1), ["body", "payload", "severity"]),
    "a severity over 32 bits": (fault_reported(2**31), ["body", "payload", "severity"]),
    "a huge severity": (fault_reported(10**30), ["body", "payload", "severity"]),
    "a boolean for a severity": (fault_reported(True), ["body", "payload", "severity"]),
    "a float for a severity": (fault_reported(3.0), ["body", "payload", "severity"]),  # type: ignore[arg-type]
    "a string for a severity": (fault_reported("3"), ["body", "payload", "severity"]),  # type: ignore[arg-type]
    "a fault id that is not a UUID": (fault_cleared({"event_id": "x"}), ["body", "payload", "fault_event_id"]),
}
"""Description, to the body and the location of one of its errors."""

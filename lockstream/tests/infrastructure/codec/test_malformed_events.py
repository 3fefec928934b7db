"""What is no event."""

import json
from typing import Any

import pytest

from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_archived, decode_event, decode_events
from lockstream.tests.support.builders import (
    Body,
    deposited,
    event,
    fault_cleared,
    fault_reported,
    registered,
    reserved,
)

REPORT = fault_reported()
WHOLE = json.dumps(reserved()).encode()


def refuses(text: bytes) -> None:
    """It is none as a locker sends it nor in a log, and harms none of those that it is read together with."""
    with pytest.raises(MalformedEvent, match=r"\S"):
        decode_event(text)
    for decode in (decode_events, decode_archived):
        before, refused, after = decode([WHOLE, text, WHOLE])
        assert isinstance(refused, MalformedEvent)
        assert str(refused).strip()
        assert before == after == decode_event(WHOLE)


def without(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}


def in_brief(text: bytes) -> str:
    return f"{ascii(text[:10] + b'..' + text[-5:] if len(text) > 20 else text)[2:-1]} ({len(text)} bytes)"


def test_what_is_broken_below_is_whole_to_begin_with() -> None:
    for body in (registered(), reserved(), deposited(), REPORT, fault_cleared(REPORT)):
        event(body)


@pytest.mark.parametrize("name", ["event_id", "occurred_at", "locker_id", "type", "payload"])
def test_a_member_is_missing(name: str) -> None:
    refuses(json.dumps(without(registered(), name)).encode())


@pytest.mark.parametrize("name", ["extra", "Event_id", "compartment_id", ""])
def test_a_member_is_too_many(name: str) -> None:
    refuses(json.dumps(registered() | {name: "a"}).encode())


@pytest.mark.parametrize("name", ["position", "recorded_at", "chain"])
def test_a_sender_cannot_say_where_its_event_stands(name: str) -> None:
    with pytest.raises(MalformedEvent):
        event(registered() | {name: 1 if name == "position" else "a"})


@pytest.mark.parametrize("wrong", [None, True, 1, 1.5, [], {}, ["a"]], ids=json.dumps)
@pytest.mark.parametrize("name", ["event_id", "occurred_at", "locker_id", "type"])
def test_a_member_is_no_string(name: str, wrong: object) -> None:
    refuses(json.dumps(registered() | {name: wrong}).encode())


@pytest.mark.parametrize("wrong", [None, True, 1, "a", []], ids=json.dumps)
def test_the_payload_is_no_object(wrong: object) -> None:
    refuses(json.dumps(registered() | {"payload": wrong}).encode())


@pytest.mark.parametrize("wrong", ["", "registered", "compartmentregistered", "CompartmentRegistered ", "Event"])
def test_there_is_no_such_type(wrong: str) -> None:
    refuses(json.dumps(registered() | {"type": wrong}).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "1",
        "00000000-0000-4000-8000-00000000000",
        "00000000-0000-4000-8000-0000000000000",
        "00000000000040008000000000000000",
        "{00000000-0000-4000-8000-000000000000}",
        "urn:uuid:00000000-0000-4000-8000-000000000000",
        "g0000000-0000-4000-8000-000000000000",
        "\u06600000000-0000-4000-8000-000000000000",
        "00000000-0000-4000-8000-000000000000\n",
        " 00000000-0000-4000-8000-000000000000",
        *(f"{letter}0000000-0000-4000-8000-00000000000{letter}" for letter in "ghGHzx:/@`"),
    ],
)
def test_an_event_id_is_no_uuid(wrong: str) -> None:
    refuses(json.dumps(registered(event_id=wrong) | {"event_id": wrong}).encode())
    refuses(json.dumps(fault_cleared(REPORT | {"event_id": wrong})).encode())


WRONG_IDENTIFIERS: list[Any] = [
    *("", "a" * 129, "\U0001f512" * 129, "a/b", "/", "a\n", "\na", "a\x00", "\x1f", "a\x7fb", "\x80", "\x85", "\x9f"),
    *(None, 1, True, ["a"], {}),
]


@pytest.mark.parametrize("wrong", WRONG_IDENTIFIERS, ids=lambda wrong: ascii(wrong)[:20])
@pytest.mark.parametrize("escaped", [True, False])
def test_an_identifier_is_none(wrong: Any, escaped: bool) -> None:
    bodies = [registered(wrong), registered(locker=wrong), reserved(wrong), reserved(compartment=wrong)]
    bodies += [deposited(wrong), REPORT | {"payload": {"compartment_id": wrong, "severity": 3}}]
    bodies += [fault_cleared(REPORT, wrong)] + ([] if wrong is None else [deposited(compartment_id=wrong)])
    for body in bodies:
        refuses(json.dumps(body, ensure_ascii=escaped).encode())


@pytest.mark.parametrize(
    "wrong", ["-1", "2147483648", "1e400", "3.0", "3e0", '"3"', "true", "null", "[3]", "-0.0", "03"]
)
def test_a_severity_is_no_integer_of_32_bits(wrong: str) -> None:
    refuses(json.dumps(fault_reported()).replace('"severity": 3', f'"severity": {wrong}').encode())


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (registered(), "compartment_id"),
        (reserved(), "compartment_id"),
        (reserved(), "reservation_id"),
        (deposited(), "reservation_id"),
        (REPORT, "compartment_id"),
        (REPORT, "severity"),
        (fault_cleared(REPORT), "compartment_id"),
        (fault_cleared(REPORT), "fault_event_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value["type"]),
)
def test_a_member_of_the_payload_is_missing(body: Body, name: str) -> None:
    refuses(json.dumps(body | {"payload": without(body["payload"], name)}).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "now",
        "2026-11-23T09:15:00",
        "2026-11-23T09:15:00.5",
        "2026-11-23",
        "09:15:00Z",
        "2026-11-23T09:15Z",
        "2026-11-23T09Z",
        "2026-11-23T09:15:00+01",
        "2026-11-23T09:15:00+0100",
        "2026-11-23T09:15:00 +01:00",
        "2026-11-23T09:15:00.Z",
        "20261123T091500Z",
        "2026-W48-1T09:15:00Z",
        "2026-02-29T09:15:00Z",
        "2026-13-01T09:15:00Z",
        "2026-11-31T09:15:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T09:60:00Z",
        "2026-11-23T09:15:00+24:00",
        "2026-11-23T09:15:00+01:60",
        "0000-01-01T00:00:00Z",
        "+12026-11-23T09:15:00Z",
        "1763885700",
        "2026-11-23T09:15:00Z\n",
        " 2026-11-23T09:15:00Z",
        "\u0662\u0660\u0662\u0666-11-23T09:15:00Z",
    ],
)
def test_a_time_is_no_instant(wrong: str) -> None:
    refuses(json.dumps(registered() | {"occurred_at": wrong}).encode())


@pytest.mark.parametrize(
    "payload",
    [
        *(rb'"\ud800"', rb'"\udc00"', rb'"\udc00\ud800"', rb'"\ud800x"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"'),
        *(b"NaN", b"Infinity", b"-Infinity", b"01", b"-", b"+1", b".5", b"1.", b"1e", b"0x1", b"tru", b"undefined"),
        *(b"'a'", b'"a', rb'"\q"', rb'"\u12"', b'"a\nb"', b'"a\tb"', b'"a\x00b"', b"[1,]", b'{"a":1,}', b"{a:1}", b""),
        *(b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 10_000, b"/*a*/1", b"[1}"),
    ],
    ids=in_brief,
)
def test_a_further_value_is_no_json(payload: bytes) -> None:
    text = json.dumps(registered(extra="@")).encode()
    refuses(text.replace(b'"@"', payload))


@pytest.mark.parametrize("place", ["locker_id", "compartment_id"])
def test_an_identifier_holds_half_a_character(place: str) -> None:
    text = json.dumps(registered("@") if place == "compartment_id" else registered(locker="@"))
    for half in (r"\ud800", r"\udfff", r"\udc00\ud800"):
        refuses(text.replace("@", half).encode())


GOOD = json.dumps(registered()).encode()


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"null", b"[]", b'"a"', b"1", b"{}", b"[" + GOOD + b"]", b"\xef\xbb\xbf" + GOOD, b"\xff" + GOOD),
        *(GOOD + b"x", GOOD + b"{}", GOOD + GOOD, GOOD + b"\n" + GOOD, GOOD + b"\x00", GOOD + b"\xff", GOOD[:-1]),
        *(GOOD.decode().encode("utf-16"), GOOD.decode().encode("utf-32"), GOOD[1:], b"\x00", b"[" * 10_000),
    ],
    ids=in_brief,
)
def test_the_body_is_no_json_object_or_more_than_one(text: bytes) -> None:
    refuses(text)


def test_every_truncation_of_an_event_is_none() -> None:
    for length in range(len(GOOD)):
        refuses(GOOD[:length])

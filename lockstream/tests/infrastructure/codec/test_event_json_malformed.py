"""Event JSON: which texts are malformed, and that they harm no event that is decoded with them."""

import json
from typing import Any

import pytest

from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_archived, decode_events, decode_recorded
from lockstream.tests.support.builders import (
    Body,
    decode_event,
    deposited,
    event,
    fault_cleared,
    fault_reported,
    registered,
    reserved,
)

REPORT = fault_reported()
OTHER = json.dumps(reserved()).encode()


def assert_malformed(text: bytes) -> None:
    """Check that `text` is malformed as a locker sends it and as a log holds it, alone and among other events."""
    with pytest.raises(MalformedEvent, match=r"\S"):
        decode_event(text)
    for decode in (decode_events, decode_archived, decode_recorded):
        before, malformed, after = decode([OTHER, text, OTHER])
        assert isinstance(malformed, MalformedEvent)
        assert malformed.kind == "event_malformed"
        assert str(malformed).strip()
        assert before == after == decode_event(OTHER)


def without(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}


def abbreviated(text: bytes) -> str:
    return f"{ascii(text[:10] + b'..' + text[-5:] if len(text) > 20 else text)[2:-1]} ({len(text)} bytes)"


def test_the_events_that_the_tests_here_break_are_accepted_unbroken() -> None:
    for body in (registered(), reserved(), deposited(), REPORT, fault_cleared(REPORT)):
        event(body)


@pytest.mark.parametrize("name", ["event_id", "occurred_at", "locker_id", "type", "payload"])
def test_an_event_without_a_member_is_malformed(name: str) -> None:
    assert_malformed(json.dumps(without(registered(), name)).encode())


@pytest.mark.parametrize("name", ["extra", "Event_id", "compartment_id", ""])
def test_an_event_with_an_unknown_member_is_malformed(name: str) -> None:
    assert_malformed(json.dumps(registered() | {name: "a"}).encode())


@pytest.mark.parametrize("value", [None, "", "{}", "e30=", b"{}".hex(), {}, [], 1, True], ids=json.dumps)
def test_a_client_cannot_send_the_field_that_holds_the_text_of_the_payload(value: object) -> None:
    assert_malformed(json.dumps(registered() | {"payload_text": value}).encode())


def test_two_halves_of_an_event_are_malformed_although_they_make_one_together() -> None:
    whole = json.dumps(registered(note=[{}, {}])).encode()
    middle = whole.index(b"{}, {}") + len(b"{}")
    halves = [OTHER + b"\n" + whole[:middle], whole[middle:]]  # two texts, and two events in them
    for decode in (decode_events, decode_archived, decode_recorded):
        assert [type(decoded) for decoded in decode(halves)] == [MalformedEvent, MalformedEvent]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_malformed_events_at_any_place_harm_no_other(count: int) -> None:
    good = [json.dumps(registered(str(number))).encode() for number in range(count)]
    for places in [{place} for place in range(count)] + [set(range(0, count, 3)), set(range(count))]:
        texts = [b"{}" if place in places else text for place, text in enumerate(good)]
        for place, decoded in enumerate(decode_events(texts)):
            if place in places:
                assert isinstance(decoded, MalformedEvent)
            else:
                assert decoded == decode_event(good[place])


@pytest.mark.parametrize("name", ["position", "recorded_at", "chain"])
def test_a_locker_cannot_send_the_members_of_a_log_line(name: str) -> None:
    with pytest.raises(MalformedEvent):
        event(registered() | {name: 1 if name == "position" else "a"})


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [], {}, ["a"]], ids=json.dumps)
@pytest.mark.parametrize("name", ["event_id", "occurred_at", "locker_id", "type"])
def test_a_member_that_is_not_a_string_is_malformed(name: str, value: object) -> None:
    assert_malformed(json.dumps(registered() | {name: value}).encode())


@pytest.mark.parametrize("payload", [None, True, 1, "a", []], ids=json.dumps)
def test_a_payload_that_is_not_an_object_is_malformed(payload: object) -> None:
    assert_malformed(json.dumps(registered() | {"payload": payload}).encode())


@pytest.mark.parametrize("event_type", ["", "registered", "compartmentregistered", "CompartmentRegistered ", "Event"])
def test_an_unknown_event_type_is_malformed(event_type: str) -> None:
    assert_malformed(json.dumps(registered() | {"type": event_type}).encode())


@pytest.mark.parametrize(
    "event_id",
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
def test_an_event_id_that_is_not_a_uuid_is_malformed(event_id: str) -> None:
    assert_malformed(json.dumps(registered() | {"event_id": event_id}).encode())
    assert_malformed(json.dumps(fault_cleared(REPORT | {"event_id": event_id})).encode())


NOT_IDENTIFIERS: list[Any] = [
    *("", "a" * 129, "\U0001f512" * 129, "a/b", "/", "a\n", "\na", "a\x00", "\x1f", "a\x7fb", "\x80", "\x85", "\x9f"),
    *(None, 1, True, ["a"], {}),
]


@pytest.mark.parametrize("value", NOT_IDENTIFIERS, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("escaped", [True, False])
def test_an_invalid_identifier_is_malformed(value: Any, escaped: bool) -> None:
    bodies = [registered(value), registered(locker=value), reserved(value), reserved(compartment=value)]
    bodies += [deposited(value), REPORT | {"payload": {"compartment_id": value, "severity": 3}}]
    bodies += [fault_cleared(REPORT, value)] + ([] if value is None else [deposited(compartment_id=value)])
    for body in bodies:
        assert_malformed(json.dumps(body, ensure_ascii=escaped).encode())


@pytest.mark.parametrize(
    "severity", ["-1", "2147483648", "1e400", "3.0", "3e0", '"3"', "true", "null", "[3]", "-0.0", "03"]
)
def test_a_severity_that_is_not_an_integer_of_32_bits_is_malformed(severity: str) -> None:
    assert_malformed(json.dumps(fault_reported()).replace('"severity": 3', f'"severity": {severity}').encode())


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
def test_a_payload_without_a_required_field_is_malformed(body: Body, name: str) -> None:
    assert_malformed(json.dumps(body | {"payload": without(body["payload"], name)}).encode())


@pytest.mark.parametrize(
    "value",
    [
        *(rb'"\ud800"', rb'"\udc00"', rb'"\udc00\ud800"', rb'"\ud800x"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"'),
        *(b"NaN", b"Infinity", b"-Infinity", b"01", b"-", b"+1", b".5", b"1.", b"1e", b"0x1", b"tru", b"undefined"),
        *(b"'a'", b'"a', rb'"\q"', rb'"\u12"', b'"a\nb"', b'"a\tb"', b'"a\x00b"', b"[1,]", b'{"a":1,}', b"{a:1}", b""),
        *(b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 10_000, b"/*a*/1", b"[1}"),
    ],
    ids=abbreviated,
)
def test_a_value_that_is_not_json_is_malformed(value: bytes) -> None:
    text = json.dumps(registered(extra="@")).encode()
    assert_malformed(text.replace(b'"@"', value))


@pytest.mark.parametrize("field", ["locker_id", "compartment_id"])
def test_an_identifier_with_a_lone_surrogate_is_malformed(field: str) -> None:
    text = json.dumps(registered("@") if field == "compartment_id" else registered(locker="@"))
    for surrogate in (r"\ud800", r"\udfff", r"\udc00\ud800"):
        assert_malformed(text.replace("@", surrogate).encode())


EVENT = json.dumps(registered()).encode()


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"null", b"[]", b'"a"', b"1", b"{}", b"[" + EVENT + b"]", b"\xef\xbb\xbf" + EVENT),
        *(b"\xff" + EVENT, EVENT + b"x", EVENT + b"{}", EVENT + EVENT, EVENT + b"\n" + EVENT, EVENT + b"\x00"),
        *(EVENT + b"\xff", EVENT[:-1], EVENT.decode().encode("utf-16"), EVENT.decode().encode("utf-32"), EVENT[1:]),
        *(b"\x00", b"[" * 10_000),
    ],
    ids=abbreviated,
)
def test_a_text_that_is_not_one_json_object_is_malformed(text: bytes) -> None:
    assert_malformed(text)


def test_every_truncation_of_an_event_is_malformed() -> None:
    for length in range(len(EVENT)):
        assert_malformed(EVENT[:length])

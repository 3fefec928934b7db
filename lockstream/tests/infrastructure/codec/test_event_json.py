"""Event JSON: every event is decoded, and comes back from the log with its payload unchanged."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.entities.log import START
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_events, encode_event
from lockstream.infrastructure.codec.log_line import decode_lines, encode_lines
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.builders import (
    Body,
    decode_event,
    deposited,
    event,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

NOW = "2026-11-23T08:15:00Z"
REPORT = fault_reported()
IDENTIFIERS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=128)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def with_payload(payload: str, body: Body | None = None) -> bytes:
    """Return the text of an event with this text as its payload."""
    head = {name: value for name, value in (body or registered()).items() if name != "payload"}
    return f'{json.dumps(head)[:-1]},"payload":{payload}}}'.encode()


def with_extra(value: str) -> bytes:
    """Return the text of an event with this text as the value of an unknown payload field."""
    return with_payload(f'{{"compartment_id":"a","extra":{value}}}')


def payload_from_log(text: bytes) -> bytes:
    """Return an event's payload after it was written to a line of the log and read back."""
    decoded = decode_event(text)
    [line], _ = encode_lines([decoded], NOW, START)
    assert line.count(b"\n") == 1
    [record] = decode_lines([line], START)
    assert record.event == decoded
    assert decode_event(encode_event(decoded)) == decoded
    return record.event.payload_text


KEPT_VALUES = {
    "trailing zeros": "1.00",
    "a negative zero": "[-0,-0.0]",
    "an exponent beyond any float": "[1e400,-1E+400,1e-999]",
    "a number beyond any float": "1e400",
    "an integer of 5,000 digits": "9" * 5000,
    "escapes": r'"\u0041\u00e9\ud83d\udd12\/\b\f\n\r\t\u0000\u001b\"\\"',
    "unescaped characters": '"é\U0001f512\u2028\u2029\x7f\x85"',
    "nesting": '{"a":[{"b":{"c":[[],{}]}}]}',
    "the order of members": '{"b":1,"a":2,"":3}',
    "white space in strings": '"  two  spaces "',
    "members named as in a log line": '{"position":7,"chain":"x","}\\n":1}',
}
"""JSON values of which every byte is kept."""


@pytest.mark.parametrize("value", KEPT_VALUES)
def test_a_payload_keeps_the_bytes_of_every_value(value: str) -> None:
    payload = f'{{"compartment_id":"a","extra":{KEPT_VALUES[value]}}}'
    assert payload_from_log(with_payload(payload)) == payload.encode()


@pytest.mark.parametrize("value", KEPT_VALUES)
def test_a_payload_keeps_the_bytes_of_every_value_in_a_group_of_many(value: str) -> None:
    text = with_extra(KEPT_VALUES[value])
    plain = json.dumps(reserved()).encode()
    assert decode_events([plain, text, plain]) == [decode_event(each) for each in (plain, text, plain)]


def test_white_space_between_values_is_removed() -> None:
    spread = '{\r\n\t"compartment_id" : "a" ,\n "extra" : [ 1 ,\t{ } , "b c" ]\n}'
    assert payload_from_log(with_payload(spread)) == b'{"compartment_id":"a","extra":[1,{},"b c"]}'


@budget(100)
@given(
    locker=IDENTIFIERS,
    compartment=IDENTIFIERS,
    reservation=IDENTIFIERS,
    extras=st.dictionaries(st.text(), JSON, max_size=5),
    escaped=st.booleans(),
)
def test_every_event_comes_back_from_the_log_unchanged(
    locker: str, compartment: str, reservation: str, extras: dict[str, Any], escaped: bool
) -> None:
    payload = extras | {"reservation_id": reservation, "compartment_id": compartment}
    text = json.dumps(payload, ensure_ascii=escaped, separators=(",", ":"))
    decoded = decode_event(with_payload(text, reserved(locker=locker)))
    assert (decoded.locker_id, decoded.payload.compartment_id) == (locker, compartment)
    assert payload_from_log(encode_event(decoded)) == text.encode()


@pytest.mark.parametrize("make", [registered, reserved, deposited, picked_up, fault_reported])
def test_an_event_is_encoded_with_the_members_that_were_sent(make: Any) -> None:
    body = make(locker='Bahnhof "é"\\', extra=[1, None])
    assert json.loads(encode_event(event(body))) == body


@pytest.mark.parametrize("length", [1, 128])
@pytest.mark.parametrize("character", ["a", "é", "\U0001f512", " ", "\\", '"', "{", "\u2028", "\u200b"])
def test_an_identifier_has_up_to_128_characters(character: str, length: int) -> None:
    decoded = event(registered(character * length, locker=character * length))
    assert decoded.locker_id == character * length


@pytest.mark.parametrize("severity", [0, 3, 2**31 - 1])
def test_a_severity_is_an_integer_of_32_bits(severity: int) -> None:
    payload_from_log(json.dumps(fault_reported(severity)).encode())


@pytest.mark.parametrize("compartment", [None, "a"])
def test_the_compartment_of_a_parcel_is_optional(compartment: str | None) -> None:
    assert event(deposited(compartment_id=compartment)).payload.compartment_id == compartment
    assert event(deposited()).payload.compartment_id is None


def test_ids_in_upper_case_are_decoded_in_lower_case() -> None:
    upper = REPORT["event_id"].upper()
    decoded = event(fault_cleared({"event_id": upper}, event_id=upper))
    assert decoded.event_id == getattr(decoded.payload, "fault_event_id", "") == REPORT["event_id"]


def test_no_texts_are_decoded_to_no_events() -> None:
    assert decode_events([]) == []


def _deepest(opening: str, closing: str) -> int:
    """Return how often these brackets may be nested."""
    accepted, refused = 0, 100_000
    while refused - accepted > 1:
        middle = (accepted + refused) // 2
        try:
            decode_event(with_extra(opening * middle + "0" + closing * middle))
            accepted = middle
        except MalformedEvent:
            refused = middle
    return accepted


def _payload_read_below(calls: int, line: bytes) -> bytes:
    """Read a line below so many calls on the interpreter's C stack, as a server or a command line does."""
    if calls:
        return next(map(lambda rest: _payload_read_below(rest, line), [calls - 1]))  # noqa: C417
    [record] = decode_lines([line], START)
    return record.event.payload_text


def test_an_accepted_event_can_be_read_from_any_depth_of_calls() -> None:
    depth = _deepest("[", "]")
    decoded = decode_event(with_extra("[" * depth + "]" * depth))
    [line], _ = encode_lines([decoded], NOW, START)
    assert _payload_read_below(50, line) == decoded.payload_text


def test_the_limit_of_nesting_is_the_same_for_all_brackets() -> None:
    lists, objects, both = _deepest("[", "]"), _deepest('{"a":', "}"), _deepest('[{"a":', "}]")
    assert lists == objects
    assert both == lists // 2


@pytest.mark.parametrize("unit", ["[", "{", '{"":', "[]", '"', r"\"", "\\", r"[\"", "1", " ", "\n", "é", r"\ud800"])
def test_no_body_of_a_mebibyte_takes_quadratic_time(unit: str, time_limit: None) -> None:
    for head in ("", "[" * 200, "[" * 200 + '"', '{"payload":{"a":"' + "[" * 200):
        text = (head + unit * (2**20 // len(unit))).encode()
        with pytest.raises(MalformedEvent):
            decode_event(text)


@pytest.fixture
def time_limit() -> Iterator[None]:
    """End the test after 20 s. Linear time takes a hundredth of that, and quadratic time takes hours."""

    def fail(*_: object) -> None:
        raise TimeoutError

    former = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)

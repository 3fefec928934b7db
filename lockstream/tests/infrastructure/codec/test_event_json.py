"""What is an event and what is none, and that its payload is kept to the byte."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.entities.log import START
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_event, encode_event
from lockstream.infrastructure.codec.log_line import decode_lines, encode_lines
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.builders import (
    Body,
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


def text_of(payload: str, of: Body | None = None) -> bytes:
    """An event's text around this text of its payload."""
    head = {key: value for key, value in (of or registered()).items() if key != "payload"}
    return f'{json.dumps(head)[:-1]},"payload":{payload}}}'.encode()


def with_extra(value: str) -> bytes:
    return text_of(f'{{"compartment_id":"a","extra":{value}}}')


def through_the_log(text: bytes) -> bytes:
    """The payload's text once it was written to a line and read back."""
    when = decode_event(text)
    line, _ = encode_lines([when], NOW, START)
    assert line.count(b"\n") == 1
    [record] = decode_lines([line], START)
    assert record.event == when
    assert decode_event(encode_event(when)) == when
    return record.event.payload


KEPT = {
    "trailing zeros": "1.00",
    "a minus zero": "[-0,-0.0]",
    "an exponent beyond any float": "[1e400,-1E+400,1e-999]",
    "an integer of 5,000 digits": "9" * 5000,
    "escapes": r'"\u0041\u00e9\ud83d\udd12\/\b\f\n\r\t\u0000\u001b\"\\"',
    "no escapes where none are needed": '"é\U0001f512\u2028\u2029\x7f\x85"',
    "nesting": '{"a":[{"b":{"c":[[],{}]}}]}',
    "keys in their order": '{"b":1,"a":2,"":3}',
    "a key that stands there twice": '{"a":1,"a":2}',
    "white space within strings": '"  two  spaces "',
    "what looks like the log's own members": '{"position":7,"chain":"x","}\\n":1}',
}


@pytest.mark.parametrize("what", KEPT)
def test_a_payload_keeps(what: str) -> None:
    payload = f'{{"compartment_id":"a","extra":{KEPT[what]}}}'
    assert through_the_log(text_of(payload)) == payload.encode()


def test_white_space_between_values_is_squeezed_to_one_line() -> None:
    spread = '{\r\n\t"compartment_id" : "a" ,\n "extra" : [ 1 ,\t{ } , "b c" ]\n}'
    assert through_the_log(text_of(spread)) == b'{"compartment_id":"a","extra":[1,{},"b c"]}'


def test_of_a_name_that_stands_there_twice_the_last_counts_now_and_ever() -> None:
    when = decode_event(text_of('{"compartment_id":"a","compartment_id":"b"}'))
    [record] = decode_lines([encode_lines([when], NOW, START)[0]], START)
    assert record.event == when
    assert json.loads(when.payload)["compartment_id"] == "b"


@budget(100)
@given(
    locker=IDENTIFIERS,
    compartment=IDENTIFIERS,
    reservation=IDENTIFIERS,
    extras=st.dictionaries(st.text(), JSON, max_size=5),
    escaped=st.booleans(),
)
def test_any_event_comes_back_from_the_log_as_it_was(
    locker: str, compartment: str, reservation: str, extras: dict[str, Any], escaped: bool
) -> None:
    payload = extras | {"reservation_id": reservation, "compartment_id": compartment}
    text = json.dumps(payload, ensure_ascii=escaped, separators=(",", ":"))
    when = decode_event(text_of(text, reserved(locker=locker)))
    assert (when.locker_id, when.compartment_id) == (locker, compartment)
    assert through_the_log(encode_event(when)) == text.encode()


@pytest.mark.parametrize("make", [registered, reserved, deposited, picked_up, fault_reported])
def test_an_event_is_written_as_it_came(make: Any) -> None:
    body = make(locker='Bahnhof "é"\\', extra=[1, None])
    assert json.loads(encode_event(event(body))) == body


@pytest.mark.parametrize(
    "occurred_at",
    [
        "2026-11-23T09:15:00Z",
        "2026-11-23t09:15:00z",
        "2026-11-23 09:15:00+01:00",
        "2026-11-23T09:15:00.123456789-23:59",
        "2024-02-29T23:59:59-00:00",
        "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:59:59-12:00",
    ],
)
def test_a_time_with_an_offset_is_kept_as_it_came(occurred_at: str) -> None:
    assert event(registered() | {"occurred_at": occurred_at}).occurred_at == occurred_at


@pytest.mark.parametrize("length", [1, 128])
@pytest.mark.parametrize("character", ["a", "é", "\U0001f512", " ", "\\", '"', "{", "\u2028", "\u200b"])
def test_an_identifier_has_up_to_128_characters(character: str, length: int) -> None:
    when = event(registered(character * length, locker=character * length))
    assert when.locker_id == character * length


@pytest.mark.parametrize("severity", [0, 3, 2**31 - 1])
def test_a_severity_fits_32_bits(severity: int) -> None:
    through_the_log(json.dumps(fault_reported(severity)).encode())


@pytest.mark.parametrize("compartment", [None, "a"])
def test_a_parcels_compartment_may_be_named_or_not(compartment: str | None) -> None:
    assert getattr(event(deposited(compartment_id=compartment)), "compartment_id", "") == compartment
    assert getattr(event(deposited()), "compartment_id", "") is None


def test_ids_are_known_in_lower_case_whatever_they_came_in() -> None:
    shouted = REPORT["event_id"].upper()
    when = event(fault_cleared({"event_id": shouted}, event_id=shouted))
    assert when.event_id == getattr(when, "fault_event_id", "") == REPORT["event_id"]


def _deepest(opening: str, closing: str) -> int:
    """How many times these brackets may stand within each other."""
    accepted, refused = 0, 100_000
    while refused - accepted > 1:
        middle = (accepted + refused) // 2
        try:
            decode_event(with_extra(opening * middle + "0" + closing * middle))
            accepted = middle
        except MalformedEvent:
            refused = middle
    return accepted


def _from_deep_within(calls: int, line: bytes) -> bytes:
    """Read a line where the interpreter's C stack is in use, as under a server or a command line."""
    if calls:
        return next(map(lambda rest: _from_deep_within(rest, line), [calls - 1]))  # noqa: C417
    [record] = decode_lines([line], START)
    return record.event.payload


def test_an_event_that_was_accepted_can_be_read_from_anywhere() -> None:
    depth = _deepest("[", "]")
    when = decode_event(with_extra("[" * depth + "]" * depth))
    line, _ = encode_lines([when], NOW, START)
    assert _from_deep_within(50, line) == when.payload


def test_how_deep_brackets_nest_does_not_depend_on_their_kind() -> None:
    lists, objects, both = _deepest("[", "]"), _deepest('{"a":', "}"), _deepest('[{"a":', "}]")
    assert lists == objects
    assert both == lists // 2


@pytest.mark.parametrize("unit", ["[", "{", '{"":', "[]", '"', r"\"", "\\", r"[\"", "1", " ", "\n", "é", r"\ud800"])
def test_no_body_of_a_mebibyte_keeps_the_decoder_busy(unit: str, no_hanging: None) -> None:
    for head in ("", "[" * 200, "[" * 200 + '"', '{"payload":{"a":"' + "[" * 200):
        text = (head + unit * (2**20 // len(unit))).encode()
        with pytest.raises(MalformedEvent):
            decode_event(text)


def _took_too_long(*_: object) -> None:
    raise TimeoutError


@pytest.fixture
def no_hanging() -> Iterator[None]:
    """End the test after 20 s, where a hundredth is plenty: what takes time with the square of a length takes hours."""
    former = signal.signal(signal.SIGALRM, _took_too_long)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)

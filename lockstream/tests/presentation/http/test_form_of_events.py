"""The decoder says what is an event, the models say what is wrong with the rest: they must agree on which is which."""

import json
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="the development tools are not installed")

from hypothesis import event, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_event
from lockstream.schemas.events import EventBody, MalformedBody, parse_event
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import Body, deposited, fault_cleared, fault_reported, registered, reserved

models: TypeAdapter[Any] = TypeAdapter(EventBody)

FAULT = fault_reported()
GOOD = [
    registered(),
    reserved(),
    deposited(),
    deposited(compartment_id="c"),
    deposited(compartment_id=None) | {"type": "ParcelPickedUp"},
    deposited(compartment_id="c") | {"type": "ReservationExpired"},
    FAULT,
    fault_cleared(FAULT),
]

CHARACTERS = st.sampled_from([*"aZ09-_ .:+Tt/", *"\x00\x1f\x7f\x85\x9f\xa0\n\r\u2028", "é", "\u0301", "三", "📦"])

TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=5),
    st.text(CHARACTERS, min_size=126, max_size=130),
    st.uuids().map(str),
    st.uuids().map(lambda value: str(value).upper()),
    st.from_regex(
        r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,12})?"
        r"([Zz]|[+-][0-2][0-9]:[0-6][0-9]|)\n?\Z"
    ),
    st.datetimes(timezones=st.timezones()).map(lambda value: value.isoformat()),
    st.sampled_from([each["type"] for each in GOOD]),
)

NUMBERS = st.one_of(
    st.integers(-3, 6),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**63, 2**64, 10**40]),
    st.floats(allow_nan=False, allow_infinity=False),
)

VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    NUMBERS,
    st.booleans(),
    st.none(),
    st.recursive(
        NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=4
    ),
)

MEMBERS = st.sampled_from(["event_id", "occurred_at", "locker_id", "type", "payload"])
FIELDS = st.sampled_from(["compartment_id", "reservation_id", "severity", "fault_event_id", "further"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A good event with a few members put in, replaced or left out, and now and then a byte of its text altered."""
    body = json.loads(json.dumps(draw(st.sampled_from(GOOD))))
    for _ in range(draw(st.integers(0, 3))):
        payload = body.get("payload")
        into: Body = payload if isinstance(payload, dict) and draw(st.booleans()) else body
        name = draw(st.one_of(st.sampled_from(sorted(into)), MEMBERS, FIELDS)) if into else draw(FIELDS)
        if draw(st.integers(0, 3)):
            into[name] = draw(VALUES)
        else:
            into.pop(name, None)
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode()
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text) - 1))
        text = (
            text[:at]
            + draw(st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b"0", b"\n", b"\xff", b"e"]))
            + text[at + 1 :]
        )
    return text


def decoder_accepts(text: bytes) -> bool:
    try:
        decode_event(text)
    except MalformedEvent:
        return False
    return True


def models_accept(text: bytes) -> bool:
    try:
        models.validate_json(text)
    except ValidationError:
        return False
    return True


def with_further(value: str) -> bytes:
    """A fault whose payload has one more field."""
    return json.dumps(fault_reported()).replace('"severity": 3', f'"severity": 3, "further": {value}').encode()


@budget(5 * examples(150))
@given(bodies())
def test_decoder_and_models_accept_the_same(text: bytes) -> None:
    accepted = decoder_accepts(text)
    event("accepted" if accepted else "malformed")
    assert models_accept(text) == accepted


@budget(5 * examples(150))
@given(bodies().filter(lambda text: not decoder_accepts(text)) | st.binary(max_size=20))
def test_what_is_malformed_is_said_in_the_form_of_the_contract(text: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_event(text)
    assert caught.value.errors
    for error in caught.value.errors:
        assert error.keys() == {"loc", "msg", "type"}
        assert error["loc"][0] == "body"
        assert all(isinstance(step, str | int) for step in error["loc"])
        assert isinstance(error["msg"], str)
        assert isinstance(error["type"], str)


@pytest.mark.parametrize(
    "text",
    [
        with_further("NaN"),
        with_further("Infinity"),
        with_further("-Infinity"),
        json.dumps(fault_reported()).replace('"severity": 3', '"severity": "x", "severity": 3').encode(),
        json.dumps(fault_reported()).replace('"type"', '"type": 1, "type"').encode(),
    ],
    ids=["NaN", "Infinity", "-Infinity", "a repeated field", "a repeated member"],
)
def test_of_the_two_the_decoder_alone_refuses_what_is_no_json_and_a_bad_value_that_is_repeated(text: bytes) -> None:
    assert not decoder_accepts(text)
    assert models_accept(text)
    with pytest.raises(MalformedBody) as caught:
        parse_event(text)
    assert [error["loc"] for error in caught.value.errors] == [["body"]]


def test_of_the_two_the_models_alone_refuse_a_number_of_thousands_of_digits() -> None:
    """Its digits are kept as they came; nobody here makes a number of them."""
    text = with_further("9" * 5_000)
    assert decoder_accepts(text)
    assert not models_accept(text)


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\udc00\ud800"])
def test_both_refuse_a_surrogate_that_stands_alone(escape: str) -> None:
    for text in with_further(f'"{escape}"'), with_further(f'{{"{escape}": 1}}'):
        assert not decoder_accepts(text)
        assert not models_accept(text)


@pytest.mark.parametrize(
    ("instant", "accepted"),
    [
        ("2026-01-01T00:00:00Z", True),
        ("2026-01-01t00:00:00z", True),
        ("2026-01-01 00:00:00-00:00", True),
        ("2026-01-01T00:00:00.1234567890123+23:59", True),
        ("2024-02-29T00:00:00Z", True),
        ("0001-01-01T00:00:00+23:59", True),
        ("9999-12-31T23:59:59-23:59", True),
        ("2026-02-29T00:00:00Z", False),
        ("2026-06-30T23:59:60Z", False),
        ("2026-01-01T24:00:00Z", False),
        ("2026-01-01T00:00:00+24:00", False),
        ("2026-01-01T00:00:00+0100", False),
        ("2026-01-01T00:00:00", False),
        ("2026-01-01T00:00Z", False),
        ("20260101T000000Z", False),
        ("2026-01-01", False),
        ("\u0662026-01-01T00:00:00Z", False),
    ],
)
def test_both_take_the_same_for_a_time(instant: str, accepted: bool) -> None:
    text = json.dumps(registered() | {"occurred_at": instant}).encode()
    assert decoder_accepts(text) == models_accept(text) == accepted

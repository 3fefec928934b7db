"""The decoder decides what is an event, and the models explain what is wrong with any other body: they must agree."""

import json
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from lockstream.core.errors import MalformedEvent
from lockstream.schemas.cloud_events import REPORTED_CLOUD_EVENT
from lockstream.schemas.events import EVENT
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import (
    Body,
    decode_event,
    deposited,
    fault_cleared,
    fault_reported,
    fault_with_member,
    registered,
    reserved,
)

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
    st.sampled_from([good["type"] for good in GOOD]),
    st.sampled_from(["2016-12-31T23:59:60Z", "2017-01-01T08:59:60+09:00", "2016-12-31T23:58:60Z"]),
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
    """Draw a good event with a few members added, replaced or removed, and sometimes one byte of its text replaced."""
    body = json.loads(json.dumps(draw(st.sampled_from(GOOD))))
    for _ in range(draw(st.integers(0, 3))):
        payload = body.get("payload")
        target: Body = payload if isinstance(payload, dict) and draw(st.booleans()) else body
        name = draw(st.one_of(st.sampled_from(sorted(target)), MEMBERS, FIELDS)) if target else draw(FIELDS)
        if draw(st.integers(0, 3)):
            target[name] = draw(VALUES)
        else:
            target.pop(name, None)
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode()
    if draw(st.integers(0, 4)) == 0:
        index = draw(st.integers(0, len(text) - 1))
        byte = draw(st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b"0", b"\n", b"\xff", b"e"]))
        text = text[:index] + byte + text[index + 1 :]
    return text


def decoder_accepts(text: bytes) -> bool:
    try:
        decode_event(text)
    except MalformedEvent:
        return False
    return True


def models_accept(text: bytes) -> bool:
    """Return whether the models find nothing wrong, so that the reason of the decoder is all that can be said."""
    [error, *_] = EVENT.explain(text, MalformedEvent("a reason", "reason_of_decoder"))
    return bool(error["type"] == "reason_of_decoder")


@budget(5 * examples(150))
@given(bodies())
def test_decoder_and_models_accept_the_same_bodies(text: bytes) -> None:
    is_accepted = decoder_accepts(text)
    event("accepted" if is_accepted else "malformed")
    assert models_accept(text) == is_accepted


@budget(5 * examples(150))
@given(bodies().filter(lambda text: not decoder_accepts(text)) | st.binary(max_size=20))
def test_a_malformed_body_gets_a_list_of_errors_in_the_form_of_the_contract(text: bytes) -> None:
    errors = errors_of(text)
    assert errors
    for error in errors:
        assert error.keys() == {"loc", "msg", "type"}
        assert error["loc"][0] == "body"
        assert all(isinstance(step, str | int) for step in error["loc"])
        assert isinstance(error["msg"], str)
        assert isinstance(error["type"], str)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (fault_with_member("NaN"), "event_malformed"),
        (fault_with_member("Infinity"), "event_malformed"),
        (fault_with_member("-Infinity"), "event_malformed"),
        (
            json.dumps(fault_reported()).replace('"severity": 3', '"severity": "x", "severity": 3').encode(),
            "duplicate_member",
        ),
        (json.dumps(fault_reported()).replace('"type"', '"type": 1, "type"').encode(), "duplicate_member"),
        (
            json.dumps(fault_reported()).replace('"severity": 3', '"severity": 2, "severity": 3').encode(),
            "duplicate_member",
        ),
        (fault_with_member('{"a": 1, "a": 1}'), "duplicate_member"),
    ],
    ids=[
        *("NaN", "Infinity", "-Infinity", "a wrong value that is repeated", "a wrong type that is repeated"),
        *("a good value that is repeated", "a nested member that is repeated"),
    ],
)
def test_a_body_that_only_the_decoder_refuses_gets_the_reason_of_the_decoder(text: bytes, kind: str) -> None:
    assert not decoder_accepts(text)
    assert models_accept(text)
    assert [(error["loc"], error["type"]) for error in errors_of(text)] == [(["body"], kind)]


def test_only_the_models_refuse_a_number_of_thousands_of_digits() -> None:
    """The decoder keeps its digits as sent, and makes no number of them."""
    text = fault_with_member("9" * 5_000)
    assert decoder_accepts(text)
    assert not models_accept(text)


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\udc00\ud800"])
def test_both_refuse_a_lone_surrogate(escape: str) -> None:
    for text in fault_with_member(f'"{escape}"'), fault_with_member(f'{{"{escape}": 1}}'):
        assert not decoder_accepts(text)
        assert not models_accept(text)


@pytest.mark.parametrize(
    ("time", "is_accepted"),
    [
        ("2026-01-01T00:00:00Z", True),
        ("2026-01-01t00:00:00z", True),
        ("2026-01-01 00:00:00-00:00", True),
        ("2026-01-01T00:00:00.1234567890123+23:59", True),
        ("2024-02-29T00:00:00Z", True),
        ("0001-01-01T00:00:00+23:59", True),
        ("9999-12-31T23:59:59-23:59", True),
        ("2016-12-31T23:59:60Z", True),
        ("2026-06-30T23:59:60Z", True),
        ("2017-01-01T08:59:60+09:00", True),
        ("0001-01-01T23:58:60+23:59", True),
        ("2016-12-31T23:58:60Z", False),
        ("2016-12-31T23:59:60+09:00", False),
        ("9999-12-31T23:59:60-00:01", False),
        ("2026-02-29T00:00:00Z", False),
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
def test_both_accept_the_same_times(time: str, is_accepted: bool) -> None:
    text = json.dumps(registered() | {"occurred_at": time}).encode()
    assert decoder_accepts(text) == models_accept(text) == is_accepted


SEND_UUID = "Send a UUID as a string, such as 0190a5e0-0000-4000-8000-000000000001."
SEND_IDENTIFIER = "Send a string of 1 to 128 characters, without control characters and /."
SEND_TIME = "Send an existing day and time as a string, in RFC 3339 with an offset, such as 2026-11-23T09:15:00+01:00."
SEND_OBJECT = "Send an event as an object, or a list of events as application/json to POST /events/batch."
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": registered()["event_id"],
    "source": "/lockers/station-7",
    "time": "2026-11-23T09:15:00+01:00",
    "type": "io.lockstream.CompartmentRegistered.v1",
    "data": {"compartment_id": "A1"},
}


@pytest.mark.parametrize(
    ("members", "kind", "sentences"),
    [
        ({"event_id": "evt-1"}, "string_pattern_mismatch", f"`event_id` is 'evt-1'. {SEND_UUID}"),
        ({"event_id": None}, "string_type", f"`event_id` is null. {SEND_UUID}"),
        ({"locker_id": "s/1"}, "string_pattern_mismatch", f"`locker_id` is 's/1'. {SEND_IDENTIFIER}"),
        ({"locker_id": ""}, "string_too_short", f"`locker_id` is ''. {SEND_IDENTIFIER}"),
        ({"locker_id": "s" * 129}, "string_too_long", f"`locker_id` is '{'s' * 80}…'. {SEND_IDENTIFIER}"),
        ({"locker_id": {"a": 1}}, "string_type", f"`locker_id` is an object. {SEND_IDENTIFIER}"),
        (
            {"occurred_at": "2026-02-30T08:00:00Z"},
            "value_error",
            f"`occurred_at` is '2026-02-30T08:00:00Z'. {SEND_TIME}",
        ),
        ({"occurred_at": 1700000000}, "string_type", f"`occurred_at` is a number. {SEND_TIME}"),
    ],
)
def test_an_error_of_a_member_names_its_value_and_what_to_send(members: Body, kind: str, sentences: str) -> None:
    [name] = members
    errors = errors_of(json.dumps(registered() | members).encode())
    assert errors == [{"loc": ["body", name], "msg": sentences, "type": kind}]


@pytest.mark.parametrize(
    ("body", "sentences"),
    [
        (deposited(compartment_id=True), f"`compartment_id` is a boolean. {SEND_IDENTIFIER}"),
        (deposited(compartment_id="{sentences}\n"), rf"`compartment_id` is '{{sentences}}\n'. {SEND_IDENTIFIER}"),
        (fault_cleared(FAULT | {"event_id": "evt-1"}), f"`fault_event_id` is 'evt-1'. {SEND_UUID}"),
    ],
)
def test_an_error_of_a_field_of_the_payload_names_its_value_and_what_to_send(body: Body, sentences: str) -> None:
    [error] = errors_of(json.dumps(body).encode())
    assert error["msg"] == sentences


@pytest.mark.parametrize(("body", "shown"), [([registered()], "a list"), ("an event", "'an event'"), (7, "a number")])
def test_an_error_of_a_body_that_is_not_an_object_names_both_operations(body: object, shown: str) -> None:
    errors = errors_of(json.dumps(body).encode())
    assert errors == [{"loc": ["body"], "msg": f"The event is {shown}. {SEND_OBJECT}", "type": "dict_type"}]


@pytest.mark.parametrize(
    ("members", "sentences"),
    [
        ({"id": "evt-1"}, f"`id` is 'evt-1'. {SEND_UUID}"),
        ({"time": "today"}, f"`time` is 'today'. {SEND_TIME}"),
        (
            {"source": "station-7"},
            "`source` is 'station-7'. Send /lockers/ and a locker's id, percent-encoded, such as /lockers/station-7.",
        ),
        (
            {"datacontenttype": "text/xml"},
            "`datacontenttype` is 'text/xml'. Send application/json, or omit it: the payload must be JSON.",
        ),
    ],
)
def test_an_error_of_a_cloud_event_names_its_value_and_what_to_send(members: Body, sentences: str) -> None:
    [error] = REPORTED_CLOUD_EVENT.explain(json.dumps(CLOUD_EVENT | members).encode(), MalformedEvent("a reason"))
    assert error["msg"] == sentences


def errors_of(text: bytes) -> list[dict[str, Any]]:
    """Return the errors that the response to a malformed body lists."""
    with pytest.raises(MalformedEvent) as raised:
        decode_event(text)
    return EVENT.explain(text, raised.value)

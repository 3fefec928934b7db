"""POST /events: the exact response to each kind of event."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.presentation.http.routes.malformed_bodies import MALFORMED, without
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    nested_event,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.log_audit import audited

JSON = {"content-type": "application/json"}

LEAP_SECONDS = [
    *("2016-12-31T23:59:60Z", "2016-12-31t23:59:60.999z", "2017-01-01T08:59:60+09:00", "2016-12-31 18:29:60-05:30"),
    *("0001-01-01T23:58:60+23:59", "9999-12-31T00:00:60-23:59", "2026-06-30T23:59:60Z"),
]
"""Each is in the last minute of a UTC day. Which days have a leap second is not checked: it is announced from case to
case.
"""


def test_an_accepted_event_gets_202_with_its_id_and_position(client: TestClient) -> None:
    event = registered()
    response = client.post("/events", json=event)
    assert response.status_code == 202
    assert response.json() == {"event_id": event["event_id"], "position": 1, "outcome": "accepted"}


def test_a_duplicate_gets_200_with_the_position_of_the_first(client: TestClient) -> None:
    event = registered()
    client.post("/events", json=event)
    client.post("/events", json=registered("another"))
    response = client.post("/events", json=event)
    assert response.status_code == 200
    assert response.json() == {"event_id": event["event_id"], "position": 1, "outcome": "duplicate"}


def test_an_unresolved_event_gets_422_with_a_sentence_and_a_code(client: TestClient) -> None:
    response = client.post("/events", json=reserved())
    assert response.status_code == 422
    assert response.json() == {
        "detail": f"Locker '{LOCKER}' has no compartment '{COMPARTMENT}'. Send its CompartmentRegistered first.",
        "code": "unknown_compartment",
    }


def test_a_conflicting_event_gets_409_with_a_sentence_and_a_code(client: TestClient) -> None:
    client.post("/events", json=registered())
    response = client.post("/events", json=registered())
    assert response.status_code == 409
    assert response.json() == {
        "detail": f"Compartment '{COMPARTMENT}' of locker '{LOCKER}' is already registered. Do not send the event "
        "again.",
        "code": "compartment_already_registered",
    }


def test_every_event_type_is_accepted(client: TestClient) -> None:
    fault = fault_reported()
    events = [registered(), reserved(), deposited(), picked_up(), reserved("r2"), expired("r2"), fault]
    events.append(fault_cleared(fault))
    assert {event["type"] for event in events} == set(EVENT_TYPES)
    assert [client.post("/events", json=event).json()["position"] for event in events] == list(range(1, 9))


def test_further_payload_members_are_kept_exactly_as_sent(client: TestClient, log_path: Path) -> None:
    kept = '{"compartment_id":"c","n":1.50,"big":123456789012345678901234567890,"s":"\\u00e9\\/","x":[null,{}]}'
    text = json.dumps(registered() | {"payload": 0}).replace('"payload": 0', f'"payload": {kept}')
    assert client.post("/events", content=text, headers=JSON).status_code == 202
    assert kept in log_path.read_text()


@pytest.mark.parametrize("compartment", [None, COMPARTMENT])
def test_a_reservation_event_may_name_its_compartment(client: TestClient, compartment: str | None) -> None:
    for event in registered(), reserved():
        client.post("/events", json=event)
    assert client.post("/events", json=deposited(compartment_id=compartment)).status_code == 202


@pytest.mark.parametrize("time", LEAP_SECONDS)
def test_a_leap_second_is_accepted_and_kept_as_sent(client: TestClient, log_path: Path, time: str) -> None:
    assert client.post("/events", json=registered() | {"occurred_at": time}).status_code == 202
    assert [record["occurred_at"] for record in audited(log_path)] == [time]


def test_an_event_with_a_leap_second_is_a_duplicate_after_a_restart(new_client: NewClient) -> None:
    event = registered() | {"occurred_at": LEAP_SECONDS[0]}
    with new_client() as client:
        assert client.post("/events", json=event).status_code == 202
    with new_client() as client:
        assert client.post("/events", json=event).status_code == 200


@pytest.mark.parametrize(
    "time",
    [
        *("2016-12-31T23:58:60Z", "2016-12-31T22:59:60Z", "2016-12-31T00:00:60Z", "2016-12-31T23:59:60+09:00"),
        *("2017-01-01T08:59:60+08:59", "0001-01-01T00:00:60+23:59", "9999-12-31T23:59:60-00:01"),
        *("2016-12-31T23:60:60Z", "2016-12-31T24:59:60Z", "2015-02-29T23:59:60Z", "2016-12-31T23:59:61Z"),
        "2016-12-31T23:59:60",
    ],
)
def test_second_60_of_any_other_minute_is_malformed(client: TestClient, log_path: Path, time: str) -> None:
    response = client.post("/events", json=registered() | {"occurred_at": time})
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["detail"]] == [["body", "occurred_at"]]
    assert log_path.read_bytes() == b""


DUPLICATE_MEMBERS = {
    "a member of the event": lambda text: text.replace('"type"', '"locker_id": "locker-1", "type"'),
    "a member of the event, with another value": lambda text: text.replace('"type"', '"locker_id": "x", "type"'),
    "a payload member that the rules read": lambda text: text.replace('"payload": {', '"payload": {"severity": 3, '),
    "a further payload member": lambda text: text.replace('"payload": {', '"payload": {"note": 1, "note": 1, '),
    "a nested member": lambda text: text.replace('"payload": {', '"payload": {"a": [{"b": {"c": 1, "c": 2}}], '),
    "an escaped spelling": lambda text: text.replace('"payload": {', r'"payload": {"n\u006fte": 1, "note": 1, '),
    "an empty name": lambda text: text.replace('"payload": {', '"payload": {"": 1, "": 1, '),
    "the payload": lambda text: text.replace('"payload": {', '"payload": {}, "payload": {'),
}
"""Description, to a function that gives a fault's JSON text a member name for the second time."""


@pytest.mark.parametrize("repeat", DUPLICATE_MEMBERS.values(), ids=DUPLICATE_MEMBERS)
def test_a_member_name_twice_in_one_object_is_malformed(
    client: TestClient, log_path: Path, repeat: Callable[[str], str]
) -> None:
    text = json.dumps(fault_reported())
    assert repeat(text) != text
    response = client.post("/events", content=repeat(text), headers=JSON)
    assert response.status_code == 422
    [error] = response.json()["detail"]
    assert (error["loc"], error["type"]) == (["body"], "duplicate_member")
    assert "twice" in error["msg"]
    assert log_path.read_bytes() == b""


def test_the_same_member_name_in_different_objects_is_accepted(client: TestClient) -> None:
    event = registered(event_id="0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff", type="x", more=[{"type": 1}, {"type": 2}])
    assert client.post("/events", json=event).status_code == 202


@pytest.mark.parametrize(
    "text", ["", "{", "nul", '{"a":1}}', "{'a': 1}", '{"a":1,}', "NaN", "\ufeff", "\ufeff\ufeff{}"]
)
def test_a_body_that_is_not_json_is_malformed(client: TestClient, text: str) -> None:
    response = client.post("/events", content=text.encode(), headers=JSON)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body"]


def test_bytes_that_are_not_utf_8_are_malformed(client: TestClient) -> None:
    text = json.dumps(registered("café"), ensure_ascii=False).encode("latin-1")
    response = client.post("/events", content=text, headers=JSON)
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body"])


@pytest.mark.parametrize(("body", "location"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_event_gets_422_with_a_list_of_errors(
    client: TestClient, log_path: Path, body: object, location: list[str]
) -> None:
    response = client.post("/events", content=json.dumps(body), headers=JSON)
    assert response.status_code == 422
    assert location in [error["loc"] for error in response.json()["detail"]]
    assert all(set(error) == {"loc", "msg", "type"} for error in response.json()["detail"])
    assert log_path.read_bytes() == b""


@pytest.mark.parametrize(
    "body", [{}, without(registered(), "type"), registered() | {"type": "ParcelLost"}], ids=["empty", "none", "unknown"]
)
def test_an_error_about_the_type_lists_all_types(client: TestClient, body: Body) -> None:
    [error] = client.post("/events", json=body).json()["detail"]
    expected = (
        ("`type` is not an event type. ", "type_unknown") if "type" in body else ("`type` is missing. ", "missing")
    )
    assert error["msg"].startswith(expected[0])
    assert error["type"] == expected[1]
    assert [name for name in EVENT_TYPES if name not in error["msg"]] == []


def test_a_payload_of_any_depth_is_accepted_or_malformed_and_harms_nothing(client: TestClient) -> None:
    for depth in (10, 100, 1_000, 10_000, 30_000):
        response = client.post("/events", content=nested_event(depth), headers=JSON)
        assert response.status_code in ((202,) if depth == 10 else (202, 422))
    assert client.post("/events", json=registered()).status_code == 202


def test_an_accepted_nested_event_can_be_read_again_from_any_call_depth(client: TestClient, log_path: Path) -> None:
    """The nesting limit is far below the depth at which a recursive decoder fails: any accepted event can be read."""
    depths = sorted({*range(50, 2_000, 5), *range(95, 105)})
    responses = [client.post("/events", content=nested_event(depth), headers=JSON).status_code for depth in depths]
    assert 10 < responses.count(202) < len(depths)
    assert below_calls(30, lambda: sum(1 for _ in read_log(log_path))) == responses.count(202)


def below_calls(levels: int, read: Callable[[], int]) -> int:
    """Return the result of `read`, called below so many frames of the interpreter's own."""
    return max(map(lambda _: below_calls(levels - 1, read), [0])) if levels else read()  # noqa: C417

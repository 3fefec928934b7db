"""POST /events: what is answered, to the letter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

JSON = {"content-type": "application/json"}


def changed(event: Body, **members: Any) -> Body:
    return event | members


def without(event: Body, name: str) -> Body:
    return {key: value for key, value in event.items() if key != name}


def test_an_accepted_event_is_answered_with_its_id_and_position(client: TestClient) -> None:
    event = registered()
    answer = client.post("/events", json=event)
    assert answer.status_code == 202
    assert answer.json() == {"event_id": event["event_id"], "position": 1, "outcome": "accepted"}


def test_a_duplicate_is_answered_with_the_same_position(client: TestClient) -> None:
    event = registered()
    client.post("/events", json=event)
    client.post("/events", json=registered("another"))
    answer = client.post("/events", json=event)
    assert answer.status_code == 200
    assert answer.json() == {"event_id": event["event_id"], "position": 1, "outcome": "duplicate"}


def test_an_unresolved_event_is_answered_with_a_sentence_and_a_code(client: TestClient) -> None:
    answer = client.post("/events", json=reserved())
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": f"Locker '{LOCKER}' has no compartment '{COMPARTMENT}'. Send its CompartmentRegistered first.",
        "code": "unknown_compartment",
    }


def test_a_conflicting_event_is_answered_with_a_sentence_and_a_code(client: TestClient) -> None:
    client.post("/events", json=registered())
    answer = client.post("/events", json=registered())
    assert answer.status_code == 409
    assert answer.json() == {
        "detail": f"Compartment '{COMPARTMENT}' of locker '{LOCKER}' is registered already.",
        "code": "compartment_already_registered",
    }


def test_every_type_of_event_is_accepted(client: TestClient) -> None:
    fault = fault_reported()
    events = [registered(), reserved(), deposited(), picked_up(), reserved("r2"), expired("r2"), fault]
    events.append(fault_cleared(fault))
    assert [client.post("/events", json=event).json()["position"] for event in events] == list(range(1, 9))


def test_further_payload_fields_are_kept_as_they_came(client: TestClient, log_path: Path) -> None:
    kept = '{"compartment_id":"c","n":1.50,"big":123456789012345678901234567890,"s":"\\u00e9\\/","x":[null,{}]}'
    text = json.dumps(registered() | {"payload": 0}).replace('"payload": 0', f'"payload": {kept}')
    assert client.post("/events", content=text, headers=JSON).status_code == 202
    assert kept in log_path.read_text()


@pytest.mark.parametrize("compartment", [None, COMPARTMENT])
def test_a_reservation_event_may_name_its_compartment(client: TestClient, compartment: str | None) -> None:
    for event in registered(), reserved():
        client.post("/events", json=event)
    assert client.post("/events", json=deposited(compartment_id=compartment)).status_code == 202


@pytest.mark.parametrize("text", ["", "{", "nul", '{"a":1}}', "{'a': 1}", '{"a":1,}', "\ufeff{}", "NaN"])
def test_what_is_no_json_is_malformed(client: TestClient, text: str) -> None:
    answer = client.post("/events", content=text.encode(), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body"]


def test_bytes_that_are_not_utf_8_are_malformed(client: TestClient) -> None:
    text = json.dumps(registered("café"), ensure_ascii=False).encode("latin-1")
    answer = client.post("/events", content=text, headers=JSON)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body"])


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
    "a further member": (changed(registered(), extra=1), ["body", "extra"]),
    "an id that is no uuid": (registered(event_id="1"), ["body", "event_id"]),
    "an id without hyphens": (registered(event_id="0" * 32), ["body", "event_id"]),
    "an id in braces": (registered(event_id="{00000000-0000-4000-8000-000000000000}"), ["body", "event_id"]),
    "an id with a line end": (registered(event_id="00000000-0000-4000-8000-000000000000\n"), ["body", "event_id"]),
    "a numeric id": (changed(registered(), event_id=1), ["body", "event_id"]),
    "a time without an offset": (changed(registered(), occurred_at="2026-11-23T09:15:00"), ["body", "occurred_at"]),
    "a date": (changed(registered(), occurred_at="2026-11-23"), ["body", "occurred_at"]),
    "a number for a time": (changed(registered(), occurred_at=1795421700), ["body", "occurred_at"]),
    "a number in a string for a time": (changed(registered(), occurred_at="1795421700"), ["body", "occurred_at"]),
    "the 30th of February": (changed(registered(), occurred_at="2026-02-30T09:15:00Z"), ["body", "occurred_at"]),
    "the 25th hour": (changed(registered(), occurred_at="2026-02-20T25:15:00Z"), ["body", "occurred_at"]),
    "a time with a line end": (changed(registered(), occurred_at="2026-02-20T05:15:00Z\n"), ["body", "occurred_at"]),
    "an empty locker id": (registered(locker=""), ["body", "locker_id"]),
    "a locker id of 129 characters": (registered(locker="x" * 129), ["body", "locker_id"]),
    "a locker id with a slash": (registered(locker="a/b"), ["body", "locker_id"]),
    "a locker id with a control character": (registered(locker="a\x00"), ["body", "locker_id"]),
    "a locker id with a line end": (registered(locker="a\n"), ["body", "locker_id"]),
    "a locker id with a C1 control character": (registered(locker="a\x85"), ["body", "locker_id"]),
    "a number for a locker id": (changed(registered(), locker_id=7), ["body", "locker_id"]),
    "an unknown type": (changed(registered(), type="ParcelLost"), ["body", "type"]),
    "a type in another case": (changed(registered(), type="compartmentregistered"), ["body", "type"]),
    "a list for a payload": (changed(registered(), payload=[]), ["body", "payload"]),
    "null for a payload": (changed(registered(), payload=None), ["body", "payload"]),
    "an empty payload": (changed(registered(), payload={}), ["body", "payload", "compartment_id"]),
    "null for a compartment": (registered(None), ["body", "payload", "compartment_id"]),  # type: ignore[arg-type]
    "no reservation": (changed(deposited(), payload={}), ["body", "payload", "reservation_id"]),
    "an empty compartment where none is needed": (
        deposited(compartment_id=""),
        ["body", "payload", "compartment_id"],
    ),
    "no severity": (changed(fault_reported(), payload={"compartment_id": "c"}), ["body", "payload", "severity"]),
    "a negative severity": (fault_reported(-1), ["body", "payload", "severity"]),
    "a severity over 32 bits": (fault_reported(2**31), ["body", "payload", "severity"]),
    "a huge severity": (fault_reported(10**30), ["body", "payload", "severity"]),
    "a boolean for a severity": (fault_reported(True), ["body", "payload", "severity"]),
    "a float for a severity": (fault_reported(3.0), ["body", "payload", "severity"]),  # type: ignore[arg-type]
    "a string for a severity": (fault_reported("3"), ["body", "payload", "severity"]),  # type: ignore[arg-type]
    "a fault that is no uuid": (fault_cleared({"event_id": "x"}), ["body", "payload", "fault_event_id"]),
}


@pytest.mark.parametrize(("body", "loc"), MALFORMED.values(), ids=MALFORMED)
def test_it_is_malformed(client: TestClient, log_path: Path, body: object, loc: list[str]) -> None:
    answer = client.post("/events", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert loc in [error["loc"] for error in answer.json()["detail"]]
    assert all(set(error) == {"loc", "msg", "type"} for error in answer.json()["detail"])
    assert log_path.read_bytes() == b""


@pytest.mark.parametrize("body", [{}, without(registered(), "type"), changed(registered(), type="ParcelLost")])
def test_which_types_there_are_is_told(client: TestClient, body: Body) -> None:
    [error] = client.post("/events", json=body).json()["detail"]
    assert error["msg"].startswith("This is no type of event. " if "type" in body else "`type` is missing. ")
    assert [name for name in EVENT_TYPES if name not in error["msg"]] == []


def test_a_payload_of_any_depth_is_accepted_or_malformed_and_harms_nothing(client: TestClient) -> None:
    for depth in (10, 100, 1_000, 10_000, 30_000):
        answer = client.post("/events", content=nested(depth), headers=JSON)
        assert answer.status_code in ((202,) if depth == 10 else (202, 422))
    assert client.post("/events", json=registered()).status_code == 202


def test_what_was_accepted_can_be_read_again_by_whatever_calls_for_it(client: TestClient, log_path: Path) -> None:
    """A recursive reader gives up at a depth that depends on its caller; the log must not hold what one cannot read."""
    depths = range(50, 2_000, 5)
    answers = [client.post("/events", content=nested(depth), headers=JSON).status_code for depth in depths]
    assert below_calls(30, lambda: sum(1 for _ in read_log(log_path))) == answers.count(202)


def nested(depth: int) -> str:
    """An event with a compartment of its own and a further payload field of this depth."""
    deep = "[" * depth + "]" * depth
    return json.dumps(registered(f"depth-{depth}")).replace('"payload": {', f'"payload": {{"deep": {deep}, ')


def below_calls(levels: int, read: Callable[[], int]) -> int:
    """What `read` returns when it is called from below so many calls of the interpreter's own."""
    return max(map(lambda _: below_calls(levels - 1, read), [0])) if levels else read()  # noqa: C417

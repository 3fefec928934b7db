"""An event counts once, however often it comes."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.builders import (
    LOCKER,
    RESERVATION,
    deposited,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

ID = "0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff"


def test_an_event_is_accepted_once_and_known_from_then_on(client: TestClient) -> None:
    event = registered(event_id=ID)
    first, second, third = (client.post("/events", json=event) for _ in range(3))
    assert (first.status_code, first.json()) == (202, {"event_id": ID, "position": 1, "outcome": "accepted"})
    assert (second.status_code, second.json()) == (200, {"event_id": ID, "position": 1, "outcome": "duplicate"})
    assert (third.status_code, third.json()) == (200, second.json())


def test_a_duplicate_changes_nothing(client: TestClient, log_path: Path) -> None:
    event = registered()
    client.post("/events", json=event)
    log, state = log_path.read_bytes(), client.get(f"/lockers/{LOCKER}").json()
    client.post("/events", json=event)
    assert log_path.read_bytes() == log
    assert client.get(f"/lockers/{LOCKER}").json() == state


def test_a_duplicate_keeps_the_position_of_the_first(client: TestClient) -> None:
    events = [registered(str(number)) for number in range(5)]
    for event in events:
        client.post("/events", json=event)
    assert [client.post("/events", json=event).json()["position"] for event in events] == [1, 2, 3, 4, 5]


def test_the_id_is_one_id_in_any_case(client: TestClient) -> None:
    accepted = client.post("/events", json=registered(event_id=ID.upper()))
    known = client.post("/events", json=registered(event_id=ID))
    mixed = client.post("/events", json=registered(event_id=ID.title()))
    assert (accepted.status_code, known.status_code, mixed.status_code) == (202, 200, 200)
    assert accepted.json()["event_id"] == known.json()["event_id"] == mixed.json()["event_id"] == ID


def test_a_fault_is_cleared_by_its_id_in_any_case(client: TestClient) -> None:
    fault = fault_reported(event_id=ID)
    clearing = fault_cleared(fault | {"event_id": ID.upper()})
    answers = [client.post("/events", json=event) for event in (registered(), fault, clearing)]
    assert [answer.status_code for answer in answers] == [202, 202, 202]


@pytest.mark.parametrize(
    "other",
    [
        registered("another", event_id=ID),
        registered(locker="another", event_id=ID),
        reserved(event_id=ID),
        picked_up("nobody knows it", event_id=ID),
        registered(event_id=ID) | {"occurred_at": "2031-01-01T00:00:00Z"},
    ],
    ids=["another compartment", "another locker", "another type", "what would be refused", "another time"],
)
def test_a_known_id_is_known_whatever_else_the_body_says(client: TestClient, other: dict[str, object]) -> None:
    client.post("/events", json=registered(event_id=ID))
    state = client.get(f"/lockers/{LOCKER}").json()
    answer = client.post("/events", json=other)
    assert (answer.status_code, answer.json()["position"]) == (200, 1)
    assert client.get(f"/lockers/{LOCKER}").json() == state


def test_a_malformed_body_is_malformed_even_with_a_known_id(client: TestClient) -> None:
    client.post("/events", json=registered(event_id=ID))
    assert client.post("/events", json=registered("", event_id=ID)).status_code == 422


def test_a_duplicate_is_known_when_its_state_has_long_changed(client: TestClient) -> None:
    life = [registered(), reserved(), deposited(), picked_up()]
    for event in life:
        assert client.post("/events", json=event).status_code == 202
    for event in life:
        assert client.post("/events", json=event).status_code == 200
    assert client.get(f"/reservations/{RESERVATION}").json()["status"] == "PICKED_UP"


def test_an_event_is_known_after_a_restart() -> None:
    life = [registered(), reserved(), deposited()]
    with TestClient(create_app(lambda: deployment_of(Settings()).start())) as before:
        first = [before.post("/events", json=event).json() for event in life]
        state = before.get(f"/lockers/{LOCKER}").json()
    with TestClient(create_app(lambda: deployment_of(Settings()).start())) as after:
        again = [after.post("/events", json=event) for event in life]
        assert [answer.status_code for answer in again] == [200, 200, 200]
        assert [answer.json() for answer in again] == [answer | {"outcome": "duplicate"} for answer in first]
        assert after.get(f"/lockers/{LOCKER}").json() == state
        assert after.post("/events", json=picked_up()).json()["position"] == 4


def test_the_id_of_a_refused_event_may_be_used_again(client: TestClient, log_path: Path) -> None:
    event = reserved(event_id=ID)
    assert client.post("/events", json=event).status_code == 422
    assert ID not in log_path.read_text(), "the log does not hold what was refused"
    client.post("/events", json=registered())
    answer = client.post("/events", json=event)
    assert (answer.status_code, answer.json()["position"]) == (202, 2)
    assert client.post("/events", json=event).status_code == 200


def test_the_id_of_a_malformed_event_may_be_used_again(client: TestClient) -> None:
    assert client.post("/events", json=registered("", event_id=ID)).status_code == 422
    assert client.post("/events", json=registered(event_id=ID)).status_code == 202

"""GET of accepted events, by id and by reservation: each is its line of the log."""

import json
from pathlib import Path
from uuid import uuid4

from fastapi.testclient import TestClient

from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    deposited,
    expired,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.clients import check_contract


def lines_of(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]


def test_an_accepted_event_is_its_line_of_the_log(client: TestClient, log_path: Path) -> None:
    body = registered() | {"payload": {"compartment_id": COMPARTMENT, "size": 1.50, "note": "é", "nested": {"a": [1]}}}
    client.post("/events", json=body)
    response = client.get(f"/events/{body['event_id'].upper()}")
    check_contract(response)
    assert response.content == log_path.read_bytes().removesuffix(b"\n")
    assert response.headers["lockstream-position"] == "1"
    assert {name: response.json()[name] for name in body} == body


def test_an_event_that_is_not_in_the_log_is_not_found(client: TestClient) -> None:
    refused = reserved()
    client.post("/events", json=refused)
    for event_id in (refused["event_id"], str(uuid4()), "no-uuid", f"{LOCKER}x"):
        response = client.get(f"/events/{event_id}")
        check_contract(response)
        assert response.status_code == 404
        assert event_id in response.json()["detail"]


def test_an_event_has_no_parameters(client: TestClient) -> None:
    body = registered()
    client.post("/events", json=body)
    response = client.get(f"/events/{body['event_id']}?at=1")
    check_contract(response)
    assert response.status_code == 422
    assert "The query parameter 'at' is unknown" in response.json()["detail"]


def test_a_reservation_shows_its_events_and_its_steps(client: TestClient, log_path: Path) -> None:
    # given a parcel's story among other events
    story = [reserved(), deposited(), picked_up()]
    for body in (registered(), story[0], registered("other"), story[1], reserved("another", "other"), story[2]):
        client.post("/events", json=body)
    lines = [line for line in lines_of(log_path) if line["position"] in (2, 4, 6)]
    # when its events are read
    response = client.get(f"/reservations/{RESERVATION}/events")
    # then they are those lines, in order
    check_contract(response)
    assert response.json() == {"items": lines, "next": None}
    # and its state names the compartment, and each step with both times
    response = client.get(f"/reservations/{RESERVATION}/state")
    check_contract(response)
    assert response.json() == {
        "reservation_id": RESERVATION,
        "locker_id": LOCKER,
        "compartment_id": COMPARTMENT,
        "status": "PICKED_UP",
        "steps": [
            {
                "status": status,
                "position": line["position"],
                "recorded_at": line["recorded_at"],
                "occurred_at": line["occurred_at"],
                "event_id": line["event_id"],
            }
            for status, line in zip(("CREATED", "DEPOSITED", "PICKED_UP"), lines, strict=True)
        ],
    }


def test_a_reservation_that_expired_before_its_deposit_has_two_steps(client: TestClient) -> None:
    for body in (registered(), reserved(), expired()):
        client.post("/events", json=body)
    steps = client.get(f"/reservations/{RESERVATION}/state").json()["steps"]
    assert [(step["status"], step["position"]) for step in steps] == [("CREATED", 2), ("EXPIRED", 3)]


def test_an_unknown_reservation_has_no_state_and_no_events(client: TestClient) -> None:
    for view in ("state", "events"):
        response = client.get(f"/reservations/unknown/{view}")
        check_contract(response)
        assert response.status_code == 404
        assert "'unknown'" in response.json()["detail"]

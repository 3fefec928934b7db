"""GET of a locker's state: each compartment, since when it is as it is, and an entity tag."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

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
from lockstream.tests.support.clients import check_contract

STATE = f"/lockers/{LOCKER}/state"


def recorded_at(log: Path) -> dict[int, str]:
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    return {line["position"]: line["recorded_at"] for line in lines}


def post(client: TestClient, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        assert client.post("/events", json=body).status_code == 202


def test_a_state_shows_each_compartment_with_its_faults_and_since_when(client: TestClient, log_path: Path) -> None:
    # given a locker with a compartment in each state, and an event of another locker
    severe, light = fault_reported(4, "broken"), fault_reported(1, "full")
    post(
        client,
        *(registered(name) for name in ("broken", "free", "full", "kept")),  # 1 to 4
        reserved("kept-parcel", "kept"),  # 5
        reserved(RESERVATION, "full"),  # 6
        deposited(),  # 7
        severe,  # 8
        light,  # 9
        registered(locker="another"),  # 10
    )
    # when its state is read
    response = client.get(STATE)
    # then
    check_contract(response)
    times = recorded_at(log_path)
    locker = client.get(f"/lockers/{LOCKER}").json()
    assert response.json() == {
        "locker_id": LOCKER,
        "version": 9,
        "position": 9,
        "last_event_at": times[9],
        "state_hash": locker["state_hash"],
        "compartments": [
            {
                "compartment_id": name,
                "status": status,
                "degraded": status == "degraded",
                "active_reservation": reservation,
                "since": times[position],
                "since_position": position,
                "open_faults": faults,
            }
            for name, status, reservation, position, faults in (
                ("broken", "degraded", None, 8, [{"fault_id": severe["event_id"], "severity": 4}]),
                ("free", "available", None, 2, []),
                ("full", "occupied", RESERVATION, 7, [{"fault_id": light["event_id"], "severity": 1}]),
                ("kept", "reserved", "kept-parcel", 5, []),
            )
        ],
    }
    assert response.headers["lockstream-position"] == "10"


def test_a_state_that_the_client_has_is_not_sent_again(client: TestClient) -> None:
    post(client, registered("a"), registered("b"))
    shown = client.get(STATE)
    tag = shown.headers["etag"]
    assert tag == f'"{sha256(shown.content).hexdigest()[:32]}"', "a state in another log has other positions"
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        response = client.get(STATE, headers={"If-None-Match": given})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
    # an event of another locker changes nothing
    post(client, registered(locker="another"))
    assert client.get(STATE, headers={"If-None-Match": tag}).status_code == 304
    # each event of this locker changes the tag, also if the state hash returns to what it was
    report = fault_reported(1, "a")
    post(client, report)
    assert client.get(STATE, headers={"If-None-Match": tag}).status_code == 200
    post(client, fault_cleared(report, "a"))
    again = client.get(STATE, headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


def test_other_tags_get_the_state(client: TestClient) -> None:
    post(client, registered())
    tag = client.get(STATE).headers["etag"]
    for given in ('"other"', tag.strip('"'), "", tag[:-2] + '"'):
        assert client.get(STATE, headers={"If-None-Match": given}).status_code == 200


def test_a_freed_compartment_is_available_since_the_pick_up(client: TestClient) -> None:
    post(client, registered(), reserved(), deposited(), picked_up())
    [compartment] = client.get(STATE).json()["compartments"]
    assert (compartment["status"], compartment["since_position"]) == ("available", 4)


def test_an_unknown_locker_has_no_state(client: TestClient) -> None:
    response = client.get("/lockers/unknown/state")
    check_contract(response)
    assert response.status_code == 404
    assert "'unknown'" in response.json()["detail"]

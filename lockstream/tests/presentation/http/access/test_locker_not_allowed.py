"""A key that is bound to lockers reports events of those alone."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.support.builders import (
    Body,
    as_array,
    as_lines,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

OF_EACH_TYPE: dict[str, Callable[[str], Body]] = {
    "CompartmentRegistered": lambda locker: registered(locker=locker),
    "ReservationCreated": lambda locker: reserved(locker=locker),
    "ParcelDeposited": lambda locker: deposited(locker=locker),
    "ParcelPickedUp": lambda locker: picked_up(locker=locker),
    "ReservationExpired": lambda locker: expired(locker=locker),
    "FaultReported": lambda locker: fault_reported(locker=locker),
    "FaultCleared": lambda locker: fault_cleared(fault_reported(), locker=locker),
}

CLOUD_EVENT = {"Content-Type": "application/cloudevents+json"}


def detail(key_id: str, locker: str) -> str:
    return f"The key {key_id} may not report events of locker {locker!r}. Use a key that is bound to that locker."


@pytest.mark.parametrize(
    ("name", "locker", "is_allowed"),
    [
        ("locker", "mine-1", True),
        ("locker", "mine-10", False),
        ("locker", "mine-2", False),
        ("locker", "Mine-1", False),
        ("tenant", "mine-1", True),
        ("tenant", "mine-", True),
        ("tenant", "mine", False),
        ("tenant", "theirs", False),
        ("operator", "theirs", True),
        ("", "theirs", True),
    ],
)
def test_the_lockers_of_a_key_decide(clients: dict[str, TestClient], name: str, locker: str, is_allowed: bool) -> None:
    response = clients[name].post("/events", json=registered(locker=locker))
    if is_allowed:
        assert response.status_code == 202
    else:
        key_id = {"locker": "l0ckerK1", "tenant": "tenantK2"}[name]
        assert response.status_code == 403
        assert response.json() == {"detail": detail(key_id, locker), "code": "locker_not_allowed"}
        assert clients[""].get("/events?after=0").json()["head"] == 0


@pytest.mark.parametrize("event_type", OF_EACH_TYPE)
def test_no_event_of_another_locker_reaches_the_rules_or_the_quarantine(
    clients: dict[str, TestClient], event_type: str
) -> None:
    body = OF_EACH_TYPE[event_type]("theirs")
    assert clients["locker"].post("/events", json=body).status_code == 403
    [item] = clients["locker"].post("/events/batch", json=[body]).json()
    assert item == {
        "event_id": body["event_id"],
        "status": 403,
        "code": "locker_not_allowed",
        "detail": detail("l0ckerK1", "theirs"),
    }
    quarantine = clients[""].get("/quarantine").json()
    assert (quarantine["items"], quarantine["totals"]["open"]) == ([], {})


def test_an_event_that_was_accepted_before_is_not_confirmed(clients: dict[str, TestClient]) -> None:
    body = registered(locker="theirs")
    assert clients["operator"].post("/events", json=body).status_code == 202
    assert clients["locker"].post("/events", json=body).status_code == 403
    assert clients["locker"].post("/events/batch", json=[body]).json()[0]["status"] == 403


def test_a_cloud_event_of_another_locker_is_refused(clients: dict[str, TestClient]) -> None:
    event = registered(locker="theirs")
    body = {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": "/lockers/theirs",
        "type": "io.lockstream.CompartmentRegistered.v1",
        "time": event["occurred_at"],
        "data": event["payload"],
    }
    response = clients["locker"].post("/events", content=json.dumps(body), headers=CLOUD_EVENT)
    assert (response.status_code, response.json()["code"]) == (403, "locker_not_allowed")


def test_a_locker_in_escapes_is_the_same_locker(clients: dict[str, TestClient]) -> None:
    spellings = {r"mine-\u0031": 202, r"their\u0073": 403, r"mine-1\u0020": 403, r"mine-1\u200b": 403}
    for spelled, status in spellings.items():
        text = json.dumps(registered(spelled, locker="LOCKER")).replace("LOCKER", spelled)
        response = clients["locker"].post("/events", content=text, headers={"Content-Type": "application/json"})
        assert response.status_code == status, spelled


@pytest.mark.parametrize(("media_type", "encode"), [("application/json", as_array), ("application/x-ndjson", as_lines)])
@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "gzip"])
def test_other_events_of_a_batch_are_not_harmed(
    clients: dict[str, TestClient], media_type: str, encode: Any, is_compressed: bool
) -> None:
    # given a batch whose events build on each other, with events of other lockers and a malformed one among them
    bodies: list[Any] = [
        registered(locker="theirs"),
        registered(locker="mine-1"),
        b"{}",
        reserved("r1", locker="theirs"),
        reserved("r1", locker="mine-1"),
        deposited("r1", locker="mine-1"),
        deposited("r9", locker="mine-1"),
        registered("c2", locker="theirs"),
    ]
    content, headers = encode(*bodies), {"Content-Type": media_type}
    if is_compressed:
        content, headers = gzip.compress(content), headers | {"Content-Encoding": "gzip"}
    # when a locker's key sends it, also once more
    items = clients["locker"].post("/events/batch", content=content, headers=headers).json()
    again = clients["locker"].post("/events/batch", content=content, headers=headers).json()
    # then each event has its own outcome, in order
    assert [item["status"] for item in items] == [403, 202, 422, 403, 202, 202, 422, 403]
    assert [item["status"] for item in again] == [403, 200, 422, 403, 200, 200, 422, 403]
    assert [item.get("event_id") for item in items] == [
        None if isinstance(body, bytes) else body["event_id"] for body in bodies
    ]
    # and the quarantine holds the event that the rules refused, with its own text
    [entry] = clients[""].get("/quarantine").json()["items"]
    assert (entry["event_id"], entry["body"]) == (bodies[6]["event_id"], bodies[6])
    # and the log holds the accepted events alone
    feed = clients[""].get("/events?after=0").json()["items"]
    assert [event["event_id"] for event in feed] == [bodies[index]["event_id"] for index in (1, 4, 5)]


def test_a_batch_of_other_lockers_alone_changes_nothing(clients: dict[str, TestClient]) -> None:
    bodies = [registered(str(number), locker="theirs") for number in range(600)]
    items = clients["locker"].post("/events/batch", json=bodies).json()
    assert {item["status"] for item in items} == {403}
    assert len(items) == 600
    assert clients[""].get("/events?after=0").json()["head"] == 0
    assert clients[""].get("/health/ready").status_code == 200


def test_a_malformed_event_is_malformed_before_its_locker_counts(clients: dict[str, TestClient]) -> None:
    body = registered(locker="theirs") | {"further": 1}
    assert clients["locker"].post("/events", json=body).status_code == 422


def test_a_bound_caller_resubmits_events_of_its_lockers_alone(clients: dict[str, TestClient]) -> None:
    # given an event of another locker in the quarantine, which could be accepted now
    body = fault_reported(locker="theirs")
    assert clients["operator"].post("/events", json=body).status_code == 422
    assert clients["operator"].post("/events", json=registered(locker="theirs")).status_code == 202
    # when a bound caller names it, then it is not accepted
    response = clients["tenant"].post(f"/quarantine/{body['event_id']}/resubmit")
    assert response.status_code in (403, 404)
    clients["tenant"].post("/quarantine/resubmit", json={})
    assert clients[""].get(f"/events/{body['event_id']}").status_code == 404

"""The key that reported an event: in its line, in histories and in the feed, in every form."""

import csv
import json
from io import StringIO
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.support.builders import (
    Body,
    as_array,
    as_lines,
    deposited,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

EVENTS: list[tuple[str, Body]] = [
    ("", registered("c1", locker="mine-1")),
    ("operator", reserved("r1", "c1", locker="mine-1")),
    ("locker", deposited("r1", locker="mine-1")),
    ("tenant", picked_up("r1", locker="mine-1")),
]
"""Events, and the client that sends each."""

KEYS = [None, "0perat0r", "l0ckerK1", "tenantK2"]
"""The key of each event. None: its line has no member of that name."""

BATCH = {"Accept": "application/cloudevents-batch+json"}


@pytest.fixture
def reader(clients: dict[str, TestClient]) -> TestClient:
    """A client without a key, after all events were accepted."""
    for name, body in EVENTS:
        assert clients[name].post("/events", json=body).status_code == 202
    return clients[""]


def keys_in(items: list[dict[str, Any]]) -> list[str | None]:
    return [item.get("recorded_by") for item in items]


def test_histories_and_the_feed_show_the_key_of_each_event(reader: TestClient) -> None:
    feed = reader.get("/events?after=0").json()["items"]
    assert keys_in(feed) == KEYS
    assert "recorded_by" not in feed[0]
    for path in ("/lockers/mine-1/events", "/lockers/mine-1/compartments/c1/events"):
        assert reader.get(path).json()["items"] == feed, path
    assert reader.get("/reservations/r1/events").json()["items"] == feed[1:]
    assert [reader.get(f"/events/{body['event_id']}").json() for _, body in EVENTS] == feed
    steps = reader.get("/reservations/r1/state").json()["steps"]
    assert keys_in(steps) == KEYS[1:]
    lines = reader.get("/events?after=0", headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert list(map(json.loads, lines)) == feed


def test_csv_has_a_column_of_keys_which_may_be_empty(reader: TestClient) -> None:
    for path in ("/lockers/mine-1/events", "/events?after=0"):
        text = reader.get(path, headers={"Accept": "text/csv"}).text
        rows = list(csv.DictReader(StringIO(text, newline="")))
        assert [row["recorded_by"] for row in rows] == [key or "" for key in KEYS], path


def test_cloud_events_have_the_key_as_an_extension(reader: TestClient) -> None:
    found = reader.get("/events?after=0", headers=BATCH).json()
    assert [event.get("recordedby") for event in found] == KEYS
    assert "recordedby" not in found[0]


@pytest.mark.parametrize("query", ["locker_id=mine-1", "type=ParcelDeposited", "partition=0/1", "locker_id=mine-2"])
def test_filters_of_the_feed_find_events_with_and_without_a_key(reader: TestClient, query: str) -> None:
    items = reader.get("/events?after=0").json()["items"]
    wanted = {
        "locker_id=mine-1": items,
        "type=ParcelDeposited": [items[2]],
        "partition=0/1": items,
        "locker_id=mine-2": [],
    }
    assert reader.get(f"/events?after=0&{query}").json()["items"] == wanted[query]


@pytest.mark.parametrize(("media_type", "encode"), [("application/json", as_array), ("application/x-ndjson", as_lines)])
def test_events_of_a_batch_bear_the_key_of_its_request(
    clients: dict[str, TestClient], media_type: str, encode: Any
) -> None:
    for number, name in enumerate(clients):
        bodies = [registered(f"c{number}-{index}", locker="mine-1") for index in range(3)]
        response = clients[name].post("/events/batch", content=encode(*bodies), headers={"Content-Type": media_type})
        assert [item["status"] for item in response.json()] == [202] * 3
    feed = clients[""].get("/events?after=0").json()["items"]
    assert keys_in(feed) == [None] * 3 + ["l0ckerK1"] * 3 + ["tenantK2"] * 3 + ["0perat0r"] * 3


def test_a_cloud_event_bears_the_key_of_its_request_and_not_what_it_says_itself(
    clients: dict[str, TestClient],
) -> None:
    event = registered(locker="mine-1")
    body = {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": "/lockers/mine-1",
        "type": "io.lockstream.CompartmentRegistered.v1",
        "time": event["occurred_at"],
        "data": event["payload"],
        "recordedby": "0perat0r",
    }
    response = clients["locker"].post(
        "/events", content=json.dumps(body), headers={"Content-Type": "application/cloudevents+json"}
    )
    assert response.status_code == 202
    assert clients[""].get(f"/events/{event['event_id']}").json()["recorded_by"] == "l0ckerK1"


def test_no_client_can_name_a_key_itself(clients: dict[str, TestClient]) -> None:
    forged = registered(locker="mine-1") | {"recorded_by": "0perat0r"}
    for client in clients.values():
        response = client.post("/events", json=forged)
        assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body", "recorded_by"])
        [item] = client.post("/events/batch", json=[forged]).json()
        assert (item["status"], item["code"]) == (422, "malformed")


def test_a_duplicate_keeps_the_key_of_the_accepted_event(clients: dict[str, TestClient]) -> None:
    event = registered(locker="mine-1")
    statuses = [clients[name].post("/events", json=event).status_code for name in ("locker", "operator", "")]
    assert statuses == [202, 200, 200]
    assert clients[""].get(f"/events/{event['event_id']}").json()["recorded_by"] == "l0ckerK1"
    assert clients[""].get("/quarantine").json()["items"] == [], "the same event by another key is the same event"


def test_a_resubmitted_event_bears_the_key_of_the_caller_who_resubmitted_it(clients: dict[str, TestClient]) -> None:
    # given events that a locker reported too early
    first, second = fault_reported(1, "c1", locker="mine-1"), fault_reported(1, "c1", locker="mine-1")
    assert [clients["locker"].post("/events", json=one).status_code for one in (first, second)] == [422, 422]
    clients["locker"].post("/events", json=registered("c1", locker="mine-1"))
    # when an operator resubmits one, and all
    response = clients["operator"].post(f"/quarantine/{first['event_id']}/resubmit")
    assert response.status_code == 202
    report = clients["tenant"].post("/quarantine/resubmit", json={}).json()
    assert (report["accepted"], report["refused"]) == (1, 0)
    # then the log names who did so
    keys = [clients[""].get(f"/events/{one['event_id']}").json()["recorded_by"] for one in (first, second)]
    assert keys == ["0perat0r", "tenantK2"]

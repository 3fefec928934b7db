"""Real keys that are bound to lockers, over a network with other lockers: from the header to the answer."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.tests.support.builders import deposited, fault_reported, registered, reserved
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.keys import bearer, created, request

SCOPES = Scope.EVENTS_WRITE, Scope.READ, Scope.FEED, Scope.QUARANTINE
LOCKERS = "mine-1", "theirs-1"


@pytest.fixture
def clients(log_path: Path) -> Iterator[dict[str, TestClient]]:
    """A client for each of two bound keys, `mine` and `theirs`, and one for a key of all lockers, `all`."""
    with closing(FileKeyStore(log_path)) as store:
        texts = {
            "mine": created(store, request(*SCOPES, lockers=["mine-1"])).text,
            "theirs": created(store, request(*SCOPES, lockers=["theirs-*"])).text,
            "all": created(store, request(*SCOPES)).text,
        }
    with contract_client(create_app(open_from_environment)) as client:
        found = {}
        for name, text in texts.items():
            found[name] = TestClient(client.app, headers=bearer(text))
        for locker in LOCKERS:
            story = [
                registered("c1", locker=locker),
                reserved(f"r-{locker}", "c1", locker=locker),
                deposited(f"r-{locker}", locker=locker),
                fault_reported(4, "c1", locker=locker),
                deposited(f"unknown-{locker}", locker=locker),
            ]
            items = found["all"].post("/events/batch", json=story).json()
            assert [item["status"] for item in items] == [202, 202, 202, 202, 422]
        yield found


PATHS = [
    *("/lockers", "/network", "/reservations", "/reservations?sort=id", "/faults", "/search?q=r-"),
    *("/search?q=", "/search?q=mine", "/search?q=theirs", "/events?after=0", "/quarantine", "/quarantine/malformed"),
    *(
        "/lockers/{}",
        "/lockers/{}/state",
        "/lockers/{}/events",
        "/lockers/{}/compartments",
        "/events?after=0&locker_id={}",
    ),
    *("/lockers/{}/compartments/c1", "/lockers/{}/compartments/c1/events", "/quarantine?locker_id={}"),
    *("/reservations/r-{}", "/reservations/r-{}/state", "/reservations/r-{}/events", "/lockers/{}?at=3"),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_bound_key_reads_its_own_lockers_alone(clients: dict[str, TestClient], path: str) -> None:
    for name, own, other in (("mine", *LOCKERS), ("theirs", *reversed(LOCKERS))):
        for asked in (own, other):
            response = clients[name].get(path.format(asked))
            is_foreign = asked == other and "{}" in path
            shown = response.text.replace(f"'{other}'", "").replace(f"'r-{other}'", "") if is_foreign else response.text
            assert other not in shown
            if "{}" in path and "?" not in path:
                assert response.status_code == (404 if is_foreign else 200)


def test_totals_count_own_lockers_alone(clients: dict[str, TestClient]) -> None:
    totals = {name: client.get("/network").json() for name, client in clients.items()}
    assert [totals[name]["lockers"] for name in ("mine", "theirs", "all")] == [1, 1, 2]
    counts = {name: client.get("/quarantine").json()["totals"]["open"] for name, client in clients.items()}
    assert counts == {"mine": counts["mine"], "theirs": counts["mine"], "all": {"unknown_reservation": 2}}
    assert counts["mine"] == {"unknown_reservation": 1}


def test_a_bound_key_reports_for_its_own_lockers_alone(clients: dict[str, TestClient]) -> None:
    events = [registered("c2", locker=locker) for locker in LOCKERS]
    items = clients["theirs"].post("/events/batch", json=events).json()
    assert [(item["status"], item.get("code")) for item in items] == [(403, "locker_not_allowed"), (202, None)]
    alone = clients["theirs"].post("/events", json=events[0])
    assert (alone.status_code, alone.json()["code"]) == (403, "locker_not_allowed")
    assert "c2" not in clients["mine"].get("/lockers/mine-1/compartments").text


def test_a_stream_of_a_bound_key_has_its_own_events_alone(clients: dict[str, TestClient]) -> None:
    pages = {
        name: client.get("/events?after=0", headers={"Accept": "application/x-ndjson"})
        for name, client in clients.items()
    }
    seen = {name: {json.loads(line)["locker_id"] for line in page.text.splitlines()} for name, page in pages.items()}
    assert seen == {"mine": {"mine-1"}, "theirs": {"theirs-1"}, "all": set(LOCKERS)}
    keys = {json.loads(line)["recorded_by"] for line in pages["all"].text.splitlines()}
    assert keys == {clients["all"].headers["Authorization"][len("Bearer lsk_") :][:8]}

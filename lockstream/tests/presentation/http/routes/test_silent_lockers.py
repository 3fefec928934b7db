"""Silent lockers over HTTP: the filters, the items, and what a bound key sees of them."""

import csv
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.tests.support.builders import fault_reported, picked_up
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.keys import bearer, created, request
from lockstream.tests.support.silent_network import GONE, NEW, OTHERS, SILENT, record_silent_network


@pytest.fixture
def log(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    record_silent_network(log_path, monkeypatch)
    return log_path


@pytest.fixture
def client(log: Path) -> Iterator[TestClient]:
    with contract_client(create_app(open_from_environment)) as client:
        yield client


def items(client: TestClient, query: str, **headers: str) -> list[dict[str, Any]]:
    response = client.get(f"/lockers?{query}", headers=headers)
    assert response.status_code == 200, response.text
    return response.json()["items"]  # type: ignore[no-any-return]


def ids(client: TestClient, query: str, **headers: str) -> list[str]:
    return [item["locker_id"] for item in items(client, query, **headers)]


def test_lockers_are_filtered_by_silence_together_with_other_filters(client: TestClient) -> None:
    for query, expected in {
        "silent=true": SILENT,
        "silent=true&q=lost-2": SILENT[1:],
        "silent=true&available=true&degraded=false": SILENT,
        "silent=true&available=false": [],
        "silent=false": [NEW, *OTHERS, GONE],
        "silent=false&gone=false": [NEW, *OTHERS],
        "gone=true": [GONE],
        "gone=true&silent=true": [],
        "gone=false": [*SILENT, NEW, *OTHERS],
    }.items():
        assert ids(client, query) == expected, query


def test_an_item_says_whether_its_locker_is_silent_or_gone(client: TestClient) -> None:
    found = {item["locker_id"]: item for item in items(client, "")}
    assert {name for name, item in found.items() if item["silent"]} == set(SILENT)
    assert {name for name, item in found.items() if item["gone"]} == {GONE}
    assert found[NEW]["usual_silence_seconds"] is None
    assert 0 < found[SILENT[0]]["usual_silence_seconds"] < 24 * 3600
    rows = csv.DictReader(StringIO(client.get("/lockers", headers={"Accept": "text/csv"}).text))
    assert [(row["silent"], row["gone"]) for row in rows if row["locker_id"] in (SILENT[0], GONE)] == [
        ("true", "false"),
        ("false", "true"),
    ]


def test_pages_of_silent_lockers_follow_each_other(client: TestClient) -> None:
    first = client.get("/lockers?silent=true&limit=1").json()
    last = client.get("/lockers", params={"silent": "true", "limit": 1, "after": first["next"]}).json()
    assert [item["locker_id"] for page in (first, last) for item in page["items"]] == SILENT
    assert last["next"] is None
    assert client.get("/lockers", params={"silent": "false", "after": first["next"]}).status_code == 422


def test_only_an_accepted_event_ends_silence(client: TestClient) -> None:
    assert client.post("/events", json=picked_up("unknown", locker=SILENT[0])).status_code == 422
    assert ids(client, "silent=true") == SILENT
    assert client.post("/events", json=fault_reported(1, locker=SILENT[0])).status_code == 202
    assert ids(client, "silent=true") == SILENT[1:]
    assert client.post("/events", json=fault_reported(1, locker=GONE)).status_code == 202
    assert ids(client, "gone=true") == []


@pytest.mark.parametrize("value", ["yes", "TRUE", "1", ""])
def test_another_value_is_refused(client: TestClient, value: str) -> None:
    response = client.get(f"/lockers?silent={value}")
    assert response.status_code == 422
    assert "silent" in response.json()["detail"]


def test_settings_say_when_lockers_are_silent_and_gone(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_SILENT_MINUTES", str(31 * 60))
    monkeypatch.setenv("LOCKSTREAM_GONE_DAYS", "41")
    with contract_client(create_app(open_from_environment)) as client:
        assert ids(client, "silent=true") == [GONE]
        assert ids(client, "gone=true") == []


def test_a_bound_key_sees_its_own_silent_lockers(log: Path) -> None:
    with closing(FileKeyStore(log)) as store:
        keys = [
            created(store, request(Scope.READ, lockers=[pattern])).text for pattern in (SILENT[1], "other-*", "taken*")
        ]
    with contract_client(create_app(open_from_environment)) as client:
        found = [[ids(client, query, **bearer(key)) for query in ("silent=true", "gone=true")] for key in keys]
    assert found == [[[SILENT[1]], []], [[], []], [[], [GONE]]]

"""GET /system: positions, limits and settings of the running system, and its problems."""

import os
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.presentation.http.app import create_app
from lockstream.services.running.nodes import heartbeat
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import deposited, registered
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.databases import database_url, execute
from lockstream.tests.support.memory_system import open_in_memory
from lockstream.tests.support.processes import wait_until

__all__ = ["database_url"]

SECRET = "not-to-be-shown"


def system(client: TestClient) -> dict[str, Any]:
    response = client.get("/system")
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


def test_a_system_on_a_file_tells_its_positions_and_limits(client: TestClient, log_path: Path) -> None:
    assert client.post("/events", json=registered()).status_code == 202
    assert client.post("/events", json=deposited("unknown")).status_code == 422
    wait_until(lambda: system(client)["quarantine"]["entries"])
    shown = system(client)
    assert (shown["problems"], shown["missing"]) == ([], [])
    assert shown["unavailable_reason"] is None
    storage = shown["storage"]
    assert (storage["kind"], storage["log_name"], storage["head"]) == ("file", str(log_path), 1)
    assert storage["log_id"] == client.get("/events?after=0").headers["lockstream-log"]
    assert shown["quarantine"]["open_by_code"] == {"unknown_reservation": 1}
    assert shown["settings"]["LOCKSTREAM_QUEUE_LIMIT"] == str(shown["queue_limit"])


def test_a_system_on_postgresql_and_one_in_memory_tell_theirs(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    for opened, kind in ((open_from_environment, "postgresql"), (open_in_memory, "file")):
        with contract_client(create_app(opened)) as client:
            assert client.post("/events", json=registered()).status_code == 202
            shown = system(client)
            storage = shown["storage"]
            assert (storage["kind"], storage["head"]) == (kind, 1)
            [node] = shown["nodes"]
            assert (node["state"], node["position"], node["is_this"]) == ("ready", 1, True)
            assert (node["process_id"], node["version"]) == (os.getpid(), shown["version"])


def test_a_list_of_nodes_that_cannot_be_read_is_named(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with contract_client(create_app(open_from_environment)) as client:
        execute(database_url, "ALTER TABLE nodes RENAME TO moved")
        monkeypatch.setattr(heartbeat, "UNHEARD_SECONDS", 0)
        shown = system(client)
        assert (shown["nodes"], shown["missing"]) == (None, ["nodes"])
        assert [problem["code"] for problem in shown["problems"]] == ["figures_missing"]
        assert client.post("/events", json=registered()).status_code == 202
        assert client.get("/metrics").status_code == 200


def test_no_secret_is_shown(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("LOCKSTREAM_READ_URL", f"postgresql://reader:{SECRET}@127.0.0.1:1/none")
    with contract_client(create_app(open_from_environment)) as client:
        shown = client.get("/system").text
    assert SECRET not in shown
    assert database_url not in shown
    assert "LOCKSTREAM_READ_URL" not in shown


def test_a_problem_is_shown_with_its_remedy_while_events_are_refused(client: TestClient, log_path: Path) -> None:
    assert client.post("/events", json=registered()).status_code == 202
    log_path.rename(log_path.with_name("moved.jsonl"))
    assert client.post("/events", json=registered("another")).status_code == 503
    shown = system(client)
    [first, *_] = shown["problems"]
    assert (first["code"], first["is_critical"], first["page"]) == ("log_failed", True, "a-poisoned-log")
    assert "could not be written" in first["description"]
    assert "restart" in first["remedy"]
    assert shown["unavailable_reason"]


def test_parts_that_cannot_be_read_are_named(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: EmbeddedStore) -> int:
        raise OSError

    monkeypatch.setattr(EmbeddedStore, "projection_bytes", fail)
    shown = system(client)
    assert (shown["missing"], shown["storage"]["disk_free_bytes"], shown["days_left"]) == (["disk"], None, None)
    assert [problem["code"] for problem in shown["problems"]] == ["figures_missing"]


def test_a_disk_without_room_is_a_problem(new_client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_MIN_FREE_BYTES", str(1 << 60))
    with new_client() as client:
        assert [problem["code"] for problem in system(client)["problems"]] == ["disk_full"]


def test_without_a_quarantine_there_are_no_figures_of_it(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTREAM_QUARANTINE", "false")
    with new_client() as client:
        assert system(client)["quarantine"] is None
        assert client.get("/system?at=1").status_code == 422

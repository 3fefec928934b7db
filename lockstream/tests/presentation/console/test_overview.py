"""The overview: health first, then what needs a person, totals, activity and the newest events."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.infrastructure.stores import unit_of_work
from lockstream.presentation.console.pages import overview
from lockstream.presentation.console.runbook import RUNBOOK
from lockstream.services.running.telemetry import problems
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import Document, console_client, document, session
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.builders import LOCKER, deposited, fault_reported, registered, reserved
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import wait_until
from lockstream.tests.support.silent_network import SILENT, record_silent_network

OPERATIONS = Path(__file__).parents[4] / "docs/operations.md"


@contextmanager
def client_with(**settings: Any) -> Iterator[TestClient]:
    """Give a client of a server without keys."""
    with console_client(Settings.model_validate(settings)) as client:
        yield client


def accept(client: TestClient, *events: Any) -> None:
    outcomes = client.post("/events/batch", json=list(events)).json()
    assert [outcome["status"] for outcome in outcomes] == [202] * len(events)


def names(page: Document) -> list[str]:
    """Return the names of the pictures for those who do not see them."""
    return [attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "img"]


def test_a_system_without_problems_is_well(guarded: Guarded) -> None:
    page = document(guarded.client, "/console", guarded.keys["all"])
    assert "The system is well." in page.text
    assert "What needs a person now" in page.text
    words = "1 event in quarantine Not accepted, and not decided yet:"  # an id that was used before is not refused
    for heading in ("1 open severe fault", "0 overdue parcels", words, "The network"):
        assert heading in " ".join(page.text.split()), heading
    assert "/console/quarantine?code=unknown_reservation" in page.values("href")
    assert f"/console/lockers/{LOCKER}" in page.values("href")


def test_the_page_of_the_system_tells_its_position(guarded: Guarded) -> None:
    page = document(guarded.client, "/console/system", guarded.keys["all"])
    assert page.values("data-position") == ["4"]
    assert "As of position 4" in page.text


def test_charts_have_a_name_and_a_table(guarded: Guarded) -> None:
    page = document(guarded.client, "/console", guarded.keys["all"])
    hour, day = (name for name in names(page) if name.startswith("Events a "))
    assert "4 in total, most in the minute from" in hour
    assert "4 in total, most in the quarter of an hour from" in day
    tables = [attributes["id"] for tag, attributes in page.elements if tag == "tbody" and "id" in attributes]
    assert tables == ["table-hour", "table-day"]


def test_each_problem_has_its_remedy_and_its_section_of_the_runbook(log_path: Path) -> None:
    with client_with(min_free_bytes=1 << 60) as client:
        page = document(client, "/console")
        assert "The system is well" not in page.text
        assert "Events are refused" in page.text
        assert "Free some space; no restart is needed." in page.text
        assert "/console/runbook#a-full-disk" in page.values("href")
        runbook = document(client, "/console/runbook")
        assert "a-full-disk" in runbook.values("id")
        assert "This is the case now." in runbook.text
        system = document(client, "/console/system")
        assert "Not ready." in system.text


def test_the_runbook_has_a_section_about_each_problem() -> None:
    source = inspect.getsource(problems)
    assert set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source)) == set(RUNBOOK)


def test_the_runbook_has_the_sections_of_the_documentation() -> None:
    titles = [title for line in OPERATIONS.read_text().splitlines() for title in re.findall("^##+ (.*)$", line)]
    headings = {title.lower().replace(" ", "-"): title for title in titles}
    assert {name: section.title for name, section in RUNBOOK.items()}.items() <= headings.items()


def test_overdue_parcels_are_counted_and_the_oldest_are_listed(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_with() as client:
        # given 102 parcels that were deposited long ago, and one now
        monkeypatch.setattr(unit_of_work, "utc_now", lambda: "2026-01-01T08:00:00.000000Z")
        count = 102
        accept(client, *(registered(f"c{one}") for one in range(count + 1)))
        accept(client, *(reserved(f"r{one}", f"c{one}") for one in range(count + 1)))
        accept(client, *(deposited(f"r{one}") for one in range(count)))
        monkeypatch.undo()
        accept(client, deposited(f"r{count}"))
        # then the overview counts up to 100, and links to those that are older
        page = document(client, "/console")
        assert "100+ overdue parcels" in " ".join(page.text.split())
        assert "/console/overdue?older_than=72" in page.values("href")
        assert "/console/reservations/r0" in page.values("href")


@pytest.mark.parametrize(("days", "hours", "age"), [(1 / 48, "0.5", "30 minutes"), (400, "9600", "400 days")])
def test_parcels_are_overdue_after_the_days_of_the_settings(
    log_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, hours: str, age: str
) -> None:
    with client_with(overdue_days=days) as client:
        monkeypatch.setattr(unit_of_work, "utc_now", lambda: f"{datetime.now(UTC) - timedelta(days=1):%FT%T.000000Z}")
        accept(client, registered(), reserved(), deposited())
        count = int(days < 1)
        page = document(client, "/console")
        assert f"{count} overdue parcel" in " ".join(page.text.split())
        assert f"waited for more than {age}." in page.text
        assert f"/console/overdue?older_than={hours}" in page.values("href")
        for path in ("/console/overdue", f"/console/overdue?older_than={hours}"):
            found = document(client, path)
            assert f"more than {age} ago" in found.text
            assert found.values("href").count("/console/reservations/reservation-1") == count


def test_the_longest_silent_lockers_are_those_of_the_page(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_silent_network(log_path, monkeypatch)
    with client_with() as client:
        assert "The longest:" in document(client, "/console").text
        monkeypatch.setattr(overview, "COUNTED", 1)
        assert "The longest of the first 1 by id:" in document(client, "/console").text


def test_silent_lockers_are_listed(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_silent_network(log_path, monkeypatch)
    with client_with() as client:
        page = document(client, "/console")
        assert "2 silent lockers" in " ".join(page.text.split())
        silent = {f"/console/lockers/{locker_id}" for locker_id in SILENT}
        assert silent | {"/console/lockers?silent=true"} <= set(page.values("href"))
        found = document(client, "/console/lockers?silent=true")
        assert {href for href in found.values("href") if href.startswith("/console/lockers/")} == silent


def test_a_degraded_door_is_counted_as_reserved_too_but_not_as_free(log_path: Path) -> None:
    with client_with() as client:
        # given a door that is free, and two that are degraded, of which one is reserved
        accept(client, *(registered(door) for door in ("A1", "A2", "A3")), reserved(compartment="A1"))
        accept(client, fault_reported(4, "A1"), fault_reported(4, "A2"))
        # then the totals are as the sentence below them says
        text = " ".join(document(client, "/console").text.split())
        assert "3 doors 1 free 1 reserved 0 occupied 2 degraded" in text
        assert "A degraded door is never counted as free. If it is reserved or occupied, both totals count it." in text


def test_faults_of_low_severity_need_nobody(log_path: Path) -> None:
    with client_with() as client:
        accept(client, registered(), fault_reported(2))
        assert "0 open severe faults" in " ".join(document(client, "/console").text.split())


def test_an_empty_network_has_an_overview(log_path: Path) -> None:
    with client_with() as client:
        page = document(client, "/console")
        assert "No event has been accepted yet." in page.text
        assert "0 in total" in " ".join(names(page))


def test_without_the_quarantine_its_part_says_so(log_path: Path) -> None:
    with client_with(quarantine=False) as client:
        assert "The quarantine is off" in document(client, "/console").text


@pytest.mark.parametrize(
    ("scope", "missing", "shown"),
    [
        (Scope.READ, ["feed", "quarantine"], ["The system is well", "The network"]),
        (Scope.FEED, ["read"], ["Newest events"]),
        (Scope.QUARANTINE, ["read", "feed"], ["1 event in quarantine"]),
        (Scope.EVENTS_WRITE, ["read", "feed"], []),
    ],
)
def test_a_part_whose_scope_is_missing_is_left_out_with_a_sentence(
    guarded: Guarded, scope: Scope, missing: list[str], shown: list[str]
) -> None:
    page = document(guarded.client, "/console", guarded.keys[scope])
    text = " ".join(page.text.split())
    for name in missing:
        assert f"Your key lacks the scope {name}" in text
    for part in shown:
        assert part in text
    if Scope.READ.value in missing:
        assert "The system is well" not in text
        assert not names(page)


@pytest.mark.parametrize("others", [[], ["events:write"]])
def test_a_key_that_only_manages_keys_is_led_to_them(guarded: Guarded, others: list[str]) -> None:
    wanted = {"name": "manager", "scopes": ["admin", *others]}
    made = guarded.client.post("/keys", json=wanted, headers=bearer(guarded.keys[Scope.ADMIN])).json()
    response = guarded.client.get("/console", headers=session(made["text"]))
    assert (response.status_code, response.headers["location"]) == (303, "/console/keys")
    assert "/console/keys/new" in document(guarded.client, "/console/keys", made["text"]).values("href")


def test_parts_without_a_scope_are_not_asked_for(guarded: Guarded) -> None:
    """Otherwise each look at the overview would be a refusal in the audit log."""
    admin = bearer(guarded.keys[Scope.ADMIN])
    document(guarded.client, "/console", guarded.keys[Scope.FEED])
    found = guarded.client.get(f"/audit?key_id={guarded.keys[Scope.FEED][4:12]}&action=refused", headers=admin).json()
    assert found["items"] == []


def test_a_key_that_is_bound_to_lockers_sees_its_own(guarded: Guarded) -> None:
    wanted = {"name": "bound", "scopes": ["read", "feed", "quarantine"], "lockers": ["other-*"]}
    made = guarded.client.post("/keys", json=wanted, headers=bearer(guarded.keys[Scope.ADMIN])).json()
    page = document(guarded.client, "/console", made["text"])
    text = " ".join(page.text.split())
    assert "Your key is bound to lockers" in text
    assert "Your lockers" in text
    assert "0 open severe faults" in text
    assert LOCKER not in text
    assert "The system is well" not in text
    assert not any(name.startswith("Events a ") for name in names(page))
    for path in ("system",):
        refused = document(guarded.client, f"/console/{path}", made["text"], 403)
        assert "is bound to lockers" in refused.text
    assert "What each problem means" in document(guarded.client, "/console/runbook", made["text"]).text


def test_the_newest_events_come_first(log_path: Path) -> None:
    with client_with() as client:
        accept(client, *(registered(f"c{one}") for one in range(15)))
        wait_until(lambda: "position 15" in document(client, "/console").text)
        page = document(client, "/console")
        shown = [page.text.find(f"position {position}\n") for position in range(15, 5, -1)]
        assert shown == sorted(shown)
        assert -1 not in shown
        assert "position 5\n" not in page.text


def test_the_system_page_shows_positions_limits_and_settings(guarded: Guarded) -> None:
    text = " ".join(document(guarded.client, "/console/system", guarded.keys[Scope.READ]).text.split())
    for part in ("Ready. Events are accepted.", "Newest position4", "Log id", "Checkpoint lag", "Ingest queue"):
        assert part in text, part
    assert "LOCKSTREAM_QUEUE_LIMIT" in text
    assert str(guarded.log) in text


def test_a_log_that_has_failed_is_told_with_what_to_do(log_path: Path) -> None:
    with client_with() as client:
        accept(client, registered())
        log_path.rename(log_path.with_name("moved.jsonl"))
        assert client.post("/events", json=registered("another")).status_code == 503
        for path in ("/console", "/console/system"):
            page = document(client, path)
            assert "could not be written" in page.text
            assert "/console/runbook#a-poisoned-log" in page.values("href")

"""Faults: the queue of open ones, grouped by locker, and the list of cleared ones."""

import csv
import re
from io import StringIO
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import console_client, document
from lockstream.tests.presentation.console.pages.conftest import CLEARED, EIGHT, MINOR, OLD, SEVEN, WORST
from lockstream.tests.support.builders import Body, fault_reported, registered


def shown(html: str) -> list[str]:
    """Return the lockers and faults of the queue in their order: ids of lockers, and of the reports of faults."""
    pattern = r'rowgroup" colspan="5">Locker <a href="/console/lockers/([^"]+)"|</span><a href="/console/events/([^"]+)'
    return [locker or fault for locker, fault in re.findall(pattern, html)]


def test_the_queue_has_the_worst_and_oldest_first_by_locker(network: TestClient) -> None:
    page = document(network, "/console/faults")
    html = network.get("/console/faults").text
    assert shown(html) == [EIGHT, WORST["event_id"], SEVEN, OLD["event_id"], SEVEN, MINOR["event_id"]]
    assert "Faults that degrade a door" in page.text
    assert "Faults that degrade no door" in page.text
    assert "the worst and then the oldest first" in page.text
    assert ("2 days 2 hours" in page.text, "4 days 4 hours" in page.text) == (True, True)
    for position in (11 - 1, 12 - 1, 15 - 1):
        assert any(link.endswith(f"?at={position}") for link in page.values("href"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("min_severity=4", [EIGHT, WORST["event_id"]]),
        ("min_severity=3", [EIGHT, WORST["event_id"], SEVEN, OLD["event_id"]]),
        ("min_severity=2&locker_id=station-7", [SEVEN, OLD["event_id"], SEVEN, MINOR["event_id"]]),
        ("locker_id=station-8", [EIGHT, WORST["event_id"]]),
        ("locker_id=unknown", []),
        ("open=true&min_severity=", [EIGHT, WORST["event_id"], SEVEN, OLD["event_id"], SEVEN, MINOR["event_id"]]),
    ],
)
def test_the_queue_is_filtered(network: TestClient, query: str, expected: list[str]) -> None:
    assert shown(network.get(f"/console/faults?{query}").text) == expected


def test_cleared_faults_are_a_list(network: TestClient) -> None:
    page = document(network, "/console/faults?open=false")
    assert f"/console/events/{CLEARED['event_id']}" in page.values("href")
    assert f"/console/events/{WORST['event_id']}" not in page.values("href")
    everything = document(network, "/console/faults?open=all")
    assert {f"/console/events/{fault['event_id']}" for fault in (CLEARED, MINOR, OLD, WORST)} <= set(
        everything.values("href")
    )
    assert "Open" in everything.text


@pytest.mark.parametrize(("query", "count"), [("", 3), ("min_severity=4", 1), ("open=false", 1), ("open=all", 4)])
def test_the_csv_has_all_that_match(network: TestClient, query: str, count: int) -> None:
    page = document(network, f"/console/faults?{query}")
    [path] = [link["href"] for _, link in page.elements if "data-csv" in link]
    response = network.get(path)
    assert response.headers["content-type"].startswith("text/csv")
    assert len(list(csv.DictReader(StringIO(response.text)))) == count


@pytest.mark.parametrize(
    "query", ["min_severity=x", "open=maybe", "after=x", "low_after=x", "unknown=1", "min_severity=²"]
)
def test_a_wrong_filter_is_explained_beside_the_form(network: TestClient, query: str) -> None:
    response = network.get(f"/console/faults?{query}")
    assert response.status_code == 200
    assert re.findall(r'role="alert">The query parameter [^<]+<', response.text)
    assert "data-filters" in response.text


def test_a_severity_is_told_in_words(network: TestClient) -> None:
    html = network.get("/console/faults").text
    assert 'title="Degrades its compartment"' in html
    assert 'title="Does not degrade its compartment"' in html


def test_a_long_queue_has_the_severe_faults_on_its_first_pages(settings: Settings) -> None:
    # given 5 severe faults, with 12 others before, between and behind them
    severities = [1, 2, 3, 1, 1, 1, 4, 1, 1, 3, 3, 1, 1, 2, 5, 1, 0]
    faults: list[Body] = [fault_reported(severity, event_id=str(uuid4())) for severity in severities]
    with console_client(settings) as client:
        client.post("/events/batch", json=[registered(), *faults])
        # when each page of two reports is read, one after another
        found: list[list[str]] = []
        url: str | None = "/console/faults?limit=2"
        while url:
            page = document(client, url)
            found.append([link[-36:] for link in page.values("href") if link.startswith("/console/events/")])
            following = [link["href"] for _, link in page.elements if link.get("rel") == "next"]
            url = f"/console/faults{following[0]}" if following else None
    # then each fault is shown once, the severe ones first, and no page is empty
    ids = {fault["event_id"]: severity for fault, severity in zip(faults, severities, strict=True)}
    shown_severities = [[ids[fault] for fault in page] for page in found]
    assert sorted(fault for page in found for fault in page) == sorted(ids)
    assert shown_severities[:3] == [[4, 3], [3, 3], [5, 2, 1]]
    assert all(severity < 3 for page in shown_severities[3:] for severity in page)
    assert all(shown_severities)

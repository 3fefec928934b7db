"""An event as it is in the log, the feed, and the histories of lockers and doors."""

import csv
import json
import re
from io import StringIO

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.console.pages import events
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import console_client, document
from lockstream.tests.presentation.console.pages.conftest import (
    HOSTILE,
    HOURS_AGO,
    IN_MARKUP,
    LAST,
    MINOR,
    OLD,
    REFUSED,
    SEVEN,
)
from lockstream.tests.support.builders import Body, registered

FEED = "/console/feed"


def positions(client: TestClient, url: str) -> list[int]:
    """Return the positions of the events that a page lists."""
    found = re.findall(r'class="muted">position ([0-9,]+)<', client.get(url).text)
    return [int(text.replace(",", "")) for text in found]


def test_an_event_is_shown_byte_for_byte_and_in_words(network: TestClient) -> None:
    page = document(network, f"/console/events/{OLD['event_id']}")
    line = network.get(f"/events/{OLD['event_id']}").text
    assert line in page.text
    assert json.loads(line)["chain"] in page.text
    assert "Fault reported" in page.text
    assert "12 of the log" in page.text
    assert "recorded 2 seconds later" in page.text
    links = page.values("href")
    assert {f"/console/lockers/{SEVEN}", f"/console/lockers/{SEVEN}/compartments/A4"} <= set(links)
    assert {f"/console/lockers/{SEVEN}?at=11", f"/console/lockers/{SEVEN}?at=12"} <= set(links)


def test_an_event_leads_to_its_neighbours_in_the_locker(network: TestClient) -> None:
    first, last = HOURS_AGO[200][0], HOURS_AGO[1][1]
    links = document(network, f"/console/events/{OLD['event_id']}").values("href")
    assert {f"/console/events/{one['event_id']}" for one in (MINOR, HOURS_AGO[50][0])} <= set(links)
    assert "This is the first event of its locker." in network.get(f"/console/events/{first['event_id']}").text
    assert "This is the newest event of its locker." in network.get(f"/console/events/{last['event_id']}").text


def test_a_refused_event_leads_to_the_quarantine(network: TestClient) -> None:
    response = network.get(f"/console/events/{REFUSED['event_id']}")
    assert response.status_code == 303
    assert response.headers["location"] == f"/console/quarantine/{REFUSED['event_id']}"


@pytest.mark.parametrize("event_id", ["00000000-0000-4000-8000-00000000dead", "no-uuid", "%3Cb%3E"])
def test_an_unknown_event_is_an_error_page(network: TestClient, event_id: str) -> None:
    response = network.get(f"/console/events/{event_id}")
    assert response.status_code == 404
    assert "events are not in the log" in response.text


def test_a_payload_is_shown_as_it_was_sent(settings: Settings) -> None:
    # given a payload that a decoder would change, or refuse, in a time that UTC does not have
    event = registered("") | {"occurred_at": "0001-01-01T00:00:00+14:00"}
    payload = f'{{"compartment_id":"c","a":1.50,"b":1e400,"c":{"[" * 90}{"]" * 90},"<b>":"<i>","d":"\\u202e"}}'
    with console_client(settings) as client:
        body = json.dumps(event).replace('{"compartment_id": ""}', payload)
        assert client.post("/events", content=body).status_code == 202
        page = document(client, f"/console/events/{event['event_id']}")
        assert payload in page.text
        for text in ("1.50", "1e400", "[" * 90, "<i>", "\u202e", "1-01-01"):
            assert text in page.text.replace(payload, "")
        assert not [tag for tag, _ in page.elements if tag == "i"]
        # then the pages that list the event show it as well
        for url in (FEED, "/console/lockers/locker-1", "/console/lockers/locker-1/events"):
            assert client.get(url).status_code == 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", list(range(LAST, 0, -1))),
        ("type=ParcelDeposited", [14, 9, 8]),
        ("type=FaultReported&before=15", [12, 11]),
        ("locker_id=station-8", [15, 5]),
        ("locker_id=station-8&before=15", [5]),
        ("locker_id=station-7&type=FaultCleared", [17]),
        ("before=3", [2, 1]),
        ("before=1", []),
        ("before=0", []),
        ("before=999999", list(range(LAST, 0, -1))),
    ],
)
def test_the_feed_has_the_newest_first(network: TestClient, query: str, expected: list[int]) -> None:
    assert positions(network, f"{FEED}?{query}") == expected


def test_the_feed_has_older_pages_without_scripts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SHOWN_EVENTS", 3)
    monkeypatch.setattr(events, "_WINDOWS", (3, 6))
    bodies: list[Body] = [registered(f"c{number}", locker=f"l{number % 3}") for number in range(20)]
    with console_client(settings) as client:
        client.post("/events/batch", json=bodies)
        for query, expected in (
            ("", range(20, 0, -1)),
            ("?type=FaultReported", ()),
            ("?locker_id=l1", range(20, 0, -3)),
        ):
            found: list[int] = []
            following: list[str] = [query]
            while following:
                url = f"{FEED}{following[0]}"
                found += positions(client, url)
                page = document(client, url)
                following = [link["href"] for _, link in page.elements if link.get("rel") == "next"]
                assert ("This is the beginning of the log." in page.text) == (not following)
            assert found == list(expected)


@pytest.mark.parametrize(
    "query", ["", "type=ParcelDeposited", "type=FaultReported&before=15", "locker_id=station-8&before=15", "before=3"]
)
def test_the_csv_of_the_feed_has_the_events_of_the_page(network: TestClient, query: str) -> None:
    page = document(network, f"{FEED}?{query}")
    [path] = [link["href"] for _, link in page.elements if "data-csv" in link]
    rows = csv.DictReader(StringIO(network.get(path).text, newline=""))
    assert sorted(int(row["position"]) for row in rows) == sorted(positions(network, f"{FEED}?{query}"))


def test_a_feed_without_events_has_no_csv(network: TestClient) -> None:
    for query in ("before=1", "locker_id=unknown"):
        assert "data-csv" not in network.get(f"{FEED}?{query}").text


@pytest.mark.parametrize("before", ["x", "-1", "1.5", "9" * 5_000])
def test_a_wrong_position_is_an_error_page(network: TestClient, before: str) -> None:
    response = network.get(f"{FEED}?before={before}")
    assert response.status_code == 422
    assert "The query parameter before is" in response.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("type=Lost", "The query parameter type is &#39;Lost&#39;."),
        ("locker_id=unknown", "There is no locker &#39;unknown&#39;."),
        ("locker_id=station-7&type=Lost", "The query parameter type is &#39;Lost&#39;."),
    ],
)
def test_a_wrong_filter_is_explained_beside_the_form(network: TestClient, query: str, sentence: str) -> None:
    html = network.get(f"{FEED}?{query}").text
    assert f'role="alert">{sentence}' in html
    assert "data-filters" in html


def test_the_feed_is_live_at_its_head_alone(network: TestClient) -> None:
    head = dict(document(network, f"{FEED}?type=ParcelDeposited&locker_id=station-7").elements)["body"]
    assert head["data-stream"] == "&type=ParcelDeposited&locker_id=station-7"
    assert head["data-position"] == str(LAST)
    assert "data-stream" not in dict(document(network, f"{FEED}?before=10").elements)["body"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("lockers/station-7/events", [21, 20, 17, 16, 14, 13, 12, 11, 10, 9, 8, 7, 6, 4, 3, 2, 1]),
        ("lockers/station-7/events?order=asc&since=10&until=13", [10, 11, 12, 13]),
        ("lockers/station-7/events?until=2026-01-01T00:00:00Z", []),
        ("lockers/station-7/events?type=FaultReported", [16, 12, 11]),
        ("lockers/station-7/compartments/A3/events", [21, 20, 17, 16, 11, 3]),
        ("lockers/station-7/compartments/A3/events?since=17", [21, 20, 17]),
    ],
)
def test_a_history_is_filtered(network: TestClient, path: str, expected: list[int]) -> None:
    assert positions(network, f"/console/{path}") == expected


def test_a_history_says_what_is_wrong_or_unknown(network: TestClient) -> None:
    html = network.get("/console/lockers/station-7/events?since=x").text
    assert 'role="alert">The query parameter since is &#39;x&#39;.' in html
    for path in ("lockers/nowhere/events", "lockers/station-7/compartments/Z9/events"):
        assert network.get(f"/console/{path}").status_code == 404


def test_identifiers_stay_text(network: TestClient) -> None:
    hostile = HOURS_AGO[5][1]["event_id"]
    for url in (FEED, f"/console/events/{hostile}", f"{FEED}?locker_id=%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"):
        html = network.get(url).text
        assert IN_MARKUP in html
        assert HOSTILE not in html

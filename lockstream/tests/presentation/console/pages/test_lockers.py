"""A locker at any moment: the steps of its slider, moments that are one click away, and moments before it was known."""

import re
from html import unescape
from typing import NamedTuple
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from lockstream.core.use_cases import sorted_lockers
from lockstream.infrastructure.rows import listings
from lockstream.presentation.console.pages import lockers
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import console_client, document
from lockstream.tests.presentation.console.pages.conftest import EIGHT, HOSTILE, LAST, SEVEN
from lockstream.tests.support.builders import fault_reported, registered

QUOTED = quote(HOSTILE, safe="")
WALL = f"/console/lockers/{SEVEN}"

POSITIONS = [1, 2, 3, 4, *range(6, 15), 16, 17, 20, 21]
"""Positions of the events of `SEVEN`."""


class Choice(NamedTuple):
    """A choice of a moment."""

    position: str
    """The position of its event. That of now is empty."""

    recorded_at: str
    is_chosen: bool
    text: str


def choices(html: str) -> list[Choice]:
    """Return all choices of a page."""
    found = re.findall(r'<option value="([0-9]*)" data-time="([^"]+)"( selected)?>([^<]+)<', html)
    return [Choice(position, time, bool(chosen), text) for position, time, chosen, text in found]


def moments(html: str) -> list[str]:
    """Return the position of each choice."""
    return [choice.position or "now" for choice in choices(html)]


def chosen(html: str) -> str:
    """Return the position of the chosen moment."""
    [position] = [choice.position or "now" for choice in choices(html) if choice.is_chosen]
    return position


def link(html: str, label: str) -> int | None:
    """Return the position that a link with a label leads to, or None if there is no such link."""
    found = re.search(rf'href="\?at=([0-9]+)">{label}<', html)
    return int(found[1]) if found else None


def listed(client: TestClient, query: str) -> list[str]:
    """Return the quoted ids of the lockers that the list shows."""
    html = client.get(f"/console/lockers?{query}").text
    return re.findall(r'<th scope="row"><a href="/console/lockers/([^"]+)"', html)


def headings(client: TestClient, query: str) -> dict[str, tuple[str, str]]:
    """Return what each heading that sorts leads to, and how the list is sorted by it, by its words."""
    html = client.get(f"/console/lockers?{query}").text
    heading = r'<th scope="col"(?: class="number")?(?: aria-sort="(\w+)")?><a href="([^"]+)">([\w ]+?)(?: <svg|</a>)'
    return {words: (unescape(address), order) for order, address, words in re.findall(heading, html)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [QUOTED, SEVEN, EIGHT]),
        ("order=desc", [EIGHT, SEVEN, QUOTED]),
        ("sort=last_event", [EIGHT, QUOTED, SEVEN]),
        ("sort=last_event&order=desc&silent=false", [SEVEN, QUOTED, EIGHT]),
        ("sort=available&q=station-&order=desc", [SEVEN, EIGHT]),
        ("sort=degraded&order=desc&available=false", [EIGHT, QUOTED]),
        ("sort=&order=", [QUOTED, SEVEN, EIGHT]),
    ],
)
def test_lockers_are_sorted(network: TestClient, query: str, expected: list[str]) -> None:
    assert listed(network, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "",
            {
                "Locker": ("?order=desc", "ascending"),
                "Free": ("?sort=available", ""),
                "Degraded": ("?sort=degraded&order=desc", ""),
                "Last event": ("?sort=last_event", ""),
            },
        ),
        (
            "q=station&sort=degraded&order=desc",
            {
                "Locker": ("?q=station", ""),
                "Free": ("?q=station&sort=available", ""),
                "Degraded": ("?q=station&sort=degraded", "descending"),
                "Last event": ("?q=station&sort=last_event", ""),
            },
        ),
        (
            "sort=last_event&order=asc&silent=false",
            {
                "Locker": ("?silent=false", ""),
                "Free": ("?sort=available&silent=false", ""),
                "Degraded": ("?sort=degraded&order=desc&silent=false", ""),
                "Last event": ("?sort=last_event&order=desc&silent=false", "ascending"),
            },
        ),
    ],
)
def test_headings_are_links_that_sort_and_keep_the_filters(
    network: TestClient, query: str, expected: dict[str, tuple[str, str]]
) -> None:
    assert headings(network, query) == expected


def test_a_heading_leads_to_the_first_page_and_the_next_page_keeps_the_order(network: TestClient) -> None:
    query = "limit=1&sort=last_event&order=desc"
    page = document(network, f"/console/lockers?{query}")
    [after] = [address for address in page.values("href") if "after=" in address]
    assert after.startswith(f"?{query}&after=")
    second = after.removeprefix("?")
    assert listed(network, second) == [QUOTED]
    assert headings(network, second)["Last event"] == ("?limit=1&sort=last_event", "descending")
    # and the addresses for others have the order as well
    assert f"/console/csv/lockers?{query}" in page.values("href")
    assert f"/lockers?{query}'" in page.text


def test_an_order_that_is_refused_can_be_changed_in_the_form(
    network: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sorted_lockers, listings):
        monkeypatch.setattr(module, "MAX_SORTED", 1)
    html = network.get("/console/lockers?q=station&sort=available").text
    assert "More than 1 locker pass the filters, too many to sort by available." in html
    assert '<option value="available" selected>Free doors</option>' in html
    assert headings(network, "q=station&sort=available") == {}


def test_the_slider_has_the_events_of_the_locker(network: TestClient) -> None:
    html = network.get(WALL).text
    assert moments(html) == [*map(str, POSITIONS[:-1]), "now"]
    assert chosen(html) == "now"
    # then each step has the recorded time and the event
    items = network.get(f"/lockers/{SEVEN}/events?limit=100").json()["items"]
    assert [choice.recorded_at for choice in choices(html)] == [item["recorded_at"] for item in items]
    texts = {choice.position: choice.text for choice in choices(html)}
    for position, text in (
        ("6", "TIME: Reserved old in A1"),
        ("12", "TIME: Fault reported in A4, severity 3"),
        ("14", "TIME: Deposited new"),
        ("", "Now, since TIME: Expired expired"),
    ):
        assert re.sub(r"20[0-9-]{8} [0-9:]{5} UTC", "TIME", texts[position]) == text


def test_a_moment_between_two_events_has_the_earlier_one(network: TestClient) -> None:
    html = network.get(f"{WALL}?at=5").text
    assert chosen(html) == "4"
    assert link(html, "One event earlier") == 3
    assert link(html, "One event later") == 6
    # and the newest event leads to now
    assert 'href="?">One event later<' in network.get(f"{WALL}?at=20").text


def test_the_fields_of_a_past_moment_have_its_time(network: TestClient) -> None:
    [event] = network.get(f"/lockers/{SEVEN}/events?until=9&order=desc&limit=1").json()["items"]
    for at in (9, event["recorded_at"]):
        page = document(network, f"{WALL}?at={at}")
        fields = {attributes.get("id"): attributes.get("value") for tag, attributes in page.elements if tag == "input"}
        assert (fields["day"], fields["clock"]) == (event["recorded_at"][:10], event["recorded_at"][11:16])


def test_a_long_history_is_stepped_through_part_by_part(network: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockers, "MAX_STEPS", 3)
    for query, steps, older, newer in (
        ("", "17 20 now", 16, None),
        ("?at=16", "13 14 16 17 20 now", 12, None),
        ("?at=12", "10 11 12 13 14 16", 9, 16),
        ("?at=2", "1 2 3 4 6", None, 6),
    ):
        html = network.get(f"{WALL}{query}").text
        assert moments(html) == steps.split()
        assert link(html, "Older events") == older
        assert link(html, "Newer events") == newer


def test_moments_before_the_locker_was_known_are_not_offered(network: TestClient) -> None:
    labels = ("24 hours ago", "A week ago")
    text = document(network, WALL).text
    assert all(label in text for label in labels)
    text = document(network, f"/console/lockers/{quote(HOSTILE, safe='')}").text
    assert not any(label in text for label in labels)


@pytest.mark.parametrize(
    ("path", "sentence", "first"),
    [
        (WALL, f"There was no locker '{SEVEN}' at position 0.", 1),
        (f"/console/lockers/{EIGHT}/compartments/B1", f"Locker '{EIGHT}' had no compartment 'B1' at position 0.", 5),
    ],
)
def test_a_moment_before_the_first_event_leads_there_and_to_now(
    network: TestClient, path: str, sentence: str, first: int
) -> None:
    page = document(network, f"{path}?at=0", status=404)
    assert sentence in page.text
    event = network.get(f"{path.removeprefix('/console')}/events?limit=1").json()["items"][0]
    assert event["position"] == first
    assert event["recorded_at"] in page.values("datetime")
    # then both links lead to pages
    assert {f"?at={first}", "?"} <= set(page.values("href"))
    document(network, f"{path}?at={first}")


def test_a_locker_that_was_never_known_leads_nowhere(network: TestClient) -> None:
    page = document(network, "/console/lockers/unknown?at=0", status=404)
    assert "There is no locker 'unknown'." in page.text
    assert not [address for address in page.values("href") if address.startswith("?")]


def test_the_wall_has_a_row_for_each_letter(settings: Settings) -> None:
    with console_client(settings) as client:
        client.post("/events/batch", json=[registered(name) for name in ("B2", "A10", "A2", "B1")])
        html = client.get("/console/lockers/locker-1").text
    doors = re.findall(r'<li( class="wall__row")?>.*?class="id door__id">([^<]+)<', html)
    assert [(bool(begins), name) for begins, name in doors] == [
        (True, "A2"),
        (False, "A10"),
        (True, "B1"),
        (False, "B2"),
    ]


def test_doors_with_overdue_parcels_are_marked_now_and_not_in_the_past(network: TestClient) -> None:
    # given a parcel that has been in A1 for 180 hours, and one in A2 for 50 hours
    html = network.get(WALL).text
    doors = re.findall(r'class="(door [^"]+)"[^>]* href="[^"]+/compartments/([^"?]+)"', html)
    # then the door of the first one bears a mark, and the legend leads to the overdue parcels of the locker
    assert {door: "door--late" in classes.split() for classes, door in doors} == {
        "A1": True,
        "A2": False,
        "A3": False,
        "A4": False,
    }
    page = document(network, WALL)
    assert f"/console/overdue?locker_id={SEVEN}" in page.values("href")
    assert "Overdue 1" in " ".join(page.text.split())
    # and a past wall has no mark, since the limit counts from now
    assert "door--late" not in network.get(f"{WALL}?at={LAST}").text


def test_a_wall_is_shown_if_its_overdue_parcels_cannot_be_read(
    network: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockers, "MAX_ITEMS", 0)  # the list refuses this limit
    page = document(network, WALL)
    assert "A1" in page.text
    assert "limit" in page.text


@pytest.mark.parametrize(("door", "severity"), [("A4", 3), ("A3", 2)])
def test_a_door_tells_how_long_its_faults_have_been_open(network: TestClient, door: str, severity: int) -> None:
    url = f"{WALL}/compartments/{door}"
    now, past = (" ".join(document(network, page).text.split()) for page in (url, f"{url}?at=12"))
    assert f"Severity {severity}, open for 4 days 4 hours, reported 20" in now
    # and in the past, it tells when they were reported
    assert f"Severity {severity}, reported 20" in past


def test_a_door_with_very_many_faults_shows_all_and_the_times_of_the_worst(settings: Settings) -> None:
    count = lockers._READ_REPORTS + 5
    with console_client(settings) as client:
        faults = [fault_reported(severity, "A1", locker="broken") for severity in range(count)]
        client.post("/events/batch", json=[registered("A1", locker="broken"), *faults]).raise_for_status()
        page = " ".join(document(client, "/console/lockers/broken/compartments/A1").text.split())
    found = [(int(severity), opened) for severity, opened in re.findall("Severity ([0-9]+),( open for)?", page)]
    assert found == [(one, " open for" if one >= 5 else "") for one in reversed(range(count))]

"""Parcels: the list, those that lie too long, and the timeline of each."""

import csv
import json
import re
from io import StringIO

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.console.calling import Document, document
from lockstream.tests.presentation.console.pages.conftest import HOSTILE, IN_MARKUP, SEVEN, text_of, time_ago
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.builders import LOCKER, RESERVATION

QUOTED = "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"


def with_times(query: str) -> str:
    """Return a query with a time in the place of hours ago, such as `<20>`. A name of a test must not depend on now."""
    minute = re.sub(r"<(\d+) to the minute>", lambda match: text_of(time_ago(int(match[1])))[:16], query)
    return re.sub(r"<(\d+)>", lambda match: text_of(time_ago(int(match[1]))), minute)


def parcels(client: TestClient, url: str) -> list[str]:
    """Return the ids of the parcels that a page lists."""
    html = client.get(url).text
    return re.findall(r'<th scope="row"><a href="/console/reservations/([^"]+)"', html)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["expired", QUOTED, "new", "picked", "old"]),
        ("order=asc", ["old", "picked", "new", QUOTED, "expired"]),
        ("sort=id&order=asc", [QUOTED, "expired", "new", "old", "picked"]),
        ("status=DEPOSITED", ["new", "old"]),
        ("status=", ["expired", QUOTED, "new", "picked", "old"]),
        ("locker_id=station-8", []),
        (f"locker_id={QUOTED}", [QUOTED]),
        ("changed_after=<20>", ["expired", QUOTED]),
        ("changed_before=<20 to the minute>", ["new", "picked", "old"]),
    ],
)
def test_parcels_are_listed_by_filters(network: TestClient, query: str, expected: list[str]) -> None:
    assert parcels(network, f"/console/reservations?{with_times(query)}") == expected


def test_each_status_is_told_in_words_and_by_a_shape(network: TestClient) -> None:
    html = network.get("/console/reservations").text
    for words in ("Reserved, not deposited", "Waiting for pick-up", "Picked up", "Expired"):
        assert re.search(rf'class="chip chip--\w+">\s*<svg [^>]*>.*?</svg>{words}</span>', html)


def test_a_parcel_that_lies_too_long_is_called_overdue(network: TestClient) -> None:
    badge = re.compile(r'href="/console/overdue\?locker_id=[^"]+">.*?Overdue</a>', re.DOTALL)
    assert badge.search(network.get("/console/reservations/old").text)
    for parcel in ("new", "picked", "expired", "old?at=9"):
        assert not badge.search(network.get(f"/console/reservations/{parcel}").text)


def test_the_list_has_pages_and_one_csv_file_without_scripts(network: TestClient) -> None:
    first = document(network, "/console/reservations?limit=2")
    [following] = [link["href"] for tag, link in first.elements if link.get("rel") == "next"]
    assert parcels(network, f"/console/reservations{following}") == ["new", "picked"]
    [path] = [link["href"] for tag, link in first.elements if "data-csv" in link]
    response = network.get(path)
    assert response.headers["content-type"].startswith("text/csv")
    statuses = [row["status"] for row in csv.DictReader(StringIO(response.text))]
    assert statuses == ["EXPIRED", "CREATED", "DEPOSITED", "PICKED_UP", "DEPOSITED"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("/console/reservations?status=LOST", "The query parameter status is &#39;LOST&#39;."),
        ("/console/reservations?unknown=1", "The query parameter &#39;unknown&#39; is unknown."),
        ("/console/reservations?changed_after=yesterday", "The query parameter changed_after is &#39;yesterday&#39;."),
        ("/console/reservations?sort=id&changed_after=2026-01-01T00:00", "The query parameter sort is &#39;id&#39;"),
        (
            "/console/overdue?older_than=long",
            "The query parameter older_than is &#39;long&#39;. Send a number of hours",
        ),
        ("/console/overdue?older_than=-1", "The query parameter older_than is &#39;-1&#39;."),
        ("/console/overdue?older_than=nan", "The query parameter older_than is &#39;nan&#39;."),
        ("/console/overdue?changed_before=soon", "The query parameter changed_before is &#39;soon&#39;."),
        ("/console/overdue?status=EXPIRED&order=desc&no=1", "The query parameter &#39;no&#39; is unknown."),
    ],
)
def test_a_wrong_filter_is_explained_beside_the_form(network: TestClient, url: str, sentence: str) -> None:
    html = network.get(url).text
    [detail] = re.findall(r'role="alert">([^<]*)<', html)
    assert detail.startswith(sentence)
    assert "data-filters" in html


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["old"]),
        ("older_than=48", ["old", "new"]),
        ("older_than=24.5", ["old", "new"]),
        ("older_than=0", ["old", "new"]),
        ("older_than=181", []),
        ("older_than=48&locker_id=station-8", []),
        ("status=PICKED_UP&order=desc", ["old"]),
        ("changed_before=<20>", ["old", "new"]),
        ("changed_before=<300>&older_than=48", []),
    ],
)
def test_overdue_parcels_are_those_that_lie_longer(network: TestClient, query: str, expected: list[str]) -> None:
    assert parcels(network, f"/console/overdue?{with_times(query)}") == expected


def test_the_time_of_overdue_parcels_can_be_sent_and_is_the_same_on_each_page(network: TestClient) -> None:
    # given a first page of a list that is relative to now
    page = document(network, "/console/overdue?older_than=48&limit=1")
    links = [value for value in page.values("href") if "changed_before=" in value and value.startswith("?")]
    # then the link to the next page and the link for others have the same absolute time
    times = {re.sub(r".*changed_before=([^&]+).*", r"\1", link) for link in links}
    assert (len(links), len(times)) == (2, 1)
    [following] = [link["href"] for _, link in page.elements if link.get("rel") == "next"]
    assert parcels(network, f"/console/overdue{following}") == ["new"]
    # and a page with a time does not follow the feed
    assert "data-live-parts" in network.get("/console/overdue").text
    fixed = network.get(f"/console/overdue?changed_before={times.pop()}").text
    assert "data-live-parts" not in fixed
    assert "Back to now" in fixed


def test_the_chosen_limit_is_marked(network: TestClient) -> None:
    for query, marked in (
        ("", "3 days"),
        ("?older_than=24", "1 day"),
        ("?older_than=168", "7 days"),
        ("?older_than=5", ""),
    ):
        html = network.get(f"/console/overdue{query}").text
        assert "".join(re.findall(r'aria-current="true">([^<]*)<', html)) == marked


def test_a_parcel_is_told_step_by_step(network: TestClient) -> None:
    html = network.get("/console/reservations/picked").text
    assert re.findall(r'<li class="step">\s*<h2>(.*?)\s*</h2>', html) == ["Reserved", "Deposited", "Picked up"]
    page = Document(html)
    assert "recorded 2 seconds later" in page.text
    assert "10 hours later by the locker's clock" in page.text
    assert "3 days 8 hours later by the locker's clock" in page.text
    assert "without a key" in page.text
    assert "Reported late" not in page.text
    for link in ("/console/lockers/station-7?at=7", "/console/lockers/station-7?at=6", "?at=9"):
        assert link in page.values("href")


def test_a_step_that_was_reported_late_is_marked(network: TestClient) -> None:
    page = document(network, "/console/reservations/new")
    assert page.text.count("Reported late") == 1
    assert "recorded 3 hours later" in page.text
    assert "3 hours earlier by the locker's clock" in page.text
    assert "Not picked up yet" in page.text


def test_a_parcel_leads_to_the_refused_events_of_its_locker(guarded: Guarded) -> None:
    refused = f"/console/quarantine?locker_id={LOCKER}"
    for key, is_linked in (("all", True), ("read", False)):
        page = document(guarded.client, f"/console/reservations/{RESERVATION}", guarded.keys[key])
        assert (refused in page.values("href")) == is_linked, key
    assert "unknown_reservation" in document(guarded.client, refused, guarded.keys["all"]).text


def test_each_step_has_its_line_of_the_log_and_its_chain_value(network: TestClient) -> None:
    page = document(network, "/console/reservations/old")
    for item in network.get("/reservations/old/events").json()["items"]:
        line = network.get(f"/events/{item['event_id']}").text
        assert line in page.text
        assert json.loads(line)["chain"] in page.text


def test_a_parcel_is_shown_as_it_was(network: TestClient) -> None:
    page = document(network, "/console/reservations/picked?at=7")
    assert "The parcel as it was, at position 7." in page.text
    assert ("Deposited" in page.text, "Not deposited yet" in page.text) == (False, False)
    assert "data-live-parts" not in dict(page.elements).get("body", {})
    response = network.get("/console/reservations/picked?day=2026-11-20&clock=08:30")
    assert response.status_code == 303
    assert response.headers["location"] == "/console/reservations/picked?at=2026-11-20T08%3A30%3A00Z"


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("unknown", 404, "There is no reservation &#39;unknown&#39;. Its ReservationCreated event creates it."),
        ("picked?at=6", 404, "reservation &#39;picked&#39;"),
        ("picked?at=99", 422, "99"),
        ("picked?at=then", 422, "The query parameter at is &#39;then&#39;."),
        (QUOTED + "x", 404, f"There is no reservation &#39;{IN_MARKUP}x&#39;."),
    ],
)
def test_a_parcel_that_is_not_there_is_an_error_page(
    network: TestClient, path: str, status: int, sentence: str
) -> None:
    response = network.get(f"/console/reservations/{path}")
    assert response.status_code == status
    assert sentence in response.text
    assert HOSTILE not in response.text


def test_identifiers_stay_text(network: TestClient) -> None:
    for url in (
        "/console/reservations",
        f"/console/reservations/{QUOTED}",
        f"/console/reservations?locker_id={QUOTED}",
    ):
        html = network.get(url).text
        assert IN_MARKUP in html
        assert HOSTILE not in html


def test_a_filter_keeps_what_was_typed(network: TestClient) -> None:
    page = document(network, f"/console/reservations?locker_id={SEVEN}&changed_before=2026-11-20T08:30&status=EXPIRED")
    fields = {attributes["name"]: attributes.get("value") for tag, attributes in page.elements if tag == "input"}
    assert fields["locker_id"] == SEVEN
    assert fields["changed_before"] == "2026-11-20T08:30"
    assert [attributes["value"] for _, attributes in page.elements if "selected" in attributes] == [
        "EXPIRED",
        "",
        "desc",
    ]

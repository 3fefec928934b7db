"""The search: matches of each kind, and the way straight to the only one."""

import re

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.console.calling import document, session
from lockstream.tests.presentation.console.pages.conftest import HOSTILE, IN_MARKUP, LAST, OLD
from lockstream.tests.presentation.http.access.conftest import Guarded

QUOTED = "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"


def found(client: TestClient, text: str) -> list[str]:
    """Return the paths of the matches of a search, behind that of the console."""
    response = client.get("/console/search", params={"q": text})
    assert response.status_code == 200, response.headers
    return re.findall(r'<li><a href="/console/((?:lockers|reservations|events)/[^"]+)"', response.text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("station", ["lockers/station-7", "lockers/station-8"]),
        ("A", [f"lockers/station-7/compartments/A{number}" for number in range(1, 5)]),
        ("ol", ["reservations/old"]),
        ("FFFFFFFF-0000-4000-8000-00000000010", [f"events/{OLD['event_id'][:-1]}{digit}" for digit in (1, 2, 3, 4)]),
        ("nothing", []),
    ],
)
def test_ids_are_found_by_their_beginning(network: TestClient, text: str, expected: list[str]) -> None:
    assert found(network, text) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("station-7", "/lockers/station-7"),
        ("  station-7 ", "/lockers/station-7"),
        ("B1", "/lockers/station-8/compartments/B1"),
        ("old", "/reservations/old"),
        (OLD["event_id"], f"/events/{OLD['event_id']}"),
        (OLD["event_id"].upper(), f"/events/{OLD['event_id']}"),
    ],
)
def test_the_only_match_of_a_whole_id_is_opened(network: TestClient, text: str, path: str) -> None:
    response = network.get("/console/search", params={"q": text})
    assert (response.status_code, response.headers.get("location")) == (303, f"/console{path}")


def test_an_id_of_several_subjects_is_a_choice(network: TestClient) -> None:
    paths = found(network, HOSTILE)
    assert paths == [f"lockers/{QUOTED}", f"lockers/{QUOTED}/compartments/{QUOTED}", f"reservations/{QUOTED}"]
    html = network.get("/console/search", params={"q": HOSTILE}).text
    assert IN_MARKUP in html
    assert HOSTILE not in html


def test_a_whole_number_is_a_position(network: TestClient) -> None:
    wanted = network.get("/events?after=11&limit=1").json()["items"][0]["event_id"]
    response = network.get("/console/search?q=12")
    assert (response.status_code, response.headers.get("location")) == (303, f"/console/events/{wanted}")


@pytest.mark.parametrize("text", [str(LAST + 1), "0", "9" * 200, "²", "-1", "1.5"])
def test_a_number_that_is_no_position_is_an_id(network: TestClient, text: str) -> None:
    assert network.get("/console/search", params={"q": text}).status_code == 200


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("STATION", "station", ["lockers/station-7", "lockers/station-8"]),
        (" Station-7 ", "station-7", ["lockers/station-7"]),
        ("b", "B", ["lockers/station-8/compartments/B1"]),
    ],
)
def test_if_nothing_is_found_another_case_is_tried(
    network: TestClient, text: str, form: str, expected: list[str]
) -> None:
    assert found(network, text) == expected
    page = document(network, f"/console/search?q={text}")
    assert f"No id begins with {text.strip()}. Upper and lower case differ" in page.text
    assert f"Found for {form}" in page.text


def test_if_no_case_is_found_the_page_names_those_that_were_tried(network: TestClient) -> None:
    text = " ".join(document(network, "/console/search?q=Nothing").text.split())
    assert "No id begins with Nothing." in text
    assert "Nor does any begin with NOTHING or nothing." in text
    # and a text without letters has one case
    assert "Nor does" not in document(network, "/console/search?q=-1").text


def test_what_is_found_as_it_was_typed_is_not_tried_in_another_case(network: TestClient) -> None:
    page = document(network, "/console/search?q=A")
    assert [path for path in page.values("href") if path.startswith("/console/api/")] == ["/console/api/search?q=A"]


@pytest.mark.parametrize("text", ["a/b", "x" * 129])
def test_a_text_that_no_id_has_is_explained(network: TestClient, text: str) -> None:
    html = network.get("/console/search", params={"q": text}).text
    assert 'role="alert">The query parameter q is' in html


def test_without_a_text_the_page_says_what_can_be_found(network: TestClient) -> None:
    page = document(network, "/console/search")
    assert "Type the beginning of an id" in page.text
    [box] = [attributes for tag, attributes in page.elements if attributes.get("id") == "search"]
    assert (box["name"], box["type"]) == ("q", "search")


def test_a_position_needs_the_scope_of_the_feed(guarded: Guarded) -> None:
    for scope, is_found in (("read", False), ("all", True)):
        response = guarded.client.get("/console/search?q=1", headers=session(guarded.keys[scope]))
        # an event whose id begins with the same digit makes it a choice
        assert (response.status_code == 303 or "Position 1" in response.text) == is_found, scope

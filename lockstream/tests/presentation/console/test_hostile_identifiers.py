"""Hostile identifiers and payloads on every page: no element and no attribute comes from them."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstream.core.entities.fields import IDENTIFIER, IDENTIFIER_MAX
from lockstream.presentation.console.entry import make_console
from lockstream.presentation.http.app import create_app
from lockstream.settings import Settings
from lockstream.tests.presentation.console.hostile import (
    ODD_VALUES,
    PLAIN,
    SUBJECTS,
    Subject,
    story_with_odd_members,
)
from lockstream.tests.support.builders import as_array
from lockstream.tests.support.keyed_clients import NO_KEYS
from lockstream.tests.support.memory_system import open_in_memory

type Shape = tuple[str, tuple[str, ...]]
"""An element's name and the names of its attributes."""


OFFERED = ("/openapi.json", "/docs")


class Shapes(HTMLParser):
    """The shapes of all elements of a page, and its addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[Shape] = set()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, tuple(name for name, _ in attributes)))
        self.addresses += [value or "" for name, value in attributes if name in ("href", "src", "action", "formaction")]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    chosen = Settings.model_validate(NO_KEYS)
    app = create_app(open_in_memory, lambda: chosen, make_console)
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def usual(client: TestClient) -> set[Shape]:
    """The shapes of all pages of harmless networks, of which one is large enough for further pages of each list."""
    found = set[Shape]()
    many = [event for number in range(110) for event in Subject(f"~{PLAIN} {number}").story()]
    assert client.post("/events/batch", json=many).status_code == 200
    for subject in (Subject(PLAIN), Subject("other plain")):
        for _, shapes in shapes_of(client, subject):
            found |= shapes.found
    return found


def shapes_of(client: TestClient, subject: Subject) -> Iterator[tuple[str, Shapes]]:
    """Report the story of a subject, and yield the shapes of each page about it."""
    story = [event | {"event_id": str(uuid4())} for event in subject.story()]
    statuses = [item["status"] for item in client.post("/events/batch", json=story).json()]
    assert statuses == [202] * 5 + [422]
    for url in subject.urls({"accepted": story[0]["event_id"], "refused": story[-1]["event_id"]}):
        response = client.get(url)
        assert response.status_code in (200, 303, 403, 404, 422), url  # without keys, none are shown
        yield url, Shapes(response.text)


def require_usual(client: TestClient, usual: set[Shape], subject: Subject) -> None:
    for url, shapes in shapes_of(client, subject):
        assert shapes.found <= usual, url
        for address in shapes.addresses:
            assert address.startswith(("/console", "#", "?")) or address in OFFERED, (url, address)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: repr(subject.text[:20]))
def test_no_element_comes_from_an_identifier(client: TestClient, usual: set[Shape], subject: Subject) -> None:
    require_usual(client, usual, subject)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.from_regex(IDENTIFIER, fullmatch=True).filter(lambda text: len(text) <= IDENTIFIER_MAX - 4))
def test_no_element_comes_from_any_identifier(client: TestClient, usual: set[Shape], text: str) -> None:
    require_usual(client, usual, Subject(f"{text}{uuid4().hex[:4]}"))


def test_the_identifier_is_shown_as_it_is(client: TestClient) -> None:
    subject = Subject("<b title='x'>\"&amp;")
    for url, _ in shapes_of(client, subject):
        if url.startswith("/console/lockers/") and url.endswith("26amp%3B"):
            text = client.get(url).text
            assert '<bdi class="id">&lt;b title=&#39;x&#39;&gt;&#34;&amp;amp;</bdi>' in text
            assert "<b title" not in text


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:20])
def test_a_known_member_in_another_type_may_have_any_value(client: TestClient, usual: set[Shape], value: str) -> None:
    locker = uuid4().hex
    story = story_with_odd_members(locker, value)
    outcomes = client.post("/events/batch", content=as_array(*story)).json()
    assert [item["status"] for item in outcomes] == [202] * len(story)
    pages = [f"lockers/{locker}", f"lockers/{locker}/events", f"lockers/{locker}/compartments/c1"]
    pages += [f"reservations/{locker}%20r", "feed", f"feed?locker_id={locker}", ""]
    pages += [f"events/{json.loads(event)['event_id']}" for event in story]
    for page in pages:
        response = client.get(f"/console/{page}")
        assert response.status_code == 200, page
        assert Shapes(response.text).found <= usual, page


def test_an_event_shows_each_member_that_its_type_lacks(client: TestClient) -> None:
    story = story_with_odd_members("odd", "[3]")
    client.post("/events/batch", content=as_array(*story))
    for event, names in zip(story, (4, 2, 2, 2, 2), strict=True):
        text = client.get(f"/console/events/{json.loads(event)['event_id']}").text
        assert text.count('<dd><bdi class="id">[3]</bdi></dd>') == names

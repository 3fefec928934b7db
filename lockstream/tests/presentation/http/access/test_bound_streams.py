"""Streams of the feed for bound callers: each has the events of its lockers, beside others at the same place."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from lockstream.core.entities.access import Lockers
from lockstream.tests.presentation.http.access.networks import (
    CALLER,
    CALLERS,
    FOREIGN,
    OWN,
    app_of,
    report,
)
from lockstream.tests.support.builders import Body
from lockstream.tests.support.clients import serving
from lockstream.tests.support.processes import TIMEOUT_SECONDS

BODIES = [*OWN.accepted, *FOREIGN.accepted]
NAMES = ("bound", "other", "anyone", "bound", "other", "anyone")
"""Callers whose streams are open together. Streams of the same caller may share their pages."""


@pytest.fixture(params=["memory", "embedded", "postgres"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server over an empty network."""
    with (
        ExitStack() as stack,
        serving(app_of(request.param, tmp_path / "served", stack)) as url,
        httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client,
    ):
        yield client


def expected_ids(name: str) -> set[str]:
    lockers = CALLERS[name].lockers or Lockers.of(["*"])
    return {body["event_id"] for body in BODIES if lockers.allow(body["locker_id"])}


def streamed(client: httpx.Client, name: str, query: str, count: int, **headers: str) -> list[Any]:
    """Return the first `count` events of a caller's stream, by their ids."""
    found: list[Any] = []
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with client.stream("GET", f"/events/stream?{query}", headers={CALLER: name, **headers}) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                assert found[-1].get("event_id", found[-1].get("id")) in expected_ids(name)
            if len(found) == count:
                return found
            assert time.monotonic() < deadline, "the stream lacks events"  # a heartbeat comes every five seconds
    raise AssertionError("the stream has ended")


@pytest.mark.parametrize("is_cloud", [False, True])
def test_streams_that_are_open_together_have_the_events_of_their_callers(served: httpx.Client, is_cloud: bool) -> None:
    headers = {"Accept": "text/event-stream, application/cloudevents+json"} if is_cloud else {}
    with ThreadPoolExecutor(len(NAMES)) as readers:
        # given streams at the same place of an empty log
        reading = [
            readers.submit(streamed, served, name, "after=0", len(expected_ids(name)), **headers) for name in NAMES
        ]
        # when events of all lockers are accepted
        report(served, OWN, FOREIGN)
        # then each stream has those of its caller, each once
        for name, found in zip(NAMES, reading, strict=True):
            ids = [one["id" if is_cloud else "event_id"] for one in found.result()]
            assert len(ids) == len(expected_ids(name))
            assert set(ids) == expected_ids(name), name


def test_a_waiting_reader_gets_an_event_of_its_own_lockers(served: httpx.Client) -> None:
    own, others = OWN.accepted[0], FOREIGN.accepted[:1]

    def wait() -> list[Body]:
        answer = served.get("/events?after=0&wait=30").json()
        items: list[Body] = answer["items"]
        return items

    with ThreadPoolExecutor(1) as readers:
        waiting = readers.submit(wait)
        for body in [*others, own]:
            assert served.post("/events", json=body, headers={CALLER: "anyone"}).status_code == 202
        assert [item["event_id"] for item in waiting.result()] == [own["event_id"]]

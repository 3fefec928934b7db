"""The file of CSV at the foot of a page: the rows of all pages of its list, in one response."""

import asyncio
import csv
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ASGIScope

from lockstream.core.entities.access import Scope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.routes.shared.pages import MAX_ITEMS
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import console_app, console_client, document, session
from lockstream.tests.support.builders import deposited, registered
from lockstream.tests.support.keys import bearer, created, request

REFUSED, DOORS = 150, 2 * MAX_ITEMS + 7


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of the console, over one locker with more doors than two pages have, and many refused events."""
    log = tmp_path_factory.mktemp("long") / "event_log.jsonl"
    with console_client(Settings.model_validate({"EVENT_LOG_PATH": log})) as client:
        doors = [registered(f"door {number}", locker="large") for number in range(DOORS)]
        refused = [deposited(f"unknown {number}", locker="large") for number in range(REFUSED)]
        client.post("/events/batch", json=doors + refused).raise_for_status()
        yield client


def rows(client: TestClient, page: str) -> list[dict[str, str]]:
    """Return the rows of the file that a page leads to."""
    [path] = [link["href"] for _, link in document(client, page).elements if "data-csv" in link]
    response = client.get(path)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"].startswith('attachment; filename="')
    assert "link" not in response.headers
    return list(csv.DictReader(StringIO(response.text, newline="")))


@pytest.mark.parametrize("query", ["", "?limit=40", "?order=asc", "?until=2000"])
def test_the_file_has_all_rows_of_a_list_with_several_pages(network: TestClient, query: str) -> None:
    found = rows(network, f"/console/lockers/large/events{query}")
    count = 2_000 if "until" in query else DOORS
    expected = range(1, count + 1) if "asc" in query else range(count, 0, -1)
    assert [int(row["position"]) for row in found] == list(expected)


def test_the_file_of_a_later_page_has_the_whole_list_as_well(network: TestClient) -> None:
    first = document(network, "/console/lockers/large/events?limit=40")
    [following] = [link["href"] for _, link in first.elements if link.get("rel") == "next"]
    assert len(rows(network, f"/console/lockers/large/events{following}")) == DOORS


def test_the_file_of_the_quarantine_has_all_entries_that_match(network: TestClient) -> None:
    assert len({row["event_id"] for row in rows(network, "/console/quarantine")}) == REFUSED
    assert len(rows(network, "/console/quarantine?code=unknown_reservation&limit=10")) == REFUSED
    assert rows(network, "/console/quarantine?status=discarded") == []


def test_head_asks_for_the_headers_alone(network: TestClient) -> None:
    response = network.head("/console/csv/lockers/large/events")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.content == b""


class Watching:
    """An application that calls `then` once it has sent the first part of a body."""

    def __init__(self, app: ASGIApp, then: Callable[[], Awaitable[None]]) -> None:
        self._app, self._then = app, then
        self.parts: list[bytes] = []
        self.has_ended = False
        self.is_away = asyncio.Event()
        """Set once the client has disconnected."""

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        async def receive_or_disconnect() -> Message:
            await self.is_away.wait()
            return {"type": "http.disconnect"}

        async def watch(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                self.parts.append(message["body"])
                self.has_ended = not message.get("more_body")
                if len(self.parts) == 1:
                    await self._then()

        await self._app(scope, receive_or_disconnect if scope["type"] == "http" else receive, watch)


def test_a_file_has_no_end_if_its_key_is_revoked(log_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # given a list of several pages, and a key whose session asks for its file
    with closing(FileKeyStore(log_path)) as store:
        admin, key = created(store, request(*Scope)), created(store, request())
    app = console_app(Settings.model_validate({"EVENT_LOG_PATH": log_path}))

    async def revoke_key() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as other:
            (await other.post(f"/keys/{key.key.key_id}/revoke", headers=bearer(admin.text))).raise_for_status()

    watching = Watching(app, revoke_key)
    with TestClient(app) as lockers:
        doors = [registered(f"door {number}", locker="large") for number in range(DOORS)]
        lockers.post("/events/batch", json=doors, headers=bearer(admin.text)).raise_for_status()
        # when the key is revoked while the file is sent
        TestClient(watching).get("/console/csv/lockers/large/events", headers=session(key.text))
    # then no further page is sent, and the response does not end
    assert len(watching.parts) == 1
    assert not watching.has_ended
    assert f"The CSV file of /lockers/large/events ends early: The API key {key.key.key_id} was" in caplog.text


def test_no_page_is_read_for_a_browser_that_has_gone(network: TestClient) -> None:
    async def go() -> None:
        watching.is_away.set()

    watching = Watching(network.app, go)
    TestClient(watching).get("/console/csv/lockers/large/events")
    assert len(watching.parts) < 3
    assert not watching.has_ended

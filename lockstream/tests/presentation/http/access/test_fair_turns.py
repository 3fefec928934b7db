"""Fair turns between keys: a key that floods the ingest queue takes neither room nor turns from another.

Neither does a key that opens streams of the feed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.presentation.http.access.calling import with_limits
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.clients import serving
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.faulty_store import FaultyStore, running_on
from lockstream.tests.support.keyed_clients import NO_KEYS
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS

FLOODING, QUIET = {"Test-Caller": "flooding"}, {"Test-Caller": "quiet"}


class Flooded:
    """A server with a small queue, and a flush that does not end before `store.open_gate`."""

    def __init__(self, store: FaultyStore, client: httpx.AsyncClient) -> None:
        self.store, self.client = store, client

    def post(self, content: Any, headers: dict[str, str]) -> asyncio.Task[httpx.Response]:
        """Start to post an event, or a batch if there are several."""
        path = "/events/batch" if isinstance(content, list) else "/events"
        return asyncio.create_task(self.client.post(path, json=content, headers=headers))

    async def flood(self, count: int, taken: int) -> list[asyncio.Task[httpx.Response]]:
        """Post so many events at once, and return the requests that the queue has taken, which are `taken`."""
        posts = [self.post(event, FLOODING) for event in events("f", count)]
        await self.store.flush_waits()
        refused = [await done for _, done in zip(range(count - taken), asyncio.as_completed(posts), strict=False)]
        assert {response.status_code for response in refused} == {503}
        assert {response.headers["retry-after"] for response in refused} == {"1"}
        assert f"The key has its share of the ingest queue: {taken} of " in refused[0].text
        waiting = [post for post in posts if not post.done()]
        assert len(waiting) == taken
        return waiting


@asynccontextmanager
async def flooded(settings: Settings) -> AsyncIterator[Flooded]:
    store = FaultyStore(settings)
    app = create_app(lambda: running_on(store, settings), lambda: settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(with_limits(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://lockstream", timeout=None) as client:
            store.shut_gate()
            yield Flooded(store, client)


def events(prefix: str, count: int) -> list[Body]:
    return [registered(f"{prefix}{number}", locker=prefix) for number in range(count)]


def test_a_full_share_of_one_key_leaves_room_for_the_events_and_batches_of_another(log_path: Path) -> None:
    async def check() -> None:
        async with flooded(Settings(queue_limit=40)) as server:
            # given a key with as many events as it may have
            waiting = await server.flood(60, taken=20)
            # when another key reports events and a batch, then all are taken
            posts = [server.post(event, QUIET) for event in events("single", 5)]
            batch = server.post(events("batch", 5), QUIET)
            # and the server still counts as ready
            assert (await server.client.get("/health/ready")).status_code == 200
            server.store.open_gate()
            assert {(await post).status_code for post in posts} == {202}
            assert [item["status"] for item in (await batch).json()] == [202] * 5
            assert {(await post).status_code for post in waiting} == {202}

    run(check())
    assert len(audited(log_path)) == 30


def test_a_batch_of_a_quiet_key_is_parsed_in_front_of_many_of_another(log_path: Path) -> None:
    async def check() -> None:
        async with flooded(Settings()) as server:
            server.store.open_gate()
            # given a key that sends twenty batches at once
            flood = [server.post(events(f"f{number}-", 500), FLOODING) for number in range(20)]
            # when another key sends one
            quiet = server.post(events("quiet", 500), QUIET)
            position = (await quiet).json()[-1]["position"]
            await asyncio.gather(*flood)
            # then it has had its turn beside the first ones, and not behind all
            assert position < 5_000

    run(check())
    assert len(audited(log_path)) == 10_500


def test_a_key_that_opens_all_streams_it_may_leaves_some_for_others(log_path: Path) -> None:
    settings = Settings.model_validate({"EVENT_LOG_PATH": log_path, "stream_limit": 5} | NO_KEYS)
    app = with_limits(create_app(lambda: deployment_of(settings).start(), lambda: settings))
    with serving(app) as url, httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client, ExitStack() as opened:

        def opened_stream(headers: dict[str, str]) -> httpx.Response:
            return opened.enter_context(client.stream("GET", "/events/stream?after=head", headers=headers))

        assert [opened_stream(FLOODING).status_code for _ in range(4)] == [200, 200, 200, 503]
        refused = client.get("/events/stream?after=head", headers=FLOODING)
        assert (refused.status_code, refused.json()["detail"]) == (
            503,
            "The key has its share of LOCKSTREAM_STREAM_LIMIT: 3 of 5 open streams of the feed. Close some, try again "
            "later, use another node, or read pages of GET /events.",
        )
        assert refused.headers["retry-after"]
        assert opened_stream(QUIET).status_code == 200

"""Batches as requests: a JSON array or NDJSON, posted whole or in chunks, and the items of the response."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from lockstream.services.running.lockstream import Lockstream
from lockstream.tests.support.builders import LOCKER, Body, as_array, as_lines, registered
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, run
from lockstream.tests.support.log_audit import audited


class Form(NamedTuple):
    """A form of batch bodies: a media type, and the encoding of events in it."""

    name: str
    media_type: str
    write: Callable[..., bytes]
    path: str = "/events/batch"


ARRAY = Form("array", "application/json", as_array)
NDJSON = Form("NDJSON", "application/x-ndjson", as_lines)

SINGLE = Form("single event", "application/json", lambda event: event, "/events")
"""Not a batch: the one event alone."""

each_form = pytest.mark.parametrize("form", [ARRAY, NDJSON], ids=attrgetter("name"))
each_body = pytest.mark.parametrize("form", [SINGLE, ARRAY, NDJSON], ids=attrgetter("name"))


def post(client: Any, form: Form, *items: Body | bytes, **headers: str) -> Any:
    """Post a batch. The result is a response, or an awaitable one if the client is asynchronous."""
    return post_body(client, form, form.write(*items), **headers)


def post_body(client: Any, form: Form, body: Any, **headers: str) -> Any:
    """Post bytes, or an asynchronous iterator of bytes, as `form`. Of header names, `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(form.path, content=body, headers={"content-type": form.media_type} | named)


def post_in_chunks(form: Form, body: bytes, chunk_bytes: int, **headers: str) -> httpx.Response:
    """Open the application over this test's log, and post `body` to it in chunks."""

    async def post_chunks() -> httpx.Response:
        async with concurrent_client(open_from_environment) as client:
            response: httpx.Response = await post_body(client, form, in_chunks(body, chunk_bytes), **headers)
            return response

    return run(post_chunks())


async def in_chunks(body: bytes, chunk_bytes: int) -> AsyncIterator[bytes]:
    """Yield a body for an asynchronous client, which then sends no Content-Length."""
    for begin in range(0, len(body), chunk_bytes):
        yield body[begin : begin + chunk_bytes]


def post_batch(client: Any, form: Form, *items: Body | bytes) -> list[Body]:
    """Post a batch, and return the items of its response."""
    return items_of(post(client, form, *items))


def items_of(response: Any) -> list[Body]:
    """Return the items of the response to a batch, one for each event."""
    assert response.status_code == 200, response.text
    items: list[Body] = response.json()
    return items


def first_status(response: Any) -> int:
    """Return the status of the only event, or of the first one of a batch."""
    status: int = response.status_code if response.request.url.path == "/events" else items_of(response)[0]["status"]
    return status


def statuses(items: Iterable[Body]) -> list[int]:
    return [item["status"] for item in items]


def positions(items: Iterable[Body]) -> dict[str, int]:
    """Return the positions of the events that are in the log, by event id."""
    return {item["event_id"]: item["position"] for item in items if "position" in item}


def positions_in_log(log: Path) -> dict[str, int]:
    """Return the positions of the events in a log, by event id, in the order of the log."""
    return {record["event_id"]: record["position"] for record in audited(log)}


def error_locations(item: Body) -> list[list[str | int]]:
    """Return the locations of the errors of a malformed item, after checking its form."""
    assert item.keys() == {"event_id", "status", "code", "detail"}
    assert (item["status"], item["code"]) == (422, "malformed")
    assert item["detail"]
    assert all(error.keys() == {"loc", "msg", "type"} for error in item["detail"])
    return [error["loc"] for error in item["detail"]]


def registrations(count: int, locker: str = LOCKER) -> list[Body]:
    """Return events that register `count` compartments."""
    return [registered(f"{locker}-{number}", locker=locker) for number in range(count)]


def start(request: Any) -> asyncio.Task[httpx.Response]:
    """Start a request of an asynchronous client, and do not wait for its response."""
    return asyncio.ensure_future(request)


async def wait_until_queued(lockstream: Lockstream, event: Body) -> None:
    """Wait until an event, which was posted, waits to be decided."""
    event_id = event["event_id"]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not any(  # noqa: ASYNC110
            event_id.encode() in (queued.text or b"") or event_id in [one.event_id for one in queued.events or ()]
            for line in lockstream._group_commit._queue._turns
            for queued, _ in line.items
        ):
            await asyncio.sleep(0)


async def count_compartments(client: httpx.AsyncClient, locker: str = LOCKER) -> int:
    """Return the number of compartments that a read shows."""
    response = await client.get(f"/lockers/{locker}")
    count: int = response.json()["compartments"] if response.status_code == 200 else 0
    return count

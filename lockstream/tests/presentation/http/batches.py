"""A batch in each form that it may be sent in, and what is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from lockstream.tests.presentation.http.conftest import concurrent_client, open_from_environment
from lockstream.tests.support.builders import LOCKER, Body, as_array, as_lines, registered
from lockstream.tests.support.log_audit import audited


class Form(NamedTuple):
    name: str
    media_type: str
    write: Callable[..., bytes]
    path: str = "/events/batch"


LIST = Form("list", "application/json", as_array)
LINES = Form("lines", "application/x-ndjson", as_lines)

each_form = pytest.mark.parametrize("form", [LIST, LINES], ids=attrgetter("name"))


def post(client: Any, form: Form, *items: Body | bytes, **headers: str) -> Any:
    """Post a batch; returns what `client` does, an answer or a promise of one."""
    return post_text(client, form, form.write(*items), **headers)


def post_text(client: Any, form: Form, text: Any, **headers: str) -> Any:
    """Post bytes, or for an asynchronous client what yields them, to where they belong."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(form.path, content=text, headers={"content-type": form.media_type} | named)


def post_parts(form: Form, text: bytes, size: int, **headers: str) -> httpx.Response:
    """Open the application over this test's log, and post to it `text` in parts of `size` bytes."""

    async def life() -> httpx.Response:
        async with concurrent_client(open_from_environment) as client:
            answer: httpx.Response = await post_text(client, form, _parts(text, size), **headers)
            return answer

    return asyncio.run(life())


def told(answer: Any) -> list[Body]:
    """What became of each event of a batch."""
    assert answer.status_code == 200, answer.text
    outcomes: list[Body] = answer.json()
    return outcomes


def posted(client: Any, form: Form, *items: Body | bytes) -> list[Body]:
    return told(post(client, form, *items))


def statuses(outcomes: Iterable[Body]) -> list[int]:
    return [outcome["status"] for outcome in outcomes]


def positions(outcomes: Iterable[Body]) -> dict[str, int]:
    """Of those that are in the log, by the event's id."""
    return {outcome["event_id"]: outcome["position"] for outcome in outcomes if "position" in outcome}


def logged(log: Path) -> dict[str, int]:
    """The events in a log, each with its position."""
    return {record["event_id"]: record["position"] for record in audited(log)}


def locs(outcome: Body) -> list[list[str | int]]:
    """Where a malformed event is wrong; it must be one."""
    assert outcome.keys() == {"event_id", "status", "code", "detail"}
    assert (outcome["status"], outcome["code"]) == (422, "malformed")
    assert outcome["detail"]
    assert all(error.keys() == {"loc", "msg", "type"} for error in outcome["detail"])
    return [error["loc"] for error in outcome["detail"]]


def compartments(number: int, locker: str = LOCKER) -> list[Body]:
    return [registered(f"{locker}-{each}", locker=locker) for each in range(number)]


def task(promise: Any) -> asyncio.Task[httpx.Response]:
    """Have what an asynchronous client posts be under way."""
    return asyncio.ensure_future(promise)


async def shown(client: httpx.AsyncClient, locker: str = LOCKER) -> int:
    """How many compartments a read shows."""
    answer = await client.get(f"/lockers/{locker}")
    count: int = answer.json()["compartments"] if answer.status_code == 200 else 0
    return count


async def _parts(text: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]

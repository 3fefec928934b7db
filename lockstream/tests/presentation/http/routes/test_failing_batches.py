"""POST /events/batch: a batch that fails may be sent again, and harms no other request."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from lockstream.core.errors import QueueFull
from lockstream.schemas.outcomes import INTERNAL_ERROR
from lockstream.settings import Settings
from lockstream.tests.presentation.http.batch_requests import (
    Form,
    count_compartments,
    each_form,
    items_of,
    positions_in_log,
    post,
    post_batch,
    registrations,
    start,
    statuses,
    wait_until_queued,
)
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import LOCKER, Body, registered, reserved
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, run
from lockstream.tests.support.faulty_store import POISON, FaultyStore, running_on
from lockstream.tests.support.processes import file_size_limit

LARGE = 2_500
"""Number of events: more than are committed together."""


@pytest.fixture(autouse=True)
def no_abandoned_task(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if an event loop reports a task or an exception that nobody awaited."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


def assert_unavailable(response: httpx.Response, reason: str) -> None:
    assert response.status_code == 503
    assert reason in response.json()["detail"]
    assert int(response.headers["retry-after"]) > 0


@each_form
def test_a_batch_that_finds_the_queue_full_gets_503_and_may_be_sent_again(form: Form) -> None:
    settings = Settings(queue_limit=200)
    store = FaultyStore(settings)
    batch = registrations(150)

    async def fill_queue() -> list[Body]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            # given a flush that does not end, and a full queue
            store.shut_gate()
            first = start(client.post("/events", json=registered("first")))
            await store.flush_waits()
            others = [start(client.post("/events", json=event)) for event in registrations(250, "other")]
            await asyncio.wait(others, timeout=TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            # when a batch is posted
            refused = start(post(client, form, *batch))
            await asyncio.wait([refused], timeout=TIMEOUT_SECONDS)
            store.open_gate()
            # then it is refused, and accepted once the queue has room
            assert_unavailable(await refused, str(QueueFull(200)))
            assert (await first).status_code == 202
            assert {response.status_code for response in await asyncio.gather(*others)} == {202, 503}
            return items_of(await post(client, form, *batch))

    assert set(statuses(run(fill_queue()))) == {202}


@pytest.mark.parametrize("limit", [1, 7])
@each_form
def test_a_batch_may_be_larger_than_the_queue(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch, form: Form, limit: int
) -> None:
    monkeypatch.setenv("LOCKSTREAM_QUEUE_LIMIT", str(limit))
    monkeypatch.setenv("LOCKSTREAM_BATCH_LIMIT", str(limit))
    with new_client(is_checked=False) as client:
        assert statuses(post_batch(client, form, *registrations(650))) == [202] * 650


def nearly_full_disk(log: Path) -> AbstractContextManager[None]:
    """Leave room for a few more lines of `log`."""
    return file_size_limit(log.stat().st_size + 1_000)


@each_form
def test_a_batch_that_could_not_be_written_may_be_sent_again_after_a_restart(
    new_client: NewClient, log_path: Path, form: Form
) -> None:
    batch = registrations(350)

    async def fill_disk() -> None:
        async with concurrent_client(open_from_environment) as client:
            # given some accepted events
            assert statuses(items_of(await post(client, form, *batch[:20]))) == [202] * 20
            # when the disk becomes full during a batch
            with nearly_full_disk(log_path):
                for _ in range(2):
                    assert_unavailable(await post(client, form, *batch), f"The log {log_path} could not be written")
            # then even duplicates get 503, and reads show the acknowledged events
            assert_unavailable(await post(client, form, *batch[:20]), f"The log {log_path} could not be written")
            assert await count_compartments(client) == 20

    run(fill_disk())
    with new_client() as client:
        kept = len(positions_in_log(log_path))
        assert 20 <= kept < 25
        assert statuses(post_batch(client, form, *batch)) == [200] * kept + [202] * (350 - kept)


@each_form
def test_a_batch_that_is_interrupted_by_a_stop_may_be_sent_again(
    new_client: NewClient, log_path: Path, form: Form
) -> None:
    settings = Settings(batch_limit=50)
    store = FaultyStore(settings)
    lockstream = running_on(store, settings)
    batch = registrations(LARGE)

    async def stop_during_batch() -> None:
        async with concurrent_client(lambda: lockstream) as client:
            # given a large batch whose first events wait for a flush
            store.shut_gate()
            response = start(post(client, form, *batch))
            await store.flush_waits()
            # when the system stops
            closing = asyncio.create_task(lockstream._group_commit.close())
            while not lockstream._group_commit._is_closing:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0)
            store.open_gate()
            # then the batch gets 503
            assert_unavailable(await response, "stopping")
            await closing

    run(stop_during_batch())
    # and its beginning was decided, in order, so that only the rest is new when it is sent again
    decided = list(positions_in_log(log_path))
    assert 0 < len(decided) < LARGE
    assert decided == [event["event_id"] for event in batch[: len(decided)]]
    with new_client(is_checked=False) as client:
        expected = [200] * len(decided) + [202] * (LARGE - len(decided))
        assert statuses(post_batch(client, form, *batch)) == expected


@each_form
def test_an_internal_error_fails_only_the_event_that_causes_it(
    log_path: Path, caplog: pytest.LogCaptureFixture, form: Form
) -> None:
    settings = Settings()
    store = FaultyStore(settings)
    lockstream = running_on(store, settings)
    poison = reserved(POISON, f"{LOCKER}-0")
    batch = [*registrations(50), poison, registered("after")]

    async def post_poison() -> None:
        async with concurrent_client(lambda: lockstream) as client:
            # given a flush that does not end, so that two batches are decided together after it
            store.shut_gate()
            first = start(client.post("/events", json=registered("first", locker="other")))
            await store.flush_waits()
            # when one of them contains an event that causes an internal error
            others = registrations(50, "another")
            failing, succeeding = start(post(client, form, *batch)), start(post(client, form, *others))
            for event in batch[-1], others[-1]:
                await wait_until_queued(lockstream, event)
            store.open_gate()
            # then only that event fails, however often it is sent
            items = items_of(await failing)
            assert statuses(items) == [202] * 50 + [500, 202]
            assert items[50] == {"event_id": poison["event_id"], "status": 500, "detail": INTERNAL_ERROR}
            assert (await first).status_code == 202
            assert statuses(items_of(await succeeding)) == [202] * 50
            assert statuses(items_of(await post(client, form, *batch))) == [200] * 50 + [500, 200]

    with caplog.at_level(logging.ERROR):
        run(post_poison())
    assert poison["event_id"] in caplog.text
    assert len(positions_in_log(log_path)) == 102

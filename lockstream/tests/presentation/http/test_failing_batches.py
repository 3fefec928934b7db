"""When something goes wrong with a batch: it may be sent again, and nobody else suffers."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from lockstream.core.errors import QueueFull
from lockstream.settings import Settings
from lockstream.tests.crash.test_failed_writes import no_file_longer_than
from lockstream.tests.presentation.http.batches import (
    Form,
    compartments,
    each_form,
    logged,
    post,
    posted,
    shown,
    statuses,
    task,
    told,
)
from lockstream.tests.presentation.http.conftest import Clients, concurrent_client, open_from_environment
from lockstream.tests.services.running.test_group_commit import run
from lockstream.tests.support.builders import LOCKER, Body, registered, reserved
from lockstream.tests.support.faulty_store import POISON, TIMEOUT_SECONDS, FaultyStore, running_on

LARGE = 2_500
"""Events: more than are committed together."""


@pytest.fixture(autouse=True)
def nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What was under way when a batch failed has been waited for: no event loop says that it was not."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


@each_form
def test_a_batch_that_finds_the_queue_full_may_be_sent_again(form: Form) -> None:
    settings = Settings(queue_limit=200)
    store = FaultyStore(settings)
    batch = compartments(150)

    async def life() -> list[Body]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            first = task(client.post("/events", json=registered("first")))
            await store.at_gate()
            others = [task(client.post("/events", json=event)) for event in compartments(250, "other")]
            await asyncio.wait(others, timeout=TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            refused = task(post(client, form, *batch))
            await asyncio.wait([refused], timeout=TIMEOUT_SECONDS)
            store.open_gate()
            assert_unavailable(await refused, str(QueueFull(200)))
            assert (await first).status_code == 202
            assert {answer.status_code for answer in await asyncio.gather(*others)} == {202, 503}
            return told(await post(client, form, *batch))

    assert set(statuses(run(life()))) == {202}


def nearly_full_disk(log: Path) -> AbstractContextManager[None]:
    """Have room for a few more lines."""
    return no_file_longer_than(log.stat().st_size + 1_000)


def assert_unavailable(answer: httpx.Response, said: str) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("limit", [1, 7])
@each_form
def test_a_batch_is_taken_in_however_few_events_may_wait_or_be_written_together(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, form: Form, limit: int
) -> None:
    monkeypatch.setenv("LOCKSTREAM_QUEUE_LIMIT", str(limit))
    monkeypatch.setenv("LOCKSTREAM_BATCH_LIMIT", str(limit))
    with clients() as client:
        client.event_hooks = {}
        assert statuses(posted(client, form, *compartments(650))) == [202] * 650


@each_form
def test_a_batch_that_cannot_be_written_may_be_sent_again_after_a_restart(
    clients: Clients, log_path: Path, form: Form
) -> None:
    batch = compartments(350)

    async def life() -> None:
        async with concurrent_client(open_from_environment) as client:
            assert statuses(told(await post(client, form, *batch[:20]))) == [202] * 20
            with nearly_full_disk(log_path):
                for _ in range(2):
                    assert_unavailable(await post(client, form, *batch), f"The log {log_path} could not be written")
            assert_unavailable(await post(client, form, *batch[:20]), f"The log {log_path} could not be written")
            assert await shown(client) == 20

    run(life())
    with clients() as client:
        kept = len(logged(log_path))
        assert 20 <= kept < 25
        assert statuses(posted(client, form, *batch)) == [200] * kept + [202] * (350 - kept)


@each_form
def test_a_batch_that_is_cut_short_by_a_stop_may_be_sent_again(clients: Clients, log_path: Path, form: Form) -> None:
    settings = Settings(batch_limit=50)
    store = FaultyStore(settings)
    lockstream = running_on(store, settings)
    batch = compartments(LARGE)

    async def life() -> None:
        async with concurrent_client(lambda: lockstream) as client:
            store.shut_gate()
            answer = task(post(client, form, *batch))
            await store.at_gate()
            closing = asyncio.create_task(lockstream._ingestion.close())
            while not lockstream._ingestion._closing:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0)
            store.open_gate()
            assert_unavailable(await answer, "stopping")
            await closing

    run(life())
    decided = list(logged(log_path))
    assert 0 < len(decided) < LARGE
    assert decided == [event["event_id"] for event in batch[: len(decided)]]
    with clients() as client:
        client.event_hooks = {}
        assert statuses(posted(client, form, *batch)) == [200] * len(decided) + [202] * (LARGE - len(decided))


@each_form
def test_a_fault_of_ours_fails_the_event_that_sets_it_off_and_no_other(
    log_path: Path, caplog: pytest.LogCaptureFixture, form: Form
) -> None:
    settings = Settings()
    store = FaultyStore(settings)
    poison = reserved(POISON, f"{LOCKER}-0")
    batch = [*compartments(50), poison, registered("behind")]

    async def life() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            first = task(client.post("/events", json=registered("first", locker="other")))
            await store.at_gate()
            failing = task(post(client, form, *batch))
            others = task(post(client, form, *compartments(50, "another")))
            await asyncio.sleep(0.05)
            store.open_gate()
            items = told(await failing)
            assert statuses(items) == [202] * 50 + [500, 202]
            assert items[50] == {
                "event_id": poison["event_id"],
                "status": 500,
                "detail": "A fault of Lockstream's own; its log on standard error says more.",
            }
            assert (await first).status_code == 202
            assert statuses(told(await others)) == [202] * 50
            assert statuses(told(await post(client, form, *batch))) == [200] * 50 + [500, 200]

    with caplog.at_level(logging.ERROR):
        run(life())
    assert poison["event_id"] in caplog.text
    assert len(logged(log_path)) == 102

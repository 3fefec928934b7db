"""Nothing is answered or shown before the flush that covers it; one that fails takes back what it was to cover."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.infrastructure.file_log.flush_thread import FlushThread
from lockstream.services.running.group_commit import GroupCommit
from lockstream.settings import Settings
from lockstream.tests.support.builders import LOCKER, RESERVATION, Body, deposited, event, registered, reserved
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS, FaultyStore

type Answer = asyncio.Future[Any]


def run(life: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(life, 3 * TIMEOUT_SECONDS))


@pytest.fixture
def store() -> Iterator[FaultyStore]:
    store = FaultyStore(Settings())
    yield store
    store.close()


def begun(awaited: Awaitable[Any]) -> Answer:
    return asyncio.ensure_future(awaited)


async def idle() -> None:
    """Let all that can go on without the disk go on."""
    for _ in range(20):
        await asyncio.sleep(0)


class Lifecycle:
    """An ingestion, with words for what is asked of it."""

    def __init__(self, store: FaultyStore) -> None:
        self.ingestion = GroupCommit(store, queue_limit=1_000, batch_limit=200)

    def post(self, *bodies: Body) -> Answer:
        return begun(self.ingestion.submit([event(body) for body in bodies]))

    def compartments(self, locker_id: str = LOCKER) -> Answer:
        async def count() -> int:
            locker, _ = await self.ingestion.read(lambda network: network.locker(locker_id))
            return 0 if locker is None else len(locker.compartments)

        return begun(count())


def test_what_is_written_while_the_disk_is_at_work_waits_for_the_next_flush(store: FaultyStore) -> None:
    async def life() -> None:
        running = Lifecycle(store)
        store.shut_gate()
        first = running.post(registered("a"))
        await store.at_gate()
        second, again, refused = running.post(registered("b")), running.post(), running.post(reserved("r", "nothing"))
        await idle()
        assert store.batches[0] == 1
        assert store.log.end.position == 2, "it is decided and written meanwhile"
        assert store.log.durable.position == 0
        assert not [one for one in (first, second, again, refused) if one.done()]
        store.open_gate()
        store.shut_gate()
        assert await first == [Accepted(1)]
        assert store.log.durable.position == 1
        await store.at_gate()
        assert not second.done()
        store.open_gate()
        assert await second == [Accepted(2)]
        await asyncio.gather(again, refused)
        assert store.flushes == [1, 2]

    run(life())


def test_a_read_shows_nothing_that_is_not_durable_and_waits_for_nothing_else(store: FaultyStore) -> None:
    async def life() -> None:
        running = Lifecycle(store)
        assert await running.post(registered("a")) == [Accepted(1)]
        assert await running.compartments() == 1
        store.shut_gate()
        posted = running.post(registered("b"))
        await store.at_gate()
        early = running.compartments()
        await idle()
        assert not early.done()
        assert not posted.done()
        store.open_gate()
        assert await posted == [Accepted(2)]
        assert await early == 2
        assert await running.compartments() == 2
        await running.ingestion.close()

    run(life())


def test_a_read_waits_for_events_of_its_own_locker_alone(store: FaultyStore) -> None:
    async def life() -> None:
        running = Lifecycle(store)
        assert await running.post(registered("a", locker="other")) == [Accepted(1)]
        store.shut_gate()
        first = running.post(registered("a"), registered("b"))
        await store.at_gate()
        second = running.post(registered("c", locker="third"))
        await idle()
        flushing, waiting = running.compartments(), running.compartments("third")
        assert await running.compartments("other") == 1, "no event of it is on its way"
        assert await running.compartments("nowhere") == 0
        assert not [one for one in (first, flushing, second, waiting) if one.done()]
        store.open_gate()
        store.shut_gate()
        assert await flushing == 2, "what has come in later is not waited for"
        assert not waiting.done()
        assert not second.done()
        store.open_gate()
        assert await waiting == 1
        await running.ingestion.close()

    run(life())


def test_a_duplicate_of_what_is_not_durable_yet_waits_for_it(store: FaultyStore) -> None:
    async def life() -> None:
        running, body = Lifecycle(store), registered("a")
        store.shut_gate()
        first = running.post(body)
        await store.at_gate()
        again = running.post(body)
        await idle()
        assert not again.done()
        store.open_gate()
        assert (await first, await again) == ([Accepted(1)], [Duplicate(1)])
        assert store.flushes == [1], "nothing was written for it"

    run(life())


@contextmanager
def no_flush(store: FaultyStore) -> Iterator[None]:
    """Have every flush fail, by the kernel's own account: a pipe cannot be flushed."""
    reading, writing = os.pipe()
    file, store._gated._file = store._gated._file, writing
    try:
        yield
    finally:
        store._gated._file = file
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("failure", ["flush", "append"])
def test_what_a_failing_disk_was_to_keep_is_taken_back(store: FaultyStore, failure: str) -> None:
    async def life() -> None:
        running = Lifecycle(store)
        assert await running.post(registered(), reserved()) == [Accepted(1), Accepted(2)]
        store.shut_gate()
        with no_flush(store) if failure == "flush" else nullcontext():
            lost = [running.post(deposited(), registered("b"))]
            await store.at_gate()
        lost += [running.post(registered("c")), running.post(registered("c"))]
        early = running.compartments()
        await idle()
        if failure == "append":
            store.log.path.rename(store.log.path.with_name("moved.jsonl"))
            lost.append(running.post(registered("d")))
            await idle()
        store.open_gate()
        for answer in lost:
            with pytest.raises(StoreUnavailable, match="could not be written"):
                await answer
        assert await early == 1, "who asked before it failed sees what is durable, too"
        for body in (registered("e"), registered()):
            with pytest.raises(StoreUnavailable, match="could not be written"):
                await running.post(body)
        reservation, _ = await running.ingestion.read(lambda network: network.reservation(RESERVATION))
        assert reservation is not None
        assert reservation.status == "CREATED"
        assert await running.compartments() == 1
        assert len(store.flushes) == 2, "a flush that failed is never tried again"
        await running.ingestion.close()

    run(life())


def test_the_thread_that_flushes_says_what_the_kernel_said(tmp_path: Path) -> None:
    async def flushed(file: int) -> OSError | None:
        told: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        sync = FlushThread(file)
        try:
            sync.begin(told.set_result)
            return await asyncio.wait_for(told, TIMEOUT_SECONDS)
        finally:
            sync.close()

    with (tmp_path / "file").open("wb") as file:
        assert asyncio.run(flushed(file.fileno())) is None
    reading, writing = os.pipe()
    failed = asyncio.run(flushed(writing))
    assert failed is not None
    assert failed.errno == errno.EINVAL
    os.close(reading)
    os.close(writing)


def test_who_has_gone_away_takes_nobody_along(store: FaultyStore) -> None:
    async def life() -> None:
        running = Lifecycle(store)
        store.shut_gate()
        gone = running.post(registered("a"))
        await store.at_gate()
        others = [running.post(registered("b")), running.compartments(), running.compartments()]
        await idle()
        gone.cancel()
        others.pop().cancel()
        store.open_gate()
        assert await others[0] == [Accepted(2)]
        assert await others[1] == 2
        await running.ingestion.close()

    run(life())


def test_requests_are_served_between_the_batches_of_a_burst(store: FaultyStore) -> None:
    async def life() -> None:
        ingestion = GroupCommit(store, queue_limit=1_000, batch_limit=10)
        turns: list[int] = []

        async def others() -> None:
            while len(store.batches) < 5:
                turns.append(len(store.batches))
                await asyncio.sleep(0)

        burst = [begun(ingestion.submit([event(registered(str(number)))])) for number in range(50)]
        await asyncio.gather(others(), *burst)
        assert store.batches == [10] * 5
        assert set(turns) >= {1, 2, 3, 4}

    run(life())

"""On a database, batches are decided in a thread, and requests that arrive meanwhile form the next batch."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.infrastructure.postgres.unit_of_work import PostgresUnitOfWork
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.running.database_engine import WEIGHT_BYTES, DatabaseEngine
from lockstream.services.running.group_commit import GroupCommit
from lockstream.services.running.ingest_queue import weight_of
from lockstream.tests.support.builders import LOCKER, event, registered
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.databases import new_database


class CountingStore(PostgresStore):
    """A store that counts its batches."""

    batches = 0

    def unit_of_work(self) -> PostgresUnitOfWork:
        self.batches += 1
        return super().unit_of_work()


@pytest.fixture
def store() -> Iterator[CountingStore]:
    with new_database() as url, closing(CountingStore(url)) as store:
        yield store


def test_requests_that_arrive_while_a_batch_is_decided_form_the_next_batch(store: CountingStore) -> None:
    async def check() -> None:
        # given a batch that is being decided
        engine = DatabaseEngine(store)
        group_commit = GroupCommit(engine, 1_000)
        first = asyncio.ensure_future(group_commit.submit([event(registered("first"))]))
        await asyncio.sleep(0)
        # when more requests come, one of which is cancelled
        requests = [
            asyncio.ensure_future(group_commit.submit([event(registered(str(number)))])) for number in range(50)
        ]
        cancelled = event(registered("cancelled"))
        asyncio.ensure_future(group_commit.submit([cancelled])).cancel()
        # then they are decided together, and the cancelled one, too
        assert await first == [Accepted(1)]
        assert [await request for request in requests] == [[Accepted(position)] for position in range(2, 52)]
        assert await group_commit.submit([cancelled]) == [Duplicate(52)]
        assert store.batches == 3
        # and shown
        result = await engine.read(lambda reads: reads.locker(LOCKER))
        assert result.value is not None
        assert (len(result.value.compartments), result.position) == (52, 52)
        await group_commit.close()
        await engine.close()

    run(check())


def test_close_finishes_the_submitted_events(store: CountingStore) -> None:
    async def check() -> None:
        engine = DatabaseEngine(store)
        group_commit = GroupCommit(engine, 1_000)
        requests = [asyncio.ensure_future(group_commit.submit([event(registered(str(number)))])) for number in range(3)]
        await group_commit.close()
        await engine.close()
        assert [await request for request in requests] == [[Accepted(position)] for position in (1, 2, 3)]

    run(check())


@pytest.mark.parametrize(("size", "weight"), [(0, 1), (WEIGHT_BYTES - 1_000, 1), (10 * WEIGHT_BYTES, 11)])
def test_a_large_payload_counts_as_several_events(store: CountingStore, size: int, weight: int) -> None:
    engine = DatabaseEngine(store)
    assert weight_of([b"x" * (size + 100)], engine.weight_bytes) == weight
    assert weight_of([b"x" * (size + 100)] * 3, engine.weight_bytes) == 3 * weight
    run(engine.close())

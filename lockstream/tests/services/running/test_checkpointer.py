"""Somebody else holds a lock on the projection: events are taken in all the same, and reads show them."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from lockstream.core.entities.state import Locker
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.infrastructure.sqlite.database import writing_engine
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.services.running.checkpointer import SETTLE_AFTER_SECONDS
from lockstream.services.running.group_commit import GroupCommit
from lockstream.tests.presentation.http.conftest import concurrent_client, open_from_environment
from lockstream.tests.support.builders import LOCKER, event, registered
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS
from lockstream.tests.support.histories import CAPACITY, hashes_after_replay, hashes_after_start


@contextmanager
def locked(projection: Path) -> Iterator[None]:
    with closing(sqlite3.connect(projection, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def posted(client: httpx.AsyncClient, compartment: str) -> httpx.Response:
    return await client.post("/events", json=registered(compartment))


async def read(client: httpx.AsyncClient) -> httpx.Response:
    return await asyncio.wait_for(client.get(f"/lockers/{LOCKER}"), TIMEOUT_SECONDS)


def test_the_writer_waits_for_no_lock(log_path: Path) -> None:
    """SQLite waits 5 s of its own accord, and every event would wait with it."""
    with writing_engine(projection_path(log_path)).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 0


def test_events_are_taken_in_while_somebody_locks_the_projection(log_path: Path) -> None:
    async def history() -> None:
        async with concurrent_client(open_from_environment) as client:
            with locked(projection_path(log_path)):
                for number in range(3):
                    assert (await posted(client, str(number))).status_code == 202
                    await asyncio.sleep(2 * SETTLE_AFTER_SECONDS)  # it tries to checkpoint what nobody has asked for
            shown = await read(client)
            assert shown.status_code == 200
            assert shown.json()["compartments"] == 3

    asyncio.run(history())
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_reads_show_all_that_was_acknowledged_while_somebody_locks_the_projection(log_path: Path) -> None:
    async def history() -> None:
        async with concurrent_client(open_from_environment) as client:
            assert (await posted(client, "before")).status_code == 202
            assert (await read(client)).json()["compartments"] == 1
            with locked(projection_path(log_path)):
                assert (await read(client)).json()["compartments"] == 1
                for number in range(3):
                    assert (await posted(client, str(number))).status_code == 202
                    await asyncio.sleep(2 * SETTLE_AFTER_SECONDS)
                    assert (await read(client)).json()["compartments"] == number + 2
                reads = asyncio.gather(*(read(client) for _ in range(20)))
                assert (await posted(client, "meanwhile")).status_code == 202
                for answer in await reads:
                    assert answer.status_code == 200
            assert (await read(client)).json()["compartments"] == 5
            assert (await posted(client, "after")).status_code == 202
            assert (await read(client)).json()["compartments"] == 6

    asyncio.run(history())
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


async def locker_on(ingestion: GroupCommit) -> Locker | None:
    seen = await asyncio.wait_for(ingestion.read(lambda network: network.locker(LOCKER)), TIMEOUT_SECONDS)
    return seen.found


def test_what_cannot_be_settled_is_shown_and_does_not_keep_it_from_closing(log_path: Path) -> None:
    async def history() -> None:
        ingestion = GroupCommit(store, queue_limit=10, batch_limit=10)
        with locked(projection_path(log_path)):
            assert await ingestion.submit([event(registered())]) == [Accepted(1)]
            await asyncio.wait_for(ingestion.close(), TIMEOUT_SECONDS)
            assert await locker_on(ingestion) is not None
            with pytest.raises(StoreUnavailable, match="stopping"):
                await ingestion.submit([event(registered("late"))])

    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        asyncio.run(history())
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_memory_that_cannot_be_freed_takes_in_nothing_more_until_the_lock_is_gone(log_path: Path) -> None:
    """Rows that are not settled stay in memory, so there must be an end to them."""

    async def history() -> None:
        ingestion = GroupCommit(store, queue_limit=10, batch_limit=10)
        with locked(projection_path(log_path)):
            assert await ingestion.submit([event(registered(str(number))) for number in range(10)]) == [
                Accepted(position) for position in range(1, 11)
            ]
            await ingestion._settler.rest()
            [refused] = await ingestion.submit([event(registered("more"))])
            assert isinstance(refused, StoreUnavailable)
            assert "projection" in str(refused)
            locker = await locker_on(ingestion)
            assert locker is not None
            assert len(locker.compartments) == 10
        for _ in range(round(10 * TIMEOUT_SECONDS / SETTLE_AFTER_SECONDS)):  # so often that it is never quiet
            [outcome] = await ingestion.submit([event(registered("more"))])
            if outcome == Accepted(11):
                break
            await asyncio.sleep(SETTLE_AFTER_SECONDS / 10)
        else:
            pytest.fail("nothing is taken in any more")
        await ingestion.close()

    with closing(EmbeddedStore(log_path, 5)) as store:
        asyncio.run(history())
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_what_could_not_be_settled_is_settled_when_the_lock_is_gone_though_nothing_more_comes(log_path: Path) -> None:
    async def history() -> None:
        ingestion = GroupCommit(store, queue_limit=10, batch_limit=10)
        with locked(projection_path(log_path)):
            assert await ingestion.submit([event(registered())]) == [Accepted(1)]
            for _ in range(round(TIMEOUT_SECONDS / SETTLE_AFTER_SECONDS)):
                await asyncio.sleep(SETTLE_AFTER_SECONDS)
                if ingestion._settler._failed_because:
                    break
            assert ingestion._settler._failed_because
        for _ in range(round(TIMEOUT_SECONDS / SETTLE_AFTER_SECONDS)):
            await asyncio.sleep(SETTLE_AFTER_SECONDS)
            if store._projection.reached.position == 1:
                break
        assert store._projection.reached.position == 1
        await ingestion.close()

    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        asyncio.run(history())


def test_a_reader_that_has_gone_away_takes_no_settlement_along(log_path: Path) -> None:
    async def history() -> None:
        ingestion = GroupCommit(store, queue_limit=10, batch_limit=10)
        assert await ingestion.submit([event(registered())]) == [Accepted(1)]
        ingestion._settler._start()
        os.rename(log_path, f"{log_path}.moved")  # noqa: PTH104  # in no time
        [lost] = await ingestion.submit([event(registered("lost"))])
        assert isinstance(lost, StoreUnavailable)
        gone = asyncio.ensure_future(ingestion.read(lambda network: network.locker(LOCKER)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await locker_on(ingestion) is not None
        await asyncio.wait_for(ingestion.close(), TIMEOUT_SECONDS)

    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        asyncio.run(history())


def test_a_read_after_closing_is_answered(log_path: Path) -> None:
    async def history() -> None:
        ingestion = GroupCommit(store, queue_limit=10, batch_limit=10)
        await ingestion.submit([event(registered())])
        await ingestion.close()
        assert await locker_on(ingestion) is not None

    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        asyncio.run(history())

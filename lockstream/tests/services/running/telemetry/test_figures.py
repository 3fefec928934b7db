"""The figures of a running system are right on every store, and are there while events are refused."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event

import pytest

from lockstream import __version__
from lockstream.core.entities.access import Lockers
from lockstream.core.entities.quarantine import QuarantineLimits, QuarantineTotals
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.quarantine.store import FileQuarantine
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.services.deployment import deployment_of
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.nodes import heartbeat
from lockstream.services.running.telemetry import attempts
from lockstream.services.running.telemetry.figures import NodeState, StorageKind
from lockstream.services.running.telemetry.problems import problems
from lockstream.settings import Settings
from lockstream.tests.support.builders import event, fault_cleared, fault_reported, registered
from lockstream.tests.support.coroutines import run, wait_for
from lockstream.tests.support.databases import new_database
from lockstream.tests.support.faulty_store import FaultyStore, locked_projection, running_on
from lockstream.tests.support.memory_system import open_in_memory

pytestmark = pytest.mark.usefixtures("short_waits")

UNKNOWN_FAULT = fault_cleared(fault_reported())


@contextmanager
def embedded() -> Iterator[Lockstream]:
    yield deployment_of(Settings()).start()


@contextmanager
def on_postgres() -> Iterator[Lockstream]:
    with new_database() as url:
        yield deployment_of(Settings.model_validate({"DATABASE_URL": url})).start()


@contextmanager
def in_memory() -> Iterator[Lockstream]:
    yield open_in_memory()


each_store = pytest.mark.parametrize("opened", [embedded, on_postgres, in_memory])


@each_store
def test_the_figures_follow_the_log(opened: Callable[[], AbstractContextManager[Lockstream]]) -> None:
    async def check(lockstream: Lockstream) -> None:
        lockstream.bind_running_loop()
        # given an empty log
        empty = await lockstream.figures()
        assert (empty.storage.head, empty.storage.durable_position, empty.storage.log_bytes) == (0, 0, 0)
        # when two events are accepted and one is refused
        await lockstream.ingest([event(registered()), event(registered("b")), event(UNKNOWN_FAULT)])
        await lockstream.quarantine(lambda entries: entries.totals())  # writes what was noted
        figures = await lockstream.figures()
        # then the figures show that
        storage = figures.storage
        assert (storage.appended_position, storage.durable_position, storage.head) == (2, 2, 2)
        assert storage.log_id != empty.storage.log_id
        assert (storage.log_bytes or 0) > 400
        assert (figures.version, figures.events_waiting, figures.open_streams) == (__version__, 0, 0)
        assert (figures.queue_limit, figures.stream_limit) == (20_000, 1_000)
        assert figures.quarantine
        assert (figures.quarantine.entries, figures.quarantine.limit) == (1, 50_000)
        assert figures.unavailable_reason is None
        assert problems(figures) == []
        # and the only node is this process
        [node] = figures.nodes or ()
        assert (node.process_id, node.version, node.is_this) == (os.getpid(), __version__, True)
        assert (node.position, node.state, node.unavailable_reason) == (2, NodeState.READY, None)
        assert node.name == f"{socket.gethostname()}:8000"
        assert node.started_at <= node.heard_at
        await lockstream.close()

    with opened() as lockstream:
        run(check(lockstream))


def test_a_database_names_itself_and_has_no_disk() -> None:
    async def check(lockstream: Lockstream) -> None:
        figures = await lockstream.figures()
        assert figures.storage.kind is StorageKind.POSTGRESQL
        assert "lockstream_" in figures.storage.log_name
        assert (figures.storage.disk_free_bytes, figures.days_left, figures.storage.replica_lag) == (None, None, None)
        await lockstream.close()

    with on_postgres() as lockstream:
        run(check(lockstream))


def test_the_projection_lags_behind_until_a_checkpoint(store: FaultyStore, log_path: Path) -> None:
    async def check() -> None:
        lockstream = running_on(store, Settings())
        lockstream.bind_running_loop()
        with locked_projection(log_path):
            await lockstream.ingest([event(registered()), event(registered("b"))])
            await wait_for(lambda: store.checkpoints >= 2)
            behind = (await lockstream.figures()).storage
        # given a projection that another program has locked, then it is two events behind
        assert (behind.projection_position, behind.projection_lag) == (0, 2)
        assert behind.projection_lag_seconds > 0
        assert behind.projection_failure
        # when the lock is gone, then it follows
        await wait_for(lambda: store.checkpointed == 2)
        storage = (await lockstream.figures()).storage
        assert (storage.projection_position, storage.projection_lag, storage.projection_lag_seconds) == (2, 0, 0.0)
        assert storage.projection_failure is None
        assert (storage.disk_free_bytes or 0) > 0
        assert (storage.projection_bytes or 0) > 4_096
        await lockstream._close()

    run(check())


def test_a_poisoned_log_still_has_figures(store: FaultyStore) -> None:
    async def check() -> None:
        lockstream = running_on(store, Settings())
        lockstream.bind_running_loop()
        await lockstream.ingest([event(registered())])
        with store.failing_flushes(), pytest.raises(StoreUnavailable):
            await lockstream.ingest([event(registered("b"))])
        figures = await lockstream.figures()
        assert (figures.storage.durable_position, figures.storage.head) == (1, 1)
        assert figures.storage.log_failure == figures.unavailable_reason
        assert [problem.code for problem in problems(figures)] == ["log_failed"]
        await lockstream._close()

    run(check())


def test_a_read_that_hangs_leaves_out_only_its_own_figures(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    release, reads = Event(), list[str]()

    class HangingQuarantine(FileQuarantine):
        def totals(self, lockers: Lockers | None = None) -> QuarantineTotals:
            reads.append("quarantine")
            release.wait(20)
            return super().totals(lockers)

    def hanging_bytes(_: EmbeddedStore) -> int:
        reads.append("disk")
        release.wait(20)
        return 0

    async def check() -> None:
        quarantine = HangingQuarantine(QuarantineLimits())
        lockstream = Lockstream(store, EmbeddedEngine(store, 250), Settings(), quarantine)
        lockstream.bind_running_loop()
        monkeypatch.setattr(EmbeddedStore, "projection_bytes", hanging_bytes)
        figures = await lockstream.figures()
        assert figures.quarantine is None
        assert (figures.storage.disk_free_bytes, figures.storage.head) == (None, 0)
        assert figures.missing == ("disk", "quarantine")
        assert figures.storage.events_a_day == 0
        assert [problem.code for problem in problems(figures)] == ["figures_missing"]
        # and further attempts share the reads that hang
        for _ in range(2):
            await lockstream.figures()
        assert sorted(reads) == ["disk", "quarantine"]
        release.set()
        await lockstream._close()

    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.3)
    run(check())


def test_slow_lists_leave_the_figures_of_the_disk(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Event()

    async def check() -> None:
        lockstream = running_on(store, Settings())
        lockstream.bind_running_loop()
        lists = [asyncio.ensure_future(lockstream.list(lambda _: release.wait(20), at=0)) for _ in range(2)]
        await asyncio.sleep(0)
        figures = await lockstream.figures()
        assert (figures.storage.disk_free_bytes or 0) > 0
        assert (figures.storage.events_a_day, figures.missing) == (None, ("growth",))
        release.set()
        await asyncio.gather(*lists)
        assert (await lockstream.figures()).missing == ()
        await lockstream._close()

    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.3)
    run(check())


def test_a_database_that_is_away_leaves_the_figures_that_the_node_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(lockstream: Lockstream) -> None:
        lockstream.bind_running_loop()
        await lockstream.ingest([event(registered())])
        lockstream._store.log.unavailable_reason = "The database is away."  # type: ignore[misc]
        figures = await lockstream.figures()
        assert (figures.storage.head, figures.storage.durable_position) == (1, 1)
        assert [problem.code for problem in problems(figures)] == ["events_refused"]
        [node] = figures.nodes or ()
        assert (node.state, node.unavailable_reason) == (NodeState.NOT_READY, "The database is away.")
        monkeypatch.setattr(heartbeat, "UNHEARD_SECONDS", 0)
        figures = await lockstream.figures()
        assert (figures.nodes, figures.missing) == (None, ("nodes",))
        await lockstream.close()

    with on_postgres() as lockstream:
        run(check(lockstream))

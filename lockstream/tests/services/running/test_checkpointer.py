"""Checkpoints wait for no event, events wait for no checkpoint, and a failed checkpoint is tried again."""

import asyncio
import logging
import os
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged, StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.infrastructure.sqlite import row_cache
from lockstream.infrastructure.stores.embedded import EmbeddedStore, acknowledged, projection_path
from lockstream.services.running import checkpointer
from lockstream.settings import Settings
from lockstream.tests.infrastructure.sqlite.trouble import driver_connection
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.coroutines import let_others_run, run, wait_for
from lockstream.tests.support.faulty_store import FaultyStore, locked_projection, progress_of
from lockstream.tests.support.histories import CAPACITY, files_beside, hashes_after_replay, hashes_after_start

pytestmark = pytest.mark.usefixtures("short_waits")


def assert_whole(log: Path) -> None:
    """Assert that a start shows the state of a replay."""
    assert hashes_after_start(log) == hashes_after_replay(log)


async def two_more_checkpoints(store: FaultyStore) -> None:
    """Wait until a checkpoint has begun and ended, and the next one has begun."""
    before = store.checkpoints
    await wait_for(lambda: store.checkpoints >= before + 2)


def test_the_writing_connection_waits_for_no_lock(log_path: Path) -> None:
    """A start waits 5 s for a lock. The thread of checkpoints would keep events waiting as long."""
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        writing = driver_connection(store._projection.stored._writing.connection)
        assert writing.execute("PRAGMA busy_timeout").fetchall() == [(0,)]


def test_events_are_accepted_while_another_program_locks_the_projection(log_path: Path) -> None:
    async def check(store: FaultyStore) -> None:
        system = System(store)
        with locked_projection(log_path):
            for number in range(3):
                assert await system.post(registered(str(number))) == [Accepted(number + 1)]
                await two_more_checkpoints(store)
        assert await system.compartments() == 3
        await system.close()
        assert progress_of(log_path).reached.position == 3

    with closing(FaultyStore(Settings())) as store:
        run(check(store))
    assert_whole(log_path)


def test_reads_show_all_acknowledged_events_while_another_program_locks_the_projection(log_path: Path) -> None:
    async def check(store: FaultyStore) -> None:
        # given an event that a checkpoint has written
        system = System(store)
        assert await system.post(registered("before")) == [Accepted(1)]
        assert await system.compartments() == 1
        with locked_projection(log_path):
            assert await system.compartments() == 1
            # when events are accepted that no checkpoint can write, then each read shows them
            for number in range(3):
                assert await system.post(registered(str(number))) == [Accepted(number + 2)]
                await two_more_checkpoints(store)
                assert await system.compartments() == number + 2
            reads = [system.compartments() for _ in range(20)]
            assert await system.post(registered("meanwhile")) == [Accepted(5)]
            assert set(await asyncio.gather(*reads)) <= {4, 5}
        # and after the lock was released
        assert await system.compartments() == 5
        assert await system.post(registered("after")) == [Accepted(6)]
        assert await system.compartments() == 6
        await system.close()

    with closing(FaultyStore(Settings())) as store:
        run(check(store))
    assert_whole(log_path)


def test_close_ends_although_no_checkpoint_can_be_written_and_reads_go_on(log_path: Path) -> None:
    async def check(store: FaultyStore) -> None:
        system = System(store)
        with locked_projection(log_path):
            assert await system.post(registered()) == [Accepted(1)]
            await system.close()
            assert await system.locker() is not None
            with pytest.raises(StoreUnavailable, match="stopping"):
                await system.group_commit.submit([event(registered("late"))])

    with closing(FaultyStore(Settings())) as store:
        run(check(store))
    assert_whole(log_path)


def test_a_full_row_cache_refuses_events_until_a_checkpoint_can_be_written(log_path: Path) -> None:
    """Rows without a checkpoint stay in memory, so their number must be bounded."""

    async def check(store: FaultyStore) -> None:
        # given more changed rows than the cache may hold, and a projection that cannot be written
        system = System(store)
        with locked_projection(log_path):
            outcomes = await system.post(*(registered(str(number)) for number in range(10)))
            assert outcomes == [Accepted(position) for position in range(1, 11)]
            await system.engine.checkpointer.wait_idle()
            # when another event comes, then it is refused, and reads go on
            [refused] = await system.post(registered("more"))
            assert isinstance(refused, StoreUnavailable)
            assert "projection" in str(refused)
            assert "projection" in (system.group_commit.unavailable_reason or "")
            assert await system.compartments() == 10
        # when the lock was released, then an event is accepted again, although events never stop coming
        while await system.post(registered("more")) != [Accepted(11)]:  # noqa: ASYNC110  # nothing signals that
            await asyncio.sleep(checkpointer.QUIET_SECONDS / 10)
        assert system.group_commit.unavailable_reason is None
        await system.close()

    with closing(FaultyStore(Settings(row_cache_rows=5))) as store:
        run(check(store))
    assert_whole(log_path)


def test_a_failed_checkpoint_is_tried_again_although_no_more_events_come(log_path: Path, store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        with locked_projection(log_path):
            assert await system.post(registered()) == [Accepted(1)]
            await two_more_checkpoints(store)
            assert progress_of(log_path).reached.position == 0
        await wait_for(lambda: progress_of(log_path).reached.position == 1)
        await system.close()

    run(check())


def test_the_projection_follows_events_that_never_pause(
    log_path: Path, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(checkpointer, "MAX_AGE_SECONDS", 0.2)

    async def check() -> None:
        system = System(store)
        posted = 0
        while progress_of(log_path).reached.position < 20 or store.checkpoints < 3:
            posted += 1
            await system.post(registered(str(posted)))
        assert posted > store.checkpoints, "several batches share a checkpoint"
        await system.close()

    run(check())


def test_no_checkpoint_begins_if_all_events_are_written(log_path: Path, store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        await system.post(registered())
        await wait_for(lambda: progress_of(log_path).reached.position == 1)
        await asyncio.sleep(5 * checkpointer.QUIET_SECONDS)
        assert store.checkpoints == 1
        await system.close()
        assert store.checkpoints == 1

    run(check())


def test_an_internal_error_in_a_checkpoint_is_logged_and_the_checkpoint_is_tried_again(
    log_path: Path, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.checkpoint_errors += [ZeroDivisionError()]

    async def check() -> None:
        system = System(store)
        assert await system.post(registered("a"), registered("b")) == [Accepted(1), Accepted(2)]
        await wait_for(lambda: progress_of(log_path).reached.position == 2)
        assert await system.post(registered("c")) == [Accepted(3)]
        await system.close()

    with caplog.at_level(logging.ERROR):
        run(check())
    assert "could not be brought up to the log" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_checkpoint_writes_nothing_that_is_not_durable(log_path: Path, store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        store.shut_gate()
        posted = system.post(registered())
        await wait_for(lambda: store.checkpoints == 1)
        await let_others_run()
        assert progress_of(log_path).reached.position == 0
        store.open_gate()
        await posted
        await wait_for(lambda: progress_of(log_path).reached.position == 1)
        await system.close()

    run(check())


def test_a_cancelled_reader_does_not_cancel_the_checkpoint_that_it_waits_for(store: FaultyStore) -> None:
    async def check() -> None:
        # given a failed log, and a checkpoint that does not end
        system = System(store)
        store.shut_checkpoint_gate()
        assert await system.post(registered()) == [Accepted(1)]
        await store.checkpoint_waits()
        os.rename(store.log.path, f"{store.log.path}.moved")  # noqa: PTH104  # faster than another thread would be
        [lost] = await system.post(registered("lost"))
        assert isinstance(lost, StoreUnavailable)
        # when a read that waits for the checkpoint is cancelled
        cancelled = system.compartments()
        await let_others_run()
        assert not cancelled.done()
        cancelled.cancel()
        store.open_checkpoint_gate()
        # then other reads are answered, and the checkpoint was written
        assert await system.compartments() == 1
        assert progress_of(store.log.path).reached.position == 1
        await system.close()

    run(check())


def test_a_read_after_close_is_answered(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        await system.post(registered())
        await system.close()
        assert await system.locker() is not None

    run(check())


async def fail_the_log(store: FaultyStore, system: System) -> None:
    """Let the log fail under an event that is not acknowledged, after those that are."""
    store.shut_gate()
    with store.failing_flushes():
        lost = system.post(registered("lost"))
        await store.flush_waits()
    store.open_gate()
    await asyncio.gather(lost, return_exceptions=True)
    assert store.log.failure


def test_the_acknowledged_position_is_noted_as_soon_as_the_log_has_failed(
    log_path: Path, store: FaultyStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other_folder = tmp_path_factory.mktemp("copy")

    async def check() -> None:
        # given two acknowledged events that no checkpoint has written
        store.checkpoint_errors += [StoreUnavailable("The projection is locked.")] * 1_000
        system = System(store)
        assert await system.post(registered("a"), registered("b")) == [Accepted(1), Accepted(2)]
        # when the log fails with a third one
        await fail_the_log(store, system)
        await system.engine.checkpointer.wait_idle()
        # then the projection knows of two acknowledged events, although it has applied none
        progress = progress_of(log_path)
        assert (progress.acknowledged, progress.reached.position) == (2, 0)

    run(check())
    # and a start with the files as they are now would be refused, if the log had lost its end
    for name, content in files_beside(log_path).items():
        (other_folder / name).write_bytes(content)
    copy = other_folder / log_path.name
    copy.write_bytes(copy.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(LogFileDamaged, match="has seen 2 acknowledged events, and the log holds only 1"):
        EmbeddedStore(copy, CAPACITY)


def test_no_checkpoint_is_tried_in_vain_after_the_log_has_failed(store: FaultyStore) -> None:
    async def check() -> None:
        # given a failed log
        system = System(store)
        assert await system.post(registered()) == [Accepted(1)]
        await fail_the_log(store, system)
        await system.engine.checkpointer.wait_idle()
        checkpoints = store.checkpoints
        # when an event is refused, and no other comes
        with pytest.raises(StoreUnavailable):
            await system.post(registered("late"))
        await asyncio.sleep(5 * checkpointer.QUIET_SECONDS)
        # then no checkpoint was tried
        assert store.checkpoints == checkpoints
        await system.close()

    run(check())


def test_the_acknowledged_position_is_noted_once_whatever_comes_later(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "CHECKPOINT_ROWS", 0)

    async def check() -> None:
        # given a failed log, with changed rows that are worth a checkpoint
        system = System(store)
        await fail_the_log(store, system)
        await wait_for(lambda: store.notes)
        # when further checkpoints are tried, because further events come
        before = store.checkpoints
        while store.checkpoints < before + 2:
            with pytest.raises(StoreUnavailable):
                await system.post(registered("late"))
        await system.engine.checkpointer.wait_idle()
        # then nothing was noted again
        assert store.notes == 1
        await system.close()

    run(check())


def test_a_note_that_cannot_be_written_harms_nothing_and_is_written_at_the_close(log_path: Path) -> None:
    async def check(store: FaultyStore) -> None:
        system = System(store)
        with locked_projection(log_path):
            assert await system.post(registered()) == [Accepted(1)]
            await fail_the_log(store, system)
            await wait_for(lambda: store.notes)
            assert await system.compartments() == 1
            await system.close()
        assert progress_of(log_path).acknowledged == 0

    with closing(FaultyStore(Settings())) as store:
        run(check(store))
    assert acknowledged(projection_path(log_path)) == 1


def test_a_log_that_fails_during_a_checkpoint_is_noted_after_it(log_path: Path, store: FaultyStore) -> None:
    async def check() -> None:
        # given a checkpoint of one event that does not end
        system = System(store)
        store.shut_checkpoint_gate()
        assert await system.post(registered("a")) == [Accepted(1)]
        await store.checkpoint_waits()
        # when a second event is acknowledged, and the log fails with a third one
        assert await system.post(registered("b")) == [Accepted(2)]
        await fail_the_log(store, system)
        store.open_checkpoint_gate()
        await system.engine.checkpointer.wait_idle()
        # then the second one is noted, too
        assert progress_of(log_path).acknowledged == 2
        assert store.notes == 1
        await system.close()

    run(check())


def test_an_internal_error_in_the_note_is_logged_and_stops_neither_reads_nor_the_close(
    store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.note_errors += [ZeroDivisionError()]

    async def check() -> None:
        system = System(store)
        assert await system.post(registered()) == [Accepted(1)]
        await fail_the_log(store, system)
        assert await system.compartments() == 1
        await system.close()

    run(check())
    assert "ZeroDivisionError" in caplog.text

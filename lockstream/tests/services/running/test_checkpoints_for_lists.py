"""Lists wait for a checkpoint: all that wait at the same time share one, and none waits without need."""

import asyncio
from pathlib import Path

import pytest

from lockstream.core.entities.subjects import CompartmentSubject, LockerSubject, ReservationSubject, Subject
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.history import EventFilter, recorded_events
from lockstream.services.running import checkpointer
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import LOCKER, deposited, registered, reserved
from lockstream.tests.support.coroutines import let_others_run, run
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS, FaultyStore, progress_of

pytestmark = pytest.mark.usefixtures("short_waits")


def test_lists_that_wait_at_the_same_time_share_one_checkpoint(store: FaultyStore, log_path: Path) -> None:
    async def check() -> None:
        # given two acknowledged events, and a checkpoint in flight that contains only the first
        system = System(store)
        store.shut_checkpoint_gate()
        await system.post(registered("a"))
        await store.checkpoint_waits()
        await system.post(registered("b"))
        # when lists wait for both events
        waiting = [asyncio.create_task(system.engine.checkpointer.reached(2)) for _ in range(5)]
        await let_others_run()
        assert not [one for one in waiting if one.done()]
        before = store.checkpoints
        store.open_checkpoint_gate()
        # then one more checkpoint serves all of them, and a list that comes later waits for none
        await asyncio.gather(*waiting)
        assert store.checkpoints == before + 1
        assert progress_of(log_path).reached.position == 2
        await system.engine.checkpointer.reached(2)
        assert store.checkpoints == before + 1
        await system.close()

    run(check())


async def history(system: System, subject: Subject) -> tuple[list[int], int]:
    """Return the positions of the events of a subject, and the position of the list."""
    found, position = await system.engine.list(
        lambda listings: recorded_events(listings, subject, EventFilter(), None, 100), subject=subject
    )
    return [record.end.position for record in found.rows] if found else [], position


def test_a_list_of_one_subject_waits_only_if_that_subject_has_changed(store: FaultyStore) -> None:
    async def check() -> None:
        # given events of two lockers that are in the projection
        system = System(store)
        await system.post(registered("a", locker="changed"), registered("b"), reserved("kept", "b"))
        await system.engine.checkpointer.reached(3)
        # when an event of one locker is acknowledged, and no further checkpoint ends
        store.shut_checkpoint_gate()
        await system.post(registered("c", locker="changed"))
        waiting = [
            asyncio.create_task(history(system, subject))
            for subject in (LockerSubject("changed"), CompartmentSubject("changed", "a"))
        ]
        # then lists of the other one, and of its reservation, reflect that event at once
        assert await history(system, LockerSubject(LOCKER)) == ([2, 3], 4)
        assert await history(system, CompartmentSubject(LOCKER, "b")) == ([2, 3], 4)
        assert await history(system, ReservationSubject("kept")) == ([3], 4)
        assert await history(system, LockerSubject("unknown")) == ([], 4)
        # and those of the changed one wait, also while the checkpoint is being written
        await store.checkpoint_waits()
        waiting.append(asyncio.create_task(history(system, LockerSubject("changed"))))
        await let_others_run()
        assert not [one for one in waiting if one.done()]
        store.open_checkpoint_gate()
        assert await asyncio.gather(*waiting) == [([1, 4], 4), ([1], 4), ([1, 4], 4)]
        await system.close()

    run(check())


def test_a_list_of_a_reservation_waits_for_its_own_event(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        await system.post(registered("a"), reserved("parcel", "a"))
        await system.engine.checkpointer.reached(2)
        store.shut_checkpoint_gate()
        await system.post(deposited("parcel"))
        waiting = asyncio.create_task(history(system, ReservationSubject("parcel")))
        await store.checkpoint_waits()
        await let_others_run()
        assert not waiting.done()
        store.open_checkpoint_gate()
        assert await waiting == ([2, 3], 3)
        await system.close()

    run(check())


def test_no_list_waits_for_a_move_of_pages_that_follows_its_checkpoint(store: FaultyStore, log_path: Path) -> None:
    async def check() -> None:
        # given a store whose pages are moved after each checkpoint, and a move that does not end
        system = System(store)
        store.shut_move_gate()
        await system.post(registered("a"))
        # when a list needs that checkpoint, then it is served although the move goes on
        await asyncio.wait_for(system.engine.checkpointer.reached(1), TIMEOUT_SECONDS)
        await store.move_waits()
        # and an event is accepted; a list of it waits for the move, and for the next checkpoint
        assert await system.post(registered("b")) == [Accepted(2)]
        waiting = asyncio.create_task(system.engine.checkpointer.reached(2))
        await let_others_run()
        assert not waiting.done()
        store.open_move_gate()
        await waiting
        assert progress_of(log_path).reached.position == 2
        await system.close()

    run(check())


def test_lists_go_on_after_an_internal_error_of_a_move(store: FaultyStore, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("move")

    async def check() -> None:
        system = System(store)
        store.needs_moves = True
        store.move_pages = fail  # type: ignore[method-assign]
        for number in (1, 2):
            await system.post(registered(str(number)))
            await asyncio.wait_for(system.engine.checkpointer.reached(number), TIMEOUT_SECONDS)
        await system.close()

    run(check())
    assert {record.event_name for record in caplog.records if record.levelname == "ERROR"} == {"pages_not_moved"}  # type: ignore[attr-defined]


def test_a_list_that_is_cancelled_does_not_end_the_checkpoint(store: FaultyStore, log_path: Path) -> None:
    async def check() -> None:
        system = System(store)
        store.shut_checkpoint_gate()
        await system.post(registered("a"))
        cancelled, waiting = (asyncio.create_task(system.engine.checkpointer.reached(1)) for _ in range(2))
        await store.checkpoint_waits()
        cancelled.cancel()
        store.open_checkpoint_gate()
        await waiting
        assert progress_of(log_path).reached.position == 1
        await system.close()

    run(check())


def test_lists_fail_at_once_while_no_checkpoint_can_be_written(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        # given an acknowledged event that a checkpoint could not write
        system = System(store)
        store.checkpoint_errors.append(StoreUnavailable("The projection is locked."))
        await system.post(registered("a"))
        with pytest.raises(StoreUnavailable, match="is locked"):
            await system.engine.checkpointer.reached(1)
        tried = store.checkpoints
        # when more lists come before the next attempt is due, then they try nothing
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="is locked"):
                await system.engine.checkpointer.reached(1)
        assert store.checkpoints == tried
        # when it is due, then the next list tries again
        system.engine.checkpointer._retry_at = 0.0
        await system.engine.checkpointer.reached(1)
        assert store.checkpoints == tried + 1
        await system.close()

    monkeypatch.setattr(checkpointer, "RETRY_SECONDS", 3600)
    run(check())


def test_a_list_waits_for_one_checkpoint_although_more_follow_at_once(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        system = System(store)
        with monkeypatch.context() as under_load:
            under_load.setattr(FaultyStore, "needs_checkpoint", True)
            assert await system.post(registered("a")) == [Accepted(1)]
            await system.engine.checkpointer.reached(1)
            assert system.engine.checkpointer._task is not None
        await system.close()

    run(check())

"""The sweep of a running system: at most one a minute, shared by all who ask, and for callers with few lockers."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from lockstream.core.entities.access import Caller, Lockers
from lockstream.core.entities.listings import LockerQuery
from lockstream.core.entities.log import SECOND, present_time, recorded_at_of
from lockstream.core.entities.silence import NO_SILENCE, Silence, SilenceLimits
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings, ReadResult
from lockstream.core.use_cases.silent_lockers import SilentLockers
from lockstream.infrastructure.stores import unit_of_work
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.silence import sweep as sweep_module
from lockstream.services.running.silence.sweep import OUTDATED_SECONDS, SWEEP_SECONDS, SilenceSweep
from lockstream.tests.support.builders import event, fault_reported, registered
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.memory_system import open_in_memory

HOUR = 3600 * SECOND


def run_async[**ArgumentsT](test: Callable[ArgumentsT, Coroutine[Any, Any, None]]) -> Callable[ArgumentsT, None]:
    """Run a test on an event loop."""

    @wraps(test)
    def run_test(*args: ArgumentsT.args, **kwargs: ArgumentsT.kwargs) -> None:
        run(test(*args, **kwargs))

    return run_test


class Lists:
    """Lists of an empty network, which count how often they are read."""

    def __init__(self) -> None:
        self.reads = 0
        self.failure: StoreUnavailable | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._store = MemoryStore()

    async def __call__(self, query: Callable[[Listings], Silence]) -> ReadResult[Silence]:
        self.reads += 1
        await asyncio.sleep(0)
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return self._store.list(query)


class Clock:
    now = 10**15

    def __call__(self) -> int:
        return self.now


@run_async
async def test_all_who_ask_within_a_minute_share_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, clock = Lists(), Clock()
    monkeypatch.setattr(sweep_module, "present_time", clock)
    sweep = SilenceSweep(lists, SilenceLimits())
    assert set(await asyncio.gather(*(sweep.silence() for _ in range(5)))) == {NO_SILENCE}
    clock.now += SWEEP_SECONDS * SECOND - 1
    await sweep.silence()
    assert lists.reads == 1
    clock.now += 1
    await sweep.silence()
    assert lists.reads == 2


@run_async
async def test_a_clock_that_is_set_back_causes_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, clock = Lists(), Clock()
    monkeypatch.setattr(sweep_module, "present_time", clock)
    sweep = SilenceSweep(lists, SilenceLimits())
    await sweep.silence()
    clock.now -= 1
    await sweep.silence()
    assert lists.reads == 2


@run_async
async def test_a_sweep_that_fails_is_tried_again() -> None:
    lists = Lists()
    sweep = SilenceSweep(lists, SilenceLimits())
    lists.failure = StoreUnavailable("The projection cannot be read.")
    with pytest.raises(StoreUnavailable):
        await sweep.silence()
    lists.failure = None
    assert await sweep.silence() == NO_SILENCE


@run_async
async def test_a_sweep_whose_caller_leaves_is_made_for_the_next_one() -> None:
    lists = Lists()
    sweep = SilenceSweep(lists, SilenceLimits())
    leaving = asyncio.create_task(sweep.silence())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await sweep.silence() == NO_SILENCE
    assert leaving.cancelled()


@run_async
async def test_the_last_measure_is_served_while_one_sweep_renews_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, clock = Lists(), Clock()
    monkeypatch.setattr(sweep_module, "present_time", clock)
    sweep = SilenceSweep(lists, SilenceLimits())
    # given a measure that is too old to be asked for, and lists that answer no more
    await sweep.last_silence()
    clock.now += SWEEP_SECONDS * SECOND
    lists.gate.clear()
    # when it is read, then nobody waits, and one sweep is begun
    assert [await sweep.last_silence() for _ in range(3)] == [NO_SILENCE] * 3
    waiting = asyncio.create_task(sweep.silence())
    await asyncio.sleep(0)
    assert (lists.reads, waiting.done()) == (2, False)
    lists.gate.set()
    await waiting
    assert lists.reads == 2
    # and one that is outdated is served to nobody
    clock.now += OUTDATED_SECONDS * SECOND
    await sweep.last_silence()
    assert lists.reads == 3


@run_async
async def test_a_renewal_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, clock = Lists(), Clock()
    monkeypatch.setattr(sweep_module, "present_time", clock)
    sweep = SilenceSweep(lists, SilenceLimits())
    await sweep.silence()
    clock.now += SWEEP_SECONDS * SECOND
    lists.failure = StoreUnavailable("The projection cannot be read.")
    for reads in (2, 3):
        assert await sweep.last_silence() == NO_SILENCE
        await asyncio.sleep(0.01)
        assert lists.reads == reads
    with pytest.raises(StoreUnavailable):
        await sweep.silence()


async def ingest_at(
    lockstream: Lockstream, monkeypatch: pytest.MonkeyPatch, hours_ago: float, *bodies: dict[str, Any]
) -> None:
    recorded_at = recorded_at_of(present_time() - int(hours_ago * HOUR))
    monkeypatch.setattr(unit_of_work, "utc_now", lambda: recorded_at)
    await lockstream.ingest([event(body) for body in bodies])


LOCKERS = ["lost", "found", *(f"other-{number}" for number in range(4))]


async def lose_two_lockers(lockstream: Lockstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two lockers be heard of three hours ago for the last time, and the others half an hour ago."""
    await ingest_at(lockstream, monkeypatch, 50, *(registered(locker=locker) for locker in LOCKERS))
    rounds = [fault_reported(1, locker=locker) for _ in range(60) for locker in LOCKERS]
    await ingest_at(lockstream, monkeypatch, 3, *rounds)
    others = [fault_reported(1, locker=locker) for _ in range(60) for locker in LOCKERS[2:]]
    await ingest_at(lockstream, monkeypatch, 0.5, *others)


@run_async
async def test_silent_lockers_are_counted_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lockstream = open_in_memory()
    try:
        await lose_two_lockers(lockstream, monkeypatch)
        found = await lockstream.silent_lockers(1)
        assert (found.silent, found.gone, [one.locker_id for one in found.first]) == (2, 0, ["found"])
        # when one of them is heard of again, it counts at once
        await ingest_at(lockstream, monkeypatch, 0, fault_reported(1, locker="found"))
        found = await lockstream.silent_lockers(9)
        assert (found.silent, [one.locker_id for one in found.first]) == (1, ["lost"])
    finally:
        await lockstream.close()


@run_async
async def test_a_bound_caller_counts_its_own_lockers_by_the_measure_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lockstream = open_in_memory()
    try:
        await lose_two_lockers(lockstream, monkeypatch)
        own = lockstream.view(Caller(lockers=Lockers.of(["lost", "other-1"])))
        found = await own.silent_lockers(9)
        assert (found.silent, [one.locker_id for one in found.first]) == (1, ["lost"])
        silence = await own.silence()
        assert silence == await lockstream.silence()
        query = LockerQuery(silent=True, silence=silence)
        rows = (await own.list(lambda lists: lists.lockers(query, None, 9))).value
        assert [row.locker_id for row in rows] == ["lost"]
        nobody = lockstream.view(Caller(lockers=Lockers.of(["unknown"])))
        assert await nobody.silent_lockers(9) == SilentLockers(0, 0, [])
    finally:
        await lockstream.close()

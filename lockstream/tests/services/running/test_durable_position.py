"""Waiters for the durable position are called when a flush has made their position durable, or cannot any more."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import StoreUnavailable
from lockstream.services.running.durable_position import DurablePosition
from lockstream.tests.support.coroutines import let_others_run, run

FAILURE = "The disk does not work."


class ManualLog:
    """A log without content, whose flushes end when the test says so."""

    unavailable_reason: str | None = None

    def __init__(self) -> None:
        self.end = self.durable = START
        self.failure: str | None = None
        self.flushes: list[int] = []
        """Position that each flush covers."""

        self._running: list[tuple[Cursor, Callable[[], object]]] = []

    def append(self, count: int = 1) -> int:
        """Append events, and return the position of the last one."""
        self.end = Cursor(self.end.position + count)
        return self.end.position

    def flush(self) -> None:
        self.durable = self.end

    def begin_flush(self, on_flushed: Callable[[], object]) -> None:
        assert not self._running, "one flush runs at a time"
        self.flushes.append(self.end.position)
        self._running.append((self.end, on_flushed))

    def end_flush(self) -> None:
        """End the flush that is running."""
        end, on_flushed = self._running.pop()
        if not self.failure:
            self.durable = end
        on_flushed()

    def read(self, after: Cursor) -> Iterator[Record]:
        raise NotImplementedError


class Waiters:
    """Waiters that note in which order they were called, and with which failure."""

    def __init__(self, durable: DurablePosition) -> None:
        self.called: list[tuple[str, str | None]] = []
        self._durable = durable

    def add(self, name: str, position: int) -> None:
        self._durable.when_reached(position, lambda failure: self.called.append((name, failure)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.called]


@pytest.fixture
def log() -> ManualLog:
    return ManualLog()


@pytest.fixture
def durable(log: ManualLog) -> DurablePosition:
    return DurablePosition(log)


@pytest.fixture
def waiters(durable: DurablePosition) -> Waiters:
    return Waiters(durable)


def test_a_waiter_for_a_durable_position_is_called_at_once(log: ManualLog, waiters: Waiters) -> None:
    log.append(3)
    log.flush()
    waiters.add("nothing", 0)
    waiters.add("before the end", 2)
    waiters.add("the end", 3)
    assert waiters.called == [("nothing", None), ("before the end", None), ("the end", None)]
    assert log.flushes == []


def test_waiters_are_called_by_position_whatever_the_order_in_which_they_came(
    log: ManualLog, durable: DurablePosition, waiters: Waiters
) -> None:
    # given waiters for positions 3, 1 and 2, and a flush that covers only the first two events
    log.append(2)
    waiters.add("second", 2)
    log.append()
    waiters.add("third", 3)
    waiters.add("first", 1)
    assert waiters.called == []
    # when the flush ends
    log.end_flush()
    # then the first two are called
    assert waiters.called == [("first", None), ("second", None)]
    assert durable.current == 2
    # and the third one after the next flush
    log.end_flush()
    assert waiters.called[2:] == [("third", None)]
    assert durable.current == 3


def test_waiters_for_one_position_are_called_in_the_order_in_which_they_came(log: ManualLog, waiters: Waiters) -> None:
    log.append()
    names = [f"waiter {number}" for number in range(10)]
    for name in names:
        waiters.add(name, 1)
    log.end_flush()
    assert waiters.names == names


def test_one_flush_runs_at_a_time_and_the_next_one_covers_all_that_came_meanwhile(
    log: ManualLog, waiters: Waiters
) -> None:
    waiters.add("1", log.append())
    for name in ("2", "3", "4"):
        waiters.add(name, log.append())
    assert log.flushes == [1]
    log.end_flush()
    assert log.flushes == [1, 4]
    assert waiters.names == ["1"]
    log.end_flush()
    assert waiters.names == ["1", "2", "3", "4"]


def test_nothing_is_flushed_if_nobody_waits(log: ManualLog, waiters: Waiters) -> None:
    waiters.add("1", log.append())
    log.append()
    log.end_flush()
    assert waiters.names == ["1"]
    assert log.flushes == [1]


def test_a_waiter_may_add_another_waiter(log: ManualLog, durable: DurablePosition, waiters: Waiters) -> None:
    durable.when_reached(log.append(), lambda _: waiters.add("inner", log.append()))
    waiters.add("outer", 1)
    log.end_flush()
    assert waiters.names == ["outer"]
    assert log.flushes == [1, 2]
    log.end_flush()
    assert waiters.names == ["outer", "inner"]


def test_a_failed_flush_fails_every_waiter_of_a_position_that_is_not_durable(log: ManualLog, waiters: Waiters) -> None:
    # given a durable event, an event that is being flushed, and two batches that came meanwhile
    log.append()
    log.flush()
    waiters.add("flushing", log.append())
    waiters.add("waiting", log.append())
    waiters.add("waiting too", log.append())
    # when the flush fails
    log.failure = FAILURE
    log.end_flush()
    # then all of them fail, and nothing is flushed again
    assert waiters.called == [("flushing", FAILURE), ("waiting", FAILURE), ("waiting too", FAILURE)]
    assert log.flushes == [2]


def test_a_failed_append_fails_waiters_although_a_flush_is_running(
    log: ManualLog, durable: DurablePosition, waiters: Waiters
) -> None:
    waiters.add("flushing", log.append())
    log.failure = FAILURE
    waiters.add("refused", log.end.position)
    assert waiters.called == [("flushing", FAILURE), ("refused", FAILURE)]
    log.end_flush()
    assert durable.current == 0
    assert log.flushes == [1]


def test_after_a_failure_waiters_are_called_at_once(log: ManualLog, waiters: Waiters) -> None:
    log.append()
    log.flush()
    log.append()
    log.failure = FAILURE
    waiters.add("not durable", 2)
    waiters.add("durable", 1)
    assert waiters.called == [("not durable", FAILURE), ("durable", None)]
    assert log.flushes == []


def test_on_failure_is_called_once_after_all_waiters(
    log: ManualLog, durable: DurablePosition, waiters: Waiters
) -> None:
    # given two waiters, and a flush that is running
    durable.on_failure = lambda: waiters.called.append(("on_failure", log.failure))
    waiters.add("a", log.append())
    waiters.add("b", log.append())
    # when the flush fails, and more waiters come
    log.failure = FAILURE
    log.end_flush()
    waiters.add("c", 2)
    waiters.add("d", 0)
    # then it was called between them
    assert waiters.names == ["a", "b", "on_failure", "c", "d"]


def test_on_failure_is_called_although_every_event_is_durable(log: ManualLog, durable: DurablePosition) -> None:
    """A log that was moved away has failed when the next event comes, and that event was not appended."""
    failures: list[str | None] = []
    durable.on_failure = lambda: failures.append(log.failure)
    log.append()
    log.flush()
    log.failure = FAILURE
    durable.when_reached(1, lambda _: None)
    assert failures == [FAILURE]


def test_reached_returns_once_the_position_is_durable(log: ManualLog, durable: DurablePosition) -> None:
    async def check() -> None:
        await durable.reached(0)
        waiting = asyncio.create_task(durable.reached(log.append()))
        await let_others_run()
        assert not waiting.done()
        log.end_flush()
        await waiting
        await durable.reached(1)
        assert log.flushes == [1]

    run(check())


def test_reached_raises_the_failure_of_the_log(log: ManualLog, durable: DurablePosition) -> None:
    async def check() -> None:
        waiting = asyncio.create_task(durable.reached(log.append()))
        await let_others_run()
        log.failure = FAILURE
        log.end_flush()
        with pytest.raises(StoreUnavailable, match=FAILURE):
            await waiting
        with pytest.raises(StoreUnavailable, match=FAILURE):
            await durable.reached(1)
        await durable.reached(0)

    run(check())


@pytest.mark.parametrize("failure", [None, FAILURE])
def test_a_cancelled_waiter_disturbs_no_other_waiter(
    log: ManualLog, durable: DurablePosition, failure: str | None
) -> None:
    async def check() -> None:
        # given three waiters, of which one is cancelled
        end = log.append()
        first, cancelled, last = (asyncio.create_task(durable.reached(end)) for _ in range(3))
        await let_others_run()
        cancelled.cancel()
        # when the flush ends
        log.failure = failure
        log.end_flush()
        # then the other two have the result
        results = await asyncio.gather(first, last, return_exceptions=True)
        assert [str(result) for result in results] == [str(failure)] * 2
        assert cancelled.cancelled()

    run(check())


def test_a_flush_goes_on_although_its_only_waiter_is_cancelled(log: ManualLog, durable: DurablePosition) -> None:
    async def check() -> None:
        cancelled = asyncio.create_task(durable.reached(log.append()))
        await let_others_run()
        cancelled.cancel()
        await let_others_run()
        log.end_flush()
        assert durable.current == 1

    run(check())

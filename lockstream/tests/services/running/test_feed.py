"""The feed: pages without a gap, waiting for events, and cursors of another log."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from lockstream.core.entities.feed import EMPTY_LOG_ID, FeedFilter, LogPage, Partition
from lockstream.core.entities.log import START
from lockstream.core.errors import CursorRefused, PositionNotReached, StoreUnavailable
from lockstream.core.ports import LogPages
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.services.running import feed as feed_module
from lockstream.services.running.feed import MAX_BYTES, Feed
from lockstream.services.running.head_watch import HeadWatch
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import RECORDED_AT, Body, event, registered, reserved
from lockstream.tests.support.coroutines import let_others_run, run
from lockstream.tests.support.faulty_store import FaultyStore

ALL = FeedFilter()
LOG_ID = "ab" * 16
LONG_SECONDS = 30


class ScriptedEngine:
    """An engine over lines in a list."""

    def __init__(
        self, lines: Sequence[bytes], newest: int | None = None, damaged: int | None = None, log_id: str = LOG_ID
    ) -> None:
        """`newest` is the position of the primary, if reads lag behind. The line at `damaged` cannot be read."""
        self.lines, self.newest, self.damaged, self.log_id = list(lines), newest, damaged, log_id
        self.pages = 0
        self.watch = HeadWatch(lambda: len(self.lines))

    def page(self, after: int, count: int) -> LogPage:
        self.pages += 1
        if self.damaged is not None and after == self.damaged - 1:
            raise StoreUnavailable("The log was altered.")
        last = after + count if self.damaged is None else min(after + count, self.damaged - 1)
        return LogPage(self.lines[after:last], len(self.lines), self.log_id)

    async def read_log[ValueT](self, query: Callable[[LogPages], ValueT]) -> ValueT:
        return query(self)

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        return await self.watch.wait_beyond(position, seconds)

    async def newest_position(self) -> int:
        return len(self.lines) if self.newest is None else self.newest

    @property
    def is_stopping(self) -> bool:
        return self.watch.is_stopped

    def append(self, *lines: bytes) -> None:
        self.lines += lines
        self.watch.notify()


def lines_of(*bodies: Body) -> list[bytes]:
    return encode_lines([event(body) for body in bodies], RECORDED_AT, START)[0]


REGISTRATIONS = lines_of(*(registered(str(number), locker=f"locker-{number % 7}") for number in range(4_000)))


def test_a_page_without_filters_has_each_event_after_the_cursor() -> None:
    async def check() -> None:
        feed, after, found = Feed(ScriptedEngine(REGISTRATIONS)), 0, list[bytes]()
        while True:
            page = await feed.page(ALL, after, 1_500)
            assert page.head == 4_000
            assert page.through == after + len(page.items)
            if not page.items:
                break
            found, after = found + page.items, page.through
        assert found == REGISTRATIONS

    run(check())


@pytest.mark.parametrize("limit", [1, 10, 10_000])
def test_partitions_have_each_event_once_and_in_order(limit: int) -> None:
    async def check() -> None:
        found = list[bytes]()
        for number in range(3):
            feed, after = Feed(ScriptedEngine(REGISTRATIONS[:500])), 0
            part = list[bytes]()
            while after < 500:
                page = await feed.page(FeedFilter(partition=Partition(number, 3)), after, limit)
                assert len(page.items) <= limit
                part, after = part + page.items, page.through
            assert part == sorted(part, key=REGISTRATIONS.index)
            found += part
        assert sorted(found) == sorted(REGISTRATIONS[:500])

    run(check())


def test_a_page_of_few_events_tells_how_far_the_log_was_searched() -> None:
    async def check() -> None:
        feed = Feed(ScriptedEngine(REGISTRATIONS))
        page = await feed.page(FeedFilter(locker_id="unknown"), 0, 10)
        assert (page.items, page.through, page.head) == ([], 4_000, 4_000)
        page = await feed.page(FeedFilter(locker_id="locker-3"), 0, 2)
        assert page.items == [REGISTRATIONS[3], REGISTRATIONS[10]]
        assert page.through == 11

    run(check())


def test_one_page_searches_a_bounded_part_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS)
        feed, nothing = Feed(engine), FeedFilter(locker_id="unknown")
        # when a page is asked for that nothing matches, although the reader would wait
        page = await feed.page(nothing, 100, 10, LONG_SECONDS)
        # then it ends at the bound, and the next one goes on there
        assert (page.items, page.through, engine.pages) == ([], 2_600, 4)  # the first of these pages finds the head
        page = await feed.page(nothing, 2_600, 10)
        assert page.through == 4_000

    monkeypatch.setattr(feed_module, "SEARCHED_POSITIONS", 2_500)
    run(check())


def test_a_page_ends_once_it_has_many_bytes() -> None:
    async def check() -> None:
        lines = lines_of(*(registered(str(number), note="x" * 60_000) for number in range(200)))
        feed, after, found = Feed(ScriptedEngine(lines)), 0, list[bytes]()
        while after < len(lines):
            page = await feed.page(ALL, after, 10_000)
            assert MAX_BYTES <= sum(map(len, page.items)) < MAX_BYTES + 61_000 or page.through == len(lines)
            found, after = found + page.items, page.through
        assert found == lines

    run(check())


def test_events_before_a_damaged_line_are_shown_and_then_the_error() -> None:
    async def check() -> None:
        feed = Feed(ScriptedEngine(REGISTRATIONS, damaged=1_501))
        page = await feed.page(ALL, 0, 10_000)
        assert page.items == REGISTRATIONS[:1_500]
        with pytest.raises(StoreUnavailable, match="was altered"):
            await feed.page(ALL, page.through, 10_000)

    run(check())


def test_a_waiting_reader_gets_the_next_event_it_wants(store: FaultyStore) -> None:
    async def check() -> None:
        # given a reader at the head that wants one type
        system = System(store)
        feed = Feed(system.engine)
        await system.post(registered("a"))
        waiting = asyncio.create_task(feed.page(FeedFilter("ReservationCreated"), None, 10, LONG_SECONDS))
        everything = asyncio.create_task(feed.page(ALL, None, 10, LONG_SECONDS))
        await let_others_run()
        # when another event becomes durable, then only the reader of all events gets it
        await system.post(registered("b"))
        page = await everything
        assert ([b'"b"' in line for line in page.items], page.through) == ([True], 2)
        await let_others_run()
        assert not waiting.done()
        # when an event of the type becomes durable, then its reader gets it
        await system.post(reserved("parcel", "a"))
        page = await waiting
        assert ([b'"parcel"' in line for line in page.items], page.through) == ([True], 3)
        await system.close()

    run(check())


def test_an_event_is_shown_only_once_it_is_durable(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        feed = Feed(system.engine)
        store.shut_gate()
        waiting = asyncio.create_task(feed.page(ALL, 0, 10, LONG_SECONDS))
        posted = system.post(registered())
        await store.flush_waits()
        assert (await feed.page(ALL, 0, 10)).head == 0
        assert not waiting.done()
        store.open_gate()
        await posted
        assert (await waiting).through == 1
        await system.close()

    run(check())


def test_waiting_causes_no_flush(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        page = await Feed(system.engine).page(ALL, 0, 10, 0.05)
        assert (page.items, page.through, store.flushes) == ([], 0, [])
        await system.close()

    run(check())


def test_waiting_ends_when_the_time_is_over_with_how_far_the_log_was_searched() -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        waiting = asyncio.create_task(Feed(engine).page(FeedFilter(locker_id="unknown"), 10, 5, 0.1))
        await let_others_run()
        engine.append(*REGISTRATIONS[10:15])
        page = await waiting
        assert (page.items, page.through, page.head) == ([], 15, 15)

    run(check())


def test_readers_stop_waiting_when_the_server_stops() -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        feed = Feed(engine)
        waiting = [asyncio.create_task(feed.page(ALL, 10, 5, 3_600)) for _ in range(5)]
        await let_others_run()
        waiting.pop().cancel()
        await let_others_run()
        assert not any(one.done() for one in waiting)
        engine.watch.stop()
        assert {(await one).through for one in waiting} == {10}
        assert (await feed.page(ALL, 10, 5, 3_600)).items == []

    run(check())


def test_a_reader_of_another_log_is_refused() -> None:
    async def check() -> None:
        feed = Feed(ScriptedEngine(REGISTRATIONS))
        assert (await feed.page(ALL, 7, 5, log_id=LOG_ID)).through == 12
        for after in (7, None, 9_000):
            with pytest.raises(CursorRefused, match=rf"the log {'c' * 32}, and this server has the log {LOG_ID}"):
                await feed.page(ALL, after, 5, log_id="c" * 32)
        with pytest.raises(CursorRefused) as refused:
            await feed.page(ALL, 1, 5, log_id="c" * 32)
        assert (refused.value.code, refused.value.log_id, refused.value.head) == ("other_log", LOG_ID, 4_000)
        # the id of an empty log names none
        for after in (0, 7):
            assert (await feed.page(ALL, after, 5, log_id=EMPTY_LOG_ID)).through == after + 5

    run(check())


def test_a_reader_beyond_the_head_is_refused_and_does_not_wait() -> None:
    async def check() -> None:
        feed = Feed(ScriptedEngine(REGISTRATIONS[:10]))
        assert (await feed.page(ALL, 10, 5)).items == []
        with pytest.raises(CursorRefused, match=r"after position 11, and the log .* ends at position 10") as refused:
            await feed.page(ALL, 11, 5, 3_600)
        assert (refused.value.code, refused.value.head) == ("cursor_beyond_head", 10)

    run(check())


def test_a_reader_ahead_of_a_read_replica_is_asked_to_come_again() -> None:
    async def check() -> None:
        feed = Feed(ScriptedEngine(REGISTRATIONS[:10], newest=20))
        with pytest.raises(PositionNotReached):
            await feed.page(ALL, 15, 5)
        with pytest.raises(CursorRefused):
            await feed.page(ALL, 21, 5)

    run(check())


def test_a_reader_of_a_log_whose_replica_is_still_empty_is_asked_to_come_again() -> None:
    async def check() -> None:
        engine = ScriptedEngine([], newest=3, log_id=EMPTY_LOG_ID)
        with pytest.raises(PositionNotReached):
            await Feed(engine).page(ALL, 0, 5, log_id=LOG_ID)

    run(check())


def test_a_request_that_does_not_wait_ends_although_the_head_moves_on() -> None:
    async def check() -> None:
        # given a log that grows with each page, and a reader that nothing matches
        engine = ScriptedEngine(REGISTRATIONS[:10])
        read_log = engine.read_log

        async def growing[ValueT](query: Callable[[LogPages], ValueT]) -> ValueT:
            value = await read_log(query)
            engine.append(REGISTRATIONS[len(engine.lines)])
            return value

        engine.read_log = growing  # type: ignore[method-assign]
        page = await Feed(engine).page(FeedFilter(locker_id="unknown"), 0, 5)
        assert (page.items, page.through) == ([], 11)

    run(check())


def test_a_stopped_watch_lets_nobody_wait_whatever_the_head_is() -> None:
    async def check() -> None:
        watch = HeadWatch(lambda: 5)
        assert await watch.wait_beyond(4, 3_600)
        watch.stop()
        assert not await watch.wait_beyond(4, 3_600)
        assert not await watch.wait_beyond(5, 3_600)

    run(check())


def test_a_log_that_lacks_records_is_unavailable() -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        engine.page = lambda after, count: LogPage([], 10, LOG_ID)  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable, match=r"no record at position 4\. Run `lockstream verify`"):
            await Feed(engine).page(ALL, 3, 5)

    run(check())

"""Streams of the feed: every event once and in order, pages that streams share, and their end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import pairwise

import pytest

from lockstream.core.entities.feed import FeedFilter, FeedPage
from lockstream.core.errors import CursorRefused, StoreUnavailable, TooManyStreams
from lockstream.core.ports import LogPages
from lockstream.services.running import feed_streams
from lockstream.services.running.feed import Feed
from lockstream.services.running.feed_streams import PAGE_EVENTS, FeedStream, FeedStreams
from lockstream.tests.services.running.test_feed import ALL, REGISTRATIONS, ScriptedEngine
from lockstream.tests.support.coroutines import let_others_run, run, wait_for

NOTHING = FeedFilter(locker_id="unknown")


def encode(page: FeedPage) -> bytes:
    return b"".join(page.items) + b"through %d" % page.through


class Reader:
    """A task that reads a stream to its end."""

    def __init__(self, stream: FeedStream) -> None:
        self.parts: list[bytes] = []
        self._stream = stream
        self.task = asyncio.create_task(self._read(stream.parts()))

    @property
    def lines(self) -> list[bytes]:
        """The lines of all parts so far."""
        return [line for part in self.parts for line in part.splitlines(keepends=True) if not _is_cursor(line)]

    @property
    def through(self) -> int:
        return int(self.parts[-1].rpartition(b"through ")[2])

    async def _read(self, parts: AsyncGenerator[bytes]) -> None:
        try:
            async for part in parts:
                self.parts.append(part)
        finally:
            self._stream.close()


def _is_cursor(line: bytes) -> bool:
    return line.startswith(b"through ")


def streams_of(engine: ScriptedEngine, limit: int = 100) -> FeedStreams:
    return FeedStreams(engine, Feed(engine), limit)


async def readers_that_wait(engine: ScriptedEngine, opened: Iterable[FeedStream]) -> list[Reader]:
    """Read streams that begin at the head, and return their readers once all of them wait for an event."""
    readers = [Reader(stream) for stream in opened]
    await wait_for(lambda: engine.watch.waiters)
    await let_others_run()
    return readers


async def wait_until_through(position: int, *readers: Reader) -> None:
    await wait_for(lambda: all(reader.parts and reader.through == position for reader in readers))


@pytest.fixture(autouse=True)
def no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no heartbeat come by itself."""
    monkeypatch.setattr(feed_streams, "HEARTBEAT_SECONDS", 1e6)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_streams, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(feed_streams, "PAUSE_SECONDS_A_STREAM", 0)


@pytest.mark.usefixtures("no_pause")
def test_a_stream_has_each_event_after_its_start_once_and_in_order() -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:1_200])
        streams = streams_of(engine)
        # given streams that begin at the start, in the middle and at the head
        readers = [Reader(await streams.open(ALL, after, None, encode)) for after in (0, 700, None)]
        await wait_until_through(1_200, readers[0])
        # when events are accepted in batches of any size
        for stop in (1_201, 1_205, 1_900, 2_000):
            engine.append(*REGISTRATIONS[len(engine.lines) : stop])
            await wait_until_through(stop, *readers)
        # then each stream has had all of them
        for reader, after in zip(readers, (0, 700, 1_200), strict=True):
            assert reader.lines == REGISTRATIONS[after:2_000]
            assert max(part.count(b"\n") for part in reader.parts) <= PAGE_EVENTS
        engine.watch.stop()
        await asyncio.gather(*(one.task for one in readers))
        assert streams.count == 0

    run(check())


def test_streams_at_the_head_share_each_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        streams = streams_of(engine)
        encoded: list[int] = []

        def counting(page: FeedPage) -> bytes:
            encoded.append(page.through)
            return encode(page)

        opened = [await streams.open(ALL, None, None, counting) for _ in range(50)]
        readers = await readers_that_wait(engine, opened)
        before = len(encoded)
        # when several events follow each other quickly
        for stop in (11, 12, 13):
            engine.append(REGISTRATIONS[stop - 1])
            await let_others_run()
        await wait_for(lambda: all(one.parts and one.through == 13 for one in readers))
        # then the streams have waited together, and the events were read and encoded once
        assert encoded[before:] == [13]
        assert all(one.lines == REGISTRATIONS[10:13] for one in readers)
        engine.watch.stop()
        await asyncio.gather(*(one.task for one in readers))

    monkeypatch.setattr(feed_streams, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(feed_streams, "WOKEN_STREAMS", 8)
    run(check())


@pytest.mark.usefixtures("no_pause")
def test_other_work_has_its_turn_while_many_streams_get_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        streams = streams_of(engine)
        opened = [await streams.open(ALL, None, None, encode) for _ in range(50)]
        readers = await readers_that_wait(engine, opened)
        # when an event comes in
        engine.append(REGISTRATIONS[10])
        served = [0]
        while served[-1] < 50:
            await asyncio.sleep(0)
            served.append(sum(bool(one.parts) for one in readers))
        # then the loop has turned after each few streams
        assert max(after - before for before, after in pairwise(served)) == 8
        engine.watch.stop()
        await asyncio.gather(*(one.task for one in readers))

    monkeypatch.setattr(feed_streams, "WOKEN_STREAMS", 8)
    run(check())


def test_a_stream_that_is_closed_ends_at_once_and_others_go_on() -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        streams = streams_of(engine)
        opened = [await streams.open(ALL, None, None, encode) for _ in range(2)]
        first, second = await readers_that_wait(engine, opened)
        # when the stream that waits longest is closed
        opened[0].close()
        await first.task
        # then the other one gets the next event
        engine.append(REGISTRATIONS[10])
        await wait_until_through(11, second)
        assert (first.parts, second.lines, streams.count) == ([], REGISTRATIONS[10:11], 1)
        engine.watch.stop()
        await second.task

    run(check())


@pytest.mark.usefixtures("no_pause")
def test_streams_that_share_a_wait_have_their_heartbeats_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each had its own, a stream could join the wait of another one, and be silent until that one's heartbeat."""

    async def check() -> None:
        # given streams that were opened one after the other, with events between that their filter does not match
        engine, readers = ScriptedEngine(REGISTRATIONS[:10]), list[Reader]()
        streams = streams_of(engine)
        for _ in range(5):
            readers.append(Reader(await streams.open(NOTHING, None, None, encode)))
            engine.append(REGISTRATIONS[len(engine.lines)])
            await asyncio.sleep(0.03)
        for _ in range(3):
            # when one of them has had its next heartbeat
            before = [len(one.parts) for one in readers]
            await wait_for(lambda: any(len(one.parts) > count for one, count in zip(readers, before, strict=True)))  # noqa: B023
            await let_others_run()
            # then all have had it
            assert len({len(one.parts) - count for one, count in zip(readers, before, strict=True)}) == 1
        engine.watch.stop()
        await asyncio.gather(*(one.task for one in readers))

    monkeypatch.setattr(feed_streams, "HEARTBEAT_SECONDS", 0.2)
    run(check())


def test_a_stream_that_ends_does_not_end_the_reading_of_others() -> None:
    async def check() -> None:
        engine, gate = ScriptedEngine(REGISTRATIONS[:10]), asyncio.Event()
        read_log = engine.read_log

        async def held(query: Callable[[LogPages], object]) -> object:
            await gate.wait()
            return await read_log(query)

        streams = streams_of(engine)
        opened = [await streams.open(ALL, 0, None, encode) for _ in range(2)]
        engine.read_log = held  # type: ignore[method-assign, assignment]
        first, second = map(Reader, opened)
        await let_others_run()
        first.task.cancel()
        await let_others_run()
        gate.set()
        await wait_for(lambda: second.parts)
        assert second.lines == REGISTRATIONS[:10]
        engine.watch.stop()
        await second.task

    run(check())


@pytest.mark.usefixtures("no_pause")
def test_a_stream_tells_how_far_it_has_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS)
        streams = streams_of(engine)
        # given a reader whose filter nothing matches: it is told its cursor after many positions
        reader = Reader(await streams.open(NOTHING, 0, None, encode))
        await wait_for(lambda: reader.parts and reader.through == 4_000)
        # and after a time at the head
        engine.append(*REGISTRATIONS[:10])
        await wait_for(lambda: reader.through == 4_010)
        assert reader.lines == []
        engine.watch.stop()
        await reader.task

    monkeypatch.setattr(feed_streams, "HEARTBEAT_POSITIONS", 3_000)
    monkeypatch.setattr(feed_streams, "HEARTBEAT_SECONDS", 0.05)
    run(check())


def test_no_more_streams_are_opened_than_may_be() -> None:
    async def check() -> None:
        streams = streams_of(ScriptedEngine(REGISTRATIONS[:10]), limit=2)
        first, _ = [await streams.open(ALL, 0, None, encode) for _ in range(2)]
        with pytest.raises(TooManyStreams, match=r"LOCKSTREAM_STREAM_LIMIT is reached \(2 open streams of the feed\)"):
            await streams.open(ALL, 0, None, encode)
        first.close()
        first.close()
        third = await streams.open(ALL, 0, None, encode)
        assert streams.count == 2
        third.close()
        # a stream that is refused takes no place
        for _ in range(3):
            with pytest.raises(CursorRefused):
                await streams.open(ALL, 11, None, encode)
        assert streams.count == 1

    run(check())


def test_a_key_may_have_as_many_streams_as_are_still_free() -> None:
    async def check() -> None:
        streams = streams_of(ScriptedEngine(REGISTRATIONS[:10]), limit=9)

        async def open_all(key_id: str) -> list[FeedStream]:
            opened = []
            with pytest.raises(TooManyStreams, match=r"share of .* of 9 open streams"):  # noqa: PT012
                while True:
                    opened.append(await streams.open(ALL, 0, None, encode, key_id))
            return opened

        # given a key that opens all that it may
        greedy = await open_all("greedy")
        assert len(greedy) == 5
        # then other keys, and callers without a key, find some
        assert len(await open_all("second")) == 2
        assert len(await open_all("third")) == 1
        await streams.open(ALL, 0, None, encode)
        with pytest.raises(TooManyStreams, match="is reached"):
            await streams.open(ALL, 0, None, encode, "fourth")
        # and a stream that is closed, or was refused, gives its place back
        for stream in greedy:
            stream.close()
        with pytest.raises(CursorRefused):
            await streams.open(ALL, 11, None, encode, "greedy")
        assert len(await open_all("greedy")) == 3

    run(check())


def test_an_unreadable_log_ends_a_stream_behind_the_last_event_before() -> None:
    async def check() -> None:
        streams = streams_of(ScriptedEngine(REGISTRATIONS, damaged=301))
        reader = Reader(await streams.open(ALL, 0, None, encode))
        with pytest.raises(StoreUnavailable):
            await reader.task
        assert reader.lines == REGISTRATIONS[:300]
        assert streams.count == 0

    run(check())


@pytest.mark.parametrize("newest", [None, 100])
def test_a_stream_ends_if_its_log_goes_back_but_not_if_a_replica_lags(
    newest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        # given a stream that has sent all of a log
        engine = ScriptedEngine(REGISTRATIONS[:100])
        reader = Reader(await streams_of(engine).open(ALL, 0, None, encode))
        await wait_until_through(100, reader)
        # when the log is restored to an earlier state, or a page is read from a replica that lags behind
        engine.newest = newest
        del engine.lines[50:]
        engine.watch.notify()
        if newest is None:
            # then the stream ends, so that the reader connects again and gets the reason
            await reader.task
        else:
            await asyncio.sleep(0.2)
            assert not reader.task.done()
            engine.watch.stop()
            await reader.task
        assert reader.lines == REGISTRATIONS[:100]

    monkeypatch.setattr(feed_streams, "HEARTBEAT_SECONDS", 0.05)
    run(check())


def test_a_stream_that_begins_on_an_empty_log_goes_on_with_the_first_event() -> None:
    async def check() -> None:
        engine = ScriptedEngine([])
        stream = await streams_of(engine).open(ALL, None, None, encode)
        reader = Reader(stream)
        engine.append(*REGISTRATIONS[:3])
        await wait_until_through(3, reader)
        assert (reader.lines, stream.start) == (REGISTRATIONS[:3], 0)
        engine.watch.stop()
        await reader.task

    run(check())


@pytest.mark.usefixtures("no_pause")
def test_a_page_that_nobody_waits_for_any_longer_is_not_read() -> None:
    async def check() -> None:
        engine = ScriptedEngine(REGISTRATIONS[:10])
        streams = streams_of(engine)
        encoded: list[int] = []

        def counting(page: FeedPage) -> bytes:
            encoded.append(page.through)
            return encode(page)

        opened = [await streams.open(ALL, None, None, counting) for _ in range(2)]
        readers = await readers_that_wait(engine, opened)
        before = len(encoded)
        # when all streams that wait at the head are closed, and another one is opened at once
        for stream in opened:
            stream.close()
        third = Reader(await streams.open(ALL, None, None, encode))
        await asyncio.gather(*(one.task for one in readers))
        await let_others_run()
        # then their wait has ended, and the other one waits by itself
        assert engine.watch.waiters == 1
        engine.append(REGISTRATIONS[10])
        await wait_until_through(11, third)
        assert (len(encoded), third.lines) == (before, REGISTRATIONS[10:11])
        engine.watch.stop()
        await third.task

    run(check())

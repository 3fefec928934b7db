"""Streams of the feed: each reads pages of the log at its own pace, and nothing is buffered for it.

Streams that have read equally far share their next page, which is read and encoded once: at the head, for a thousand
readers. There, they share the wait for the page, too. A key may have as many open streams as the server may still open
(dynamic thresholds, as in `ingest_queue`), so that no key takes all streams.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import NamedTuple

from lockstream.core.entities.feed import EMPTY_LOG_ID, FeedFilter, FeedPage
from lockstream.core.errors import TooManyStreams
from lockstream.core.ports import LogPages
from lockstream.services.running.feed import Feed, FeedEngine, search

PAGE_EVENTS = 500
"""Most events that a stream sends at once."""

PAGE_BYTES = 128 * 1024
"""Bytes of events after which a page of a stream ends. For a client that reads nothing, the server keeps two pages."""

HEARTBEAT_SECONDS = 5.0
"""Interval at which each stream tells how far it has read. It keeps proxies from closing the connection."""

HEARTBEAT_POSITIONS = 10_000
"""Number of positions without a match after which a stream tells how far it has read."""

PAUSE_SECONDS = 0.05
"""Time that a stream at the head lets events collect after the first one."""

PAUSE_SECONDS_A_STREAM = 0.0002
"""Additional pause for each open stream: of a thousand streams, each gets four pages a second instead of twenty."""

WOKEN_STREAMS = 50
"""Streams that get a shared page before other work of the event loop has its turn."""

type Encode = Callable[[FeedPage], bytes]
"""Encodes the events of a page, or its `through` alone if the page has no events."""


class _PageKey(NamedTuple):
    """Identifies the page that some streams need next."""

    wanted: FeedFilter
    after: int
    """Position through which these streams have read."""

    encode: Encode


type _Part = tuple[FeedPage, bytes]
"""A page, and the page encoded."""


class _SharedPage(NamedTuple):
    """A page that is being read, and the streams that wait for it."""

    reading: asyncio.Task[_Part | None]
    waiting: dict[asyncio.Future[_Part | None], None]
    """A future of each stream, in the order in which they came."""


class FeedStreams:
    """The open streams of a server. For one event loop."""

    def __init__(self, engine: FeedEngine, feed: Feed, limit: int) -> None:
        """`limit` bounds the streams that are open at a time."""
        self._engine, self._feed, self._limit = engine, feed, limit
        self.count = 0
        self._open = set[FeedStream]()
        self.on_page: Callable[[Sequence[bytes]], object] | None = None
        """Called with the lines of each page that streams are about to send, once for the streams that share it."""
        self._open_by_key: Counter[str] = Counter()
        """Open streams of each key."""

        self._pause: asyncio.Task[None] | None = None
        self._shared = dict[_PageKey, _SharedPage]()

    async def open(
        self, wanted: FeedFilter, after: int | None, log_id: str | None, encode: Encode, key_id: str = ""
    ) -> "FeedStream":
        """Return a stream of the events after position `after`, or after the present head if `after` is None.

        `key_id` is the key of the reader, or an empty text.

        Raises:
            TooManyStreams: the limit of open streams is reached, or the share of this key.
            CursorRefused, PositionNotReached, StoreUnavailable: as `Feed.page` does.
        """
        free = self._limit - self.count
        if free <= 0:
            raise TooManyStreams(self._limit)
        if key_id and self._open_by_key[key_id] >= free:
            raise TooManyStreams(self._limit, self._open_by_key[key_id])
        self._hold(key_id)
        try:
            start, found = await self._feed.start(after, log_id)
        except BaseException:
            self._release(key_id)
            raise
        stream = FeedStream(self, self._engine, wanted, start, found, encode, key_id)
        self._open.add(stream)
        return stream

    def lag(self, head: int) -> int:
        """Return how many events up to `head` the slowest stream has not read."""
        return max((head - stream.through for stream in self._open), default=0)

    def note_closed(self, stream: "FeedStream") -> None:
        """Free the place of a stream that has ended."""
        self._open.discard(stream)
        self._release(stream.key_id)

    def _hold(self, key_id: str) -> None:
        self.count += 1
        self._open_by_key[key_id] += 1

    def _release(self, key_id: str) -> None:
        self.count -= 1
        self._open_by_key[key_id] -= 1
        if not self._open_by_key[key_id]:
            del self._open_by_key[key_id]

    def next_part(self, key: _PageKey, *, is_at_head: bool, until: float) -> asyncio.Future[_Part | None]:
        """Return a future of a page, or of None if the server stops or the stream gives up.

        At the head, the page is read once there are further events, and without any at the time `until`. The future may
        be cancelled.
        """
        loop = asyncio.get_running_loop()
        if not (shared := self._shared.get(key)):
            reading = loop.create_task(self._read(key, is_at_head=is_at_head, until=until))
            reading.add_done_callback(partial(self._share, key))
            shared = self._shared[key] = _SharedPage(reading, {})
        part: asyncio.Future[_Part | None] = loop.create_future()
        shared.waiting[part] = None
        return part

    def give_up(self, key: _PageKey, part: asyncio.Future[_Part | None]) -> None:
        """End the wait of a stream for a page. A page that no other stream waits for is not read."""
        if not part.done():
            part.set_result(None)
        if (shared := self._shared.get(key)) and part in shared.waiting:
            del shared.waiting[part]
            if not shared.waiting:
                del self._shared[key]
                shared.reading.cancel()

    async def _read(self, key: _PageKey, *, is_at_head: bool, until: float) -> _Part | None:
        loop = asyncio.get_running_loop()
        if is_at_head and await self._engine.wait_beyond(key.after, until - loop.time()):
            # All pauses end at the same time, so that streams which have read unequally far share the next page.
            self._pause = self._pause or loop.create_task(self._let_events_collect())
            await asyncio.shield(self._pause)
        return None if self._engine.is_stopping else await self._engine.read_log(partial(_encoded, key=key))

    async def _let_events_collect(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS + PAUSE_SECONDS_A_STREAM * self.count)
        self._pause = None

    def _share(self, key: _PageKey, reading: asyncio.Task[_Part | None]) -> None:
        """Give a page that was read, or the error, to all streams that wait for the page."""
        has_failed = reading.cancelled() or reading.exception() is not None
        shared = self._shared.get(key)
        if not shared or shared.reading is not reading:
            return  # all streams have given up
        del self._shared[key]
        self._wake(list(shared.waiting), reading)
        if self.on_page and not has_failed and (part := reading.result()):
            self.on_page(part[0].items)

    def _wake(self, waiting: list[asyncio.Future[_Part | None]], reading: asyncio.Task[_Part | None]) -> None:
        for part in waiting[:WOKEN_STREAMS]:
            if part.done():
                continue  # the stream has ended
            if reading.cancelled():
                part.cancel()
            elif error := reading.exception():
                part.set_exception(error)
            else:
                part.set_result(reading.result())
        if rest := waiting[WOKEN_STREAMS:]:
            asyncio.get_running_loop().call_soon(self._wake, rest, reading)


class FeedStream:
    """One stream of the feed. It takes a place among the open streams until `close`."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        streams: FeedStreams,
        engine: FeedEngine,
        wanted: FeedFilter,
        start: int,
        log_id: str,
        encode: Encode,
        key_id: str,
    ) -> None:
        self.log_id = log_id
        self.key_id = key_id
        self._streams, self._engine = streams, engine
        self._wanted, self._encode = wanted, encode
        self.start = self.through = start
        """Positions from which the stream began, and through which it has read the log."""

        self._next: tuple[_PageKey, asyncio.Future[_Part | None]] | None = None
        """The page for which the stream waits."""

        self._is_closed = False

    async def parts(self) -> AsyncGenerator[bytes]:
        """Yield encoded pages in order, without a gap, until the stream is closed or the server stops.

        Raises:
            StoreUnavailable: the log cannot be read. What was yielded before is complete.
        """
        loop = asyncio.get_running_loop()
        sent_through, heartbeat_at, is_at_head = self.start, self._next_heartbeat(), False
        while not self._is_closed:
            key = _PageKey(self._wanted, self.through, self._encode)
            self._next = key, self._streams.next_part(key, is_at_head=is_at_head, until=heartbeat_at)
            part = await self._next[1]
            self._next = None
            if part is None:
                return
            page, encoded = part
            if await self._has_gone_back(page.head, page.log_id):
                return
            self.through, is_at_head, has_items = page.through, page.through >= page.head, bool(page.items)
            del part, page  # frees memory: a slow client needs the encoded page alone
            if has_items or self.through - sent_through >= HEARTBEAT_POSITIONS or loop.time() >= heartbeat_at:
                yield encoded
                sent_through, heartbeat_at = self.through, self._next_heartbeat()
            del encoded

    async def _has_gone_back(self, head: int, log_id: str) -> bool:
        """Return whether the log is another one, or lacks events that were sent, as after a restore.

        The client connects again, and gets the reason. A read replica may only lag behind.
        """
        if self.log_id not in (EMPTY_LOG_ID, log_id):
            return True
        self.log_id = log_id
        return head < self.through and await self._engine.newest_position() < self.through

    def close(self) -> None:
        """End the stream, and free its place among the open streams."""
        if not self._is_closed:
            self._is_closed = True
            self._streams.note_closed(self)
            if self._next:
                self._streams.give_up(*self._next)

    def _next_heartbeat(self) -> float:
        """Return the time of the next heartbeat.

        Streams with one filter have it at the same time, because they share the wait for a page. Others do not, so that
        a thousand filters do not search the log at the same moment.
        """
        now, phase = asyncio.get_running_loop().time(), hash(self._wanted) % 1_000 / 1_000 * HEARTBEAT_SECONDS
        return now + HEARTBEAT_SECONDS - (now - phase) % HEARTBEAT_SECONDS


def _encoded(pages: LogPages, key: _PageKey) -> _Part:
    page = search(
        pages,
        wanted=key.wanted,
        after=key.after,
        limit=PAGE_EVENTS,
        max_positions=HEARTBEAT_POSITIONS,
        max_bytes=PAGE_BYTES,
    )
    return page, key.encode(page)

"""Streams of the feed: each reads pages of the log at its own pace, and nothing is buffered for it.

Streams that have read equally far share a page, which is read and encoded once: at the head, for a thousand readers. A
key may have as many open streams as the server may still open (dynamic thresholds, as in `ingest_queue`), so that no
key takes all streams.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

from lockstream.core.entities.feed import EMPTY_LOG_ID, FeedFilter, FeedPage
from lockstream.core.errors import TooManyStreams
from lockstream.core.ports import LogPages
from lockstream.services.running.feed import Feed, FeedEngine, search

PAGE_EVENTS = 500
"""Most events that a stream sends at once."""

PAGE_BYTES = 128 * 1024
"""Bytes of events after which a page of a stream ends. For a client that reads nothing, the server keeps two pages."""

HEARTBEAT_SECONDS = 5.0
"""Time after which a stream without events tells how far it has read. It keeps proxies from closing the connection."""

HEARTBEAT_POSITIONS = 10_000
"""Number of positions without a match after which a stream tells how far it has read."""

PAUSE_SECONDS = 0.05
"""Time that a stream at the head lets events collect after the first one."""

PAUSE_SECONDS_A_STREAM = 0.0002
"""Additional pause for each open stream: of a thousand streams, each gets four pages a second instead of twenty."""

type Encode = Callable[[FeedPage], bytes]
"""Encodes the events of a page, or its `through` alone if the page has no events."""


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

        self._pausing: asyncio.Task[None] | None = None
        self._pages: dict[tuple[FeedFilter, int, Encode], asyncio.Task[tuple[FeedPage, bytes]]] = {}

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

    async def pause(self) -> None:
        """Let events collect. All streams at the head end their pause at the same time, and so share the next page."""
        if self._pausing is None:
            seconds = PAUSE_SECONDS + PAUSE_SECONDS_A_STREAM * self.count
            self._pausing = asyncio.get_running_loop().create_task(asyncio.sleep(seconds))
            self._pausing.add_done_callback(self._end_pause)
        await asyncio.shield(self._pausing)

    def _end_pause(self, _: asyncio.Task[None]) -> None:
        self._pausing = None

    async def page(self, wanted: FeedFilter, after: int, encode: Encode) -> tuple[FeedPage, bytes]:
        """Return the events after `after`, as a page and encoded. Streams that ask at the same time share the work."""
        key = wanted, after, encode
        if (reading := self._pages.get(key)) is None:
            reading = asyncio.get_running_loop().create_task(
                self._engine.read_log(partial(_encoded, wanted=wanted, after=after, encode=encode))
            )
            self._pages[key] = reading
            reading.add_done_callback(lambda _: self._pages.pop(key))
            if self.on_page:
                reading.add_done_callback(self._note)
        return await asyncio.shield(reading)  # a stream that ends must not cancel the read of the others

    def _note(self, reading: asyncio.Task[tuple[FeedPage, bytes]]) -> None:
        if self.on_page and not reading.cancelled() and reading.exception() is None:
            self.on_page(reading.result()[0].items)


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

        self._is_closed = False

    async def parts(self) -> AsyncGenerator[bytes]:
        """Yield encoded pages in order, without a gap, until the server stops.

        Raises:
            StoreUnavailable: the log cannot be read. What was yielded before is complete.
        """
        loop = asyncio.get_running_loop()
        sent_through, heartbeat_at = self.start, loop.time() + HEARTBEAT_SECONDS
        while not self._engine.is_stopping:
            (items, through, head, log_id), encoded = await self._streams.page(self._wanted, self.through, self._encode)
            if await self._has_gone_back(head, log_id):
                return
            self.through = through
            has_items = bool(items)
            del items  # frees memory: a slow client needs the encoded page alone
            if has_items or through - sent_through >= HEARTBEAT_POSITIONS or loop.time() >= heartbeat_at:
                yield encoded
                sent_through, heartbeat_at = through, loop.time() + HEARTBEAT_SECONDS
            del encoded
            if through >= head and await self._engine.wait_beyond(through, heartbeat_at - loop.time()):
                await self._streams.pause()

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


def _encoded(pages: LogPages, *, wanted: FeedFilter, after: int, encode: Encode) -> tuple[FeedPage, bytes]:
    page = search(
        pages,
        wanted=wanted,
        after=after,
        limit=PAGE_EVENTS,
        max_positions=HEARTBEAT_POSITIONS,
        max_bytes=PAGE_BYTES,
    )
    return page, encode(page)

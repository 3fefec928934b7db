"""The feed: pages of the events that a reader wants, in the order of the log, and how far the log was searched."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from lockstream.core.entities.feed import EMPTY_LOG_ID, FeedFilter, FeedPage
from lockstream.core.errors import CursorRefused, PositionNotReached, StoreUnavailable
from lockstream.core.ports import LogPages, ReadResult
from lockstream.infrastructure.codec.line_filter import line_filter

SEARCHED_POSITIONS = 50_000
"""Positions that one page searches at most, so that a reader with a narrow filter moves on."""

CHUNK_LINES = 1_000
"""Lines that are read at a time."""

EMPTY_SEARCH_PAUSE_SECONDS = 0.05
"""Pause before a request that has found no event searches again, so that several new events share one search."""

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of events after which a page ends."""


class FeedEngine(Protocol):
    """The part of an engine that the feed needs."""

    async def read_log[ValueT](self, query: Callable[[LogPages], ValueT]) -> ValueT:
        """Return the value of `query` over the durable part of the log, perhaps from another thread."""

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        """Wait for a durable event after `position`; return False after `seconds`, or if the server stops."""

    async def newest_position(self) -> int:
        """Return the position of the last durable event, even if reads lag behind it."""

    @property
    def is_stopping(self) -> bool:
        """Whether no reader may wait any longer."""


class Feed:
    """Answers readers of the feed. For one event loop."""

    def __init__(self, engine: FeedEngine) -> None:
        self._engine = engine

    async def page(
        self, wanted: FeedFilter, after: int | None, limit: int, wait_seconds: float = 0, log_id: str | None = None
    ) -> FeedPage:
        """Return up to `limit` events after position `after`, or after the present head if `after` is None.

        If there is none, wait for one up to `wait_seconds`. `log_id` is the log that the reader has read before.

        Raises:
            CursorRefused: the reader has read another log, or beyond the head.
            PositionNotReached: a read replica has not reached `after`.
            StoreUnavailable: the log cannot be read.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        through = first = (await self.start(after, log_id))[0]
        pause_seconds = 0.0
        while True:
            page = await self._engine.read_log(
                partial(
                    search,
                    wanted=wanted,
                    after=through,
                    limit=limit,
                    max_positions=SEARCHED_POSITIONS,
                    max_bytes=MAX_BYTES,
                )
            )
            through = page.through
            is_at_head = through == page.head and through - first < SEARCHED_POSITIONS
            if page.items or not is_at_head or loop.time() >= deadline or self._engine.is_stopping:
                return page
            await asyncio.sleep(pause_seconds)
            await self._engine.wait_beyond(through, deadline - loop.time())
            pause_seconds = EMPTY_SEARCH_PAUSE_SECONDS

    async def head(self) -> ReadResult[None]:
        """Return the position of the last durable event, as pages show it. Raises StoreUnavailable, as `page` does."""
        return ReadResult(None, await self._engine.read_log(lambda pages: pages.page(0, 0).head))

    async def start(self, after: int | None, log_id: str | None) -> tuple[int, str]:
        """Return the position after which a reader begins, and the id of the log. Exceptions are those of `page`."""
        _, head, found = await self._engine.read_log(lambda pages: pages.page(after or 0, 0))
        if log_id not in (None, EMPTY_LOG_ID, found):  # an empty log may have become any log
            if found == EMPTY_LOG_ID and (newest := await self._engine.newest_position()):
                raise PositionNotReached(head, newest)
            raise CursorRefused.other_log(str(log_id), found, head)
        if after is not None and after > head:
            if after <= await self._engine.newest_position():
                raise PositionNotReached(head, after)
            raise CursorRefused.beyond_head(after, found, head)
        return head if after is None else after, found


def search(
    pages: LogPages,
    *,
    wanted: FeedFilter,
    after: int,
    limit: int,
    max_positions: int,
    max_bytes: int,
) -> FeedPage:
    """Return the first events that a reader wants after position `after`, as far as one page reaches.

    A page ends with `limit` events, or with `max_bytes` of them, or after a search of `max_positions`.

    Raises:
        StoreUnavailable: the log cannot be read after `after`.
    """
    matches = line_filter(wanted)
    items: list[bytes] = []
    size, through = 0, after
    found: FeedPage | None = None
    while True:
        count = min(CHUNK_LINES, limit - len(items) if matches is None else after + max_positions - through)
        try:
            page = pages.page(through, count)
        except StoreUnavailable:
            if found is None:
                raise
            return found  # the request for the next page raises the error
        for line in page.lines:
            through += 1
            if matches is None or matches(line):
                items.append(line)
                size += len(line)
                if len(items) == limit or size >= max_bytes:
                    break
        found = FeedPage(items, through, page.head, page.log_id)
        is_full = len(items) == limit or size >= max_bytes or through - after >= max_positions
        if is_full or through >= page.head:
            return found
        if not page.lines:
            raise StoreUnavailable(f"The log has no record at position {through + 1}. Run `lockstream verify`.")

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

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of items with which a page is full."""


class FeedEngine(Protocol):
    """The part of an engine that the feed needs."""

    async def read_log[ValueT](self, query: Callable[[LogPages], ValueT]) -> ValueT:
        """Return the value of `query` over the durable part of the log, perhaps from another thread."""

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        """Wait for a durable event after `position`; return False after this time, or if the server stops."""

    async def newest_position(self) -> int:
        """Return the position of the last durable event, even if reads lag behind it."""


class Feed:
    """Answers readers of the feed. For one event loop."""

    def __init__(self, engine: FeedEngine) -> None:
        self._engine = engine

    async def page(
        self, wanted: FeedFilter, after: int | None, limit: int, wait_seconds: float = 0, log_id: str | None = None
    ) -> ReadResult[FeedPage]:
        """Return up to `limit` events after position `after`, or after the present head if `after` is None.

        If there is none, wait for one up to `wait_seconds`. `log_id` is the log that the reader has read before.

        Raises:
            CursorRefused: the reader has read another log, or beyond the head.
            PositionNotReached: a read replica has not reached `after`.
            StoreUnavailable: the log cannot be read.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        if after is None:
            after = await self._engine.read_log(lambda pages: pages.page(0, 0).head)
        search = partial(_search, wanted=wanted, limit=limit)
        page = await self._engine.read_log(partial(search, after=after))
        await self._check(page, after, log_id)
        while (
            not page.items
            and page.through == page.head
            and page.through - after < SEARCHED_POSITIONS
            and await self._engine.wait_beyond(page.through, deadline - loop.time())
        ):
            page = await self._engine.read_log(partial(search, after=page.through))
        return ReadResult(page, page.head)

    async def _check(self, page: FeedPage, after: int, log_id: str | None) -> None:
        """Check that the reader goes on with the log that it has read. An empty log may have become any log."""
        has_read_nothing = log_id == EMPTY_LOG_ID and after == 0
        if log_id not in (None, page.log_id) and not has_read_nothing:
            raise CursorRefused.other_log(str(log_id), page.log_id, page.head)
        if after > page.head:
            if after <= await self._engine.newest_position():
                raise PositionNotReached(page.head, after)
            raise CursorRefused.beyond_head(after, page.log_id, page.head)


def _search(pages: LogPages, *, wanted: FeedFilter, after: int, limit: int) -> FeedPage:
    """Return the first events that the reader wants after `after`, as far as one page reaches."""
    matches = line_filter(wanted)
    items: list[bytes] = []
    size, through = 0, after
    found: FeedPage | None = None
    while True:
        count = min(CHUNK_LINES, limit - len(items) if matches is None else after + SEARCHED_POSITIONS - through)
        try:
            page = pages.page(through, count)
        except StoreUnavailable:
            if found is None:
                raise
            return found  # the next page has the error
        for line in page.lines:
            through += 1
            if matches is None or matches(line):
                items.append(line)
                size += len(line)
                if len(items) == limit or size >= MAX_BYTES:
                    break
        found = FeedPage(items, through, page.head, page.log_id)
        is_full = len(items) == limit or size >= MAX_BYTES or through - after >= SEARCHED_POSITIONS
        if is_full or not page.lines or through >= page.head:
            return found

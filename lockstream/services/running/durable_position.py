"""The durable position: the position up to which the log is on disk, and the waiters for a later one.

Acknowledgements, reads of unflushed changes and checkpoints all wait here. No timer delays a flush: records that are
appended during a flush go into the next one.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import EventLog
from lockstream.services.running.head_watch import HeadWatch

type OnReached = Callable[[str | None], object]
"""Called with None once a position is durable, or with the reason if it never will be."""


class DurablePosition:
    """The waiters for positions of one log. For one event loop."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiters: list[tuple[int, int, OnReached]] = []
        self._ticket = count()
        self._is_flushing = self._has_failed = False
        self.on_failure: Callable[[], object] = lambda: None
        """Called once, when the log has failed."""

        self.watch = HeadWatch(lambda: self.current)
        """Waiters for any event after a position. Unlike waiters for a position, they cause no flush."""

    @property
    def current(self) -> int:
        """The position of the last record that is on disk."""
        return self._log.durable.position

    def when_reached(self, position: int, on_reached: OnReached) -> None:
        """Call `on_reached` once `position` is durable, at once if it already is."""
        heappush(self._waiters, (position, next(self._ticket), on_reached))
        self._notify()

    async def reached(self, position: int) -> None:
        """Wait until `position` is durable.

        Raises:
            StoreUnavailable: the log has failed, so the position will never be durable.
        """
        if position <= self.current:
            return
        reached: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def resolve(failure: str | None) -> None:
            if not reached.done():  # the waiter may be cancelled
                reached.set_result(failure)

        self.when_reached(position, resolve)
        if failure := await reached:
            raise StoreUnavailable(failure)

    def _notify(self) -> None:
        """Call all waiters whose position is durable, or all if the log has failed; flush for the others."""
        current, failure = self.current, self._log.failure
        while self._waiters and (failure or self._waiters[0][0] <= current):
            position, _, on_reached = heappop(self._waiters)
            on_reached(None if position <= current else failure)
        if self._waiters and not self._is_flushing:
            self._is_flushing = True
            self._log.begin_flush(self._flushed)
        if failure and not self._has_failed:
            self._has_failed = True
            self.on_failure()

    def _flushed(self) -> None:
        self._is_flushing = False
        self._notify()
        self.watch.notify()

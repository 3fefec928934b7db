"""Has what readers see follow the log: at once when one waits, and otherwise when it is worth while."""

import asyncio
import logging
from collections.abc import Callable

from lockstream.core.errors import StoreUnavailable
from lockstream.core.repositories import Store

SETTLE_AFTER_SECONDS = 0.1
"""How long nothing has to come in before what nobody has asked for is settled. No event and no read waits for it."""

logger = logging.getLogger(__name__)


class Settler:
    """Settles a store, one settlement at a time. To be used in one event loop."""

    def __init__(self, store: Store, caught_up: Callable[[], object]) -> None:
        """`caught_up` is called when a settlement has ended."""
        self.settled = store.log.durable.position
        self._store = store
        self._caught_up = caught_up
        self._failed_because = ""
        self._readers: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._flush: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_batch = 0.0

    @property
    def behind(self) -> bool:
        """Whether so much waits to be settled that no more should be taken in before it is."""
        return self._task is not None and self._store.behind

    @property
    def hopeless(self) -> str:
        """Why nothing can be taken in: memory is full, and can't be freed."""
        return self._failed_because if self._store.crowded else ""

    async def settle(self) -> None:
        """Wait until reads show all that is durable now.

        Raises:
            StoreUnavailable: they cannot, for now.
        """
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(told)
        self._start()
        await told

    def consider(self) -> None:
        """Some events were taken in: settle now where it is worth while, or when nothing has come in for a while."""
        if self._store.due and not self._failed_because:
            self._start()
        loop = asyncio.get_running_loop()
        self._last_batch = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(SETTLE_AFTER_SECONDS, self._look_for_quiet)

    def flushed(self) -> None:
        """The log has been flushed, or can't be any more."""
        if self._flush and not self._flush.done():
            self._flush.set_result(None)

    async def close(self) -> None:
        """Settle all that is durable, if that can be done."""
        if self._timer:
            self._timer.cancel()
        while self._task:
            await self._task
        if self.settled < self._store.log.durable.position:
            await self._settle_once()

    def _look_for_quiet(self) -> None:
        quiet = asyncio.get_running_loop().time() - self._last_batch
        self._timer = None
        if quiet < SETTLE_AFTER_SECONDS:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_AFTER_SECONDS - quiet, self._look_for_quiet)
        elif self.settled < self._store.log.durable.position and not self._failed_because:
            self._start()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._settle_once()
            while self._readers or (self._store.due and not self._failed_because):
                await self._settle_once()
        finally:
            self._task = None
        self._caught_up()

    async def _settle_once(self) -> None:
        readers, self._readers = self._readers, []
        try:
            await self._advance()
            self._failed_because = ""
        except StoreUnavailable as error:
            logger.warning("%s", error)
            self._failed_because = str(error)
        except Exception:  # a fault of ours; without this task, everybody would wait for ever
            logger.exception("The projection could not be brought up to the log.")
            self._failed_because = "The projection cannot follow the log. Restart Lockstream."
        for told in readers:
            if told.done():  # who waited has gone away
                continue
            if self._failed_because:
                told.set_exception(StoreUnavailable(self._failed_because))
            else:
                told.set_result(None)

    async def _advance(self) -> None:
        """Have reads show all that is in the log, or as much of it as will ever be durable."""
        log = self._store.log
        settlement = self._store.begin_settling()
        try:
            while log.durable.position < settlement.reached.position and not log.failure:
                self._flush = asyncio.get_running_loop().create_future()
                await self._flush
            if not log.failure:
                await asyncio.to_thread(settlement.write)
        except BaseException:
            settlement.restore()
            raise
        if log.failure:
            await asyncio.to_thread(self._store.fall_back)
            self.settled = log.durable.position
        else:
            settlement.confirm()
            self.settled = settlement.reached.position

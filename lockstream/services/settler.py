"""Has the projection follow the log, so that memory is free for other rows and a start has little to catch up with.

No event and no read waits for it, unless it falls far behind.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lockstream.core.errors import StoreUnavailable
from lockstream.core.repositories import Store

SETTLE_AFTER_SECONDS = 0.1
"""How long nothing has to come in before little is settled, too."""

RETRY_SECONDS = 1.0
"""After a settlement that failed, the next one waits for so long, whatever comes in."""

logger = logging.getLogger(__name__)


class Settler:
    """Settles a store, one settlement at a time. To be used in one event loop."""

    def __init__(self, store: Store, caught_up: Callable[[], object]) -> None:
        """`caught_up` is called when a settlement has ended."""
        self._store = store
        self._caught_up = caught_up
        self._settled = store.log.durable.position
        self._failed_because = ""
        self._task: asyncio.Task[None] | None = None
        self._flush: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_batch = self._retry_at = 0.0
        self._thread = ThreadPoolExecutor(1, "lockstream-settle")

    @property
    def behind(self) -> bool:
        """Whether so much waits to be settled that no more should be taken in before it is."""
        return self._task is not None and self._store.behind

    @property
    def hopeless(self) -> str:
        """Why nothing can be taken in: memory is full, and can't be freed."""
        return self._failed_because if self._store.crowded else ""

    def consider(self) -> None:
        """Some events were taken in: settle now where it is worth while, or when nothing has come in for a while."""
        loop = asyncio.get_running_loop()
        self._last_batch = loop.time()
        if self._store.due and self._last_batch >= self._retry_at:
            self._start()
        if self._timer is None:
            self._timer = loop.call_later(SETTLE_AFTER_SECONDS, self._look_for_quiet)

    def flushed(self) -> None:
        """The log has been flushed, or can't be any more."""
        if self._flush and not self._flush.done():
            self._flush.set_result(None)

    async def rest(self) -> None:
        """Wait until no settlement is under way."""
        while self._task:
            await asyncio.wait([self._task])  # who waits may be cancelled, and the task may not

    async def close(self) -> None:
        """Settle all that is durable, if that can be done."""
        if self._timer:
            self._timer.cancel()
        await self.rest()
        if self._settled < self._store.log.durable.position:
            await self._settle()
        self._thread.shutdown(wait=False)

    def _look_for_quiet(self) -> None:
        """Settle what there is, however little, once nothing comes in; look again until all of it is settled."""
        loop, log = asyncio.get_running_loop(), self._store.log
        self._timer = None
        if self._settled >= log.end.position or log.failure:
            return
        quiet = loop.time() - self._last_batch
        if quiet >= SETTLE_AFTER_SECONDS and loop.time() >= self._retry_at:
            self._start()
        rest = SETTLE_AFTER_SECONDS - quiet
        self._timer = loop.call_later(rest if rest > 0 else SETTLE_AFTER_SECONDS, self._look_for_quiet)

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await self._settle()
        while self._store.due and not self._failed_because:
            await self._settle()
        self._task = None
        self._caught_up()

    async def _settle(self) -> None:
        try:
            await self._advance()
            self._failed_because = ""
        except StoreUnavailable as error:
            logger.warning("%s", error)
            self._failed_because = str(error)
        except Exception:  # a fault of ours; without this task, memory would fill up
            logger.exception("The projection could not be brought up to the log.")
            self._failed_because = "The projection cannot follow the log. Restart Lockstream."
        if self._failed_because:
            self._retry_at = asyncio.get_running_loop().time() + RETRY_SECONDS

    async def _advance(self) -> None:
        log = self._store.log
        settlement = self._store.begin_settling()
        try:
            while log.durable.position < settlement.reached.position:  # what is not durable may never be
                if log.failure:
                    raise StoreUnavailable(log.failure)
                self._flush = asyncio.get_running_loop().create_future()
                await self._flush
            await asyncio.get_running_loop().run_in_executor(self._thread, settlement.write)
        except BaseException:
            settlement.restore()
            raise
        settlement.confirm()
        self._settled = settlement.reached.position

"""The checkpointer: brings the embedded projection up to the log, so that memory stays bounded and a start is short.

No event and no read waits for a checkpoint, unless checkpoints fall far behind.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.infrastructure.telemetry.histogram import WORK_SECONDS, Histogram
from lockstream.services.running.durable_position import DurablePosition
from lockstream.services.running.event_loop import STOPPED

QUIET_SECONDS = 0.1
"""Time without a new batch after which even a few changed rows are written."""

MAX_AGE_SECONDS = 1.0
"""Longest time between two checkpoints while batches go on, so that the projection lags little, and so that a start
after a crash has few events to apply again."""

RETRY_SECONDS = 1.0
"""Time to wait after a failed checkpoint."""

logger = logging.getLogger(__name__)


class Checkpointer:
    """Runs one checkpoint at a time. For one event loop."""

    def __init__(self, store: EmbeddedStore, durable: DurablePosition, on_caught_up: Callable[[], object]) -> None:
        """`on_caught_up` is called when no more checkpoint is due."""
        self._store = store
        self._durable = durable
        self._on_caught_up = on_caught_up
        self._reached = durable.current
        self.seconds = Histogram(WORK_SECONDS)
        """The durations of checkpoints that were written."""

        self.failures = 0
        """Number of checkpoints that have failed."""

        self._failure: str | None = None
        self._has_noted_acknowledged = self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        """Resolved at the end of the running checkpoint. None if no caller waits for the end."""

        self._timer: asyncio.TimerHandle | None = None
        self._last_batch_at = self._began_at = self._retry_at = 0.0
        self._thread = ThreadPoolExecutor(1, "lockstream-checkpoint")
        durable.on_failure = self._start

    @property
    def is_overloaded(self) -> bool:
        """Whether so many changed rows wait that events should wait for the checkpoint."""
        return self._task is not None and self._store.is_overloaded

    @property
    def failure(self) -> str | None:
        """Why the last checkpoint has failed, or None."""
        return self._failure

    @property
    def unavailable_reason(self) -> str | None:
        """Why events are refused: memory is full, and checkpoints fail. None otherwise."""
        return self._failure if self._store.is_full else None

    def after_batch(self) -> None:
        """Start a checkpoint if enough rows have changed, or else once one is due."""
        loop = asyncio.get_running_loop()
        self._last_batch_at = loop.time()
        if self._store.needs_checkpoint and self._last_batch_at >= self._retry_at:
            self._start()
        if self._timer is None:
            self._timer = loop.call_later(QUIET_SECONDS, self._checkpoint_if_due)

    async def reached(self, position: int) -> None:
        """Bring the projection up to `position`, which is durable. All that wait at a time share one checkpoint.

        Raises:
            StoreUnavailable: the projection cannot be written.
        """
        loop = asyncio.get_running_loop()
        while self._reached < position:
            if self._is_closed:
                raise StoreUnavailable(STOPPED)
            if self._failure and loop.time() < self._retry_at:
                raise StoreUnavailable(self._failure)
            self._start()
            await self._checkpoint_ended()

    async def wait_idle(self) -> None:
        """Wait until no checkpoint is running."""
        while self._task:
            await asyncio.wait([self._task])  # this waiter may be cancelled, and the task must not be

    async def close(self) -> None:
        """Write all durable changes to the projection, if possible, and stop."""
        if self._timer:
            self._timer.cancel()
        await self.wait_idle()
        if self._reached < self._durable.current:
            self._start()
            await self.wait_idle()
        self._is_closed = True
        self._thread.shutdown(wait=False)

    async def _checkpoint_ended(self) -> None:
        """Wait until the running checkpoint has ended, with or without success. The next one may begin at once."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._ended])  # this waiter may be cancelled, and the others must not be

    def forget_failure(self) -> None:
        """Allow the next checkpoint at once, because the events that made the last one fail have been discarded."""
        self._failure, self._retry_at = None, 0.0

    def _checkpoint_if_due(self) -> None:
        """Start a checkpoint if no batch comes or the last checkpoint is old. Repeat until all changes are written."""
        loop, log = asyncio.get_running_loop(), self._store.log
        self._timer = None
        if log.failure or self._reached >= log.end.position:
            return
        now = loop.time()
        quiet = now - self._last_batch_at
        if (quiet >= QUIET_SECONDS or now - self._began_at >= MAX_AGE_SECONDS) and now >= self._retry_at:
            self._start()
        rest = QUIET_SECONDS - quiet
        self._timer = loop.call_later(rest if rest > 0 else QUIET_SECONDS, self._checkpoint_if_due)

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await self._checkpoint()
        while self._store.needs_checkpoint and not self._failure:
            await self._checkpoint()
        if self._store.log.failure and not self._has_noted_acknowledged:
            await self._note_acknowledged()
        self._task = None
        self._notify_ended()
        self._on_caught_up()

    def _notify_ended(self) -> None:
        if self._ended:
            self._ended.set_result(None)
            self._ended = None

    async def _checkpoint(self) -> None:
        try:
            await self._write()
            self._failure = None
        except StoreUnavailable as error:
            if not self._store.log.failure:  # the failed log has logged its own error
                logger.warning("%s", error, extra={"event_name": "checkpoint_failed", "position": self._reached})
            self._failure = str(error)
        except Exception:  # an internal error; without this task, memory would fill up
            logger.exception(
                "The projection could not be brought up to the log.",
                extra={"event_name": "checkpoint_failed", "position": self._reached},
            )
            self._failure = "The projection cannot follow the log, because of an internal error. Restart Lockstream."
        if self._failure:
            self.failures += 1
            self._retry_at = asyncio.get_running_loop().time() + RETRY_SECONDS
        self._notify_ended()
        if self._store.needs_move and not self._failure:
            await self._move_pages()

    async def _write(self) -> None:
        self._began_at = asyncio.get_running_loop().time()
        checkpoint = self._store.begin_checkpoint()
        try:
            await self._durable.reached(checkpoint.reached.position)
            writing_since = perf_counter()
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.write, checkpoint)
            self.seconds.observe(perf_counter() - writing_since)
        except BaseException:
            checkpoint.rollback()
            raise
        checkpoint.commit()
        self._reached = checkpoint.reached.position

    async def _move_pages(self) -> None:
        """Let SQLite move pages from its write-ahead log to the database file."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.move_pages)
        except Exception:  # an internal error; without an end of this task, reads and the close would wait for ever
            logger.exception(
                "Pages of the write-ahead log could not be moved to the projection.",
                extra={"event_name": "pages_not_moved"},
            )

    async def _note_acknowledged(self) -> None:
        """Note in the projection how many events were acknowledged, so that the next start requires as many."""
        self._has_noted_acknowledged = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.note_acknowledged)
        except StoreUnavailable:  # the disk may be the reason why the log has failed; a close tries again
            pass
        except Exception:  # an internal error; without an end of this task, reads and the close would wait for ever
            logger.exception(
                "The acknowledged position could not be noted in the projection.",
                extra={"event_name": "acknowledged_position_not_noted"},
            )

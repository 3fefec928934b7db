"""Group commit: concurrent submissions become one batch.

One thread writes. While it commits a batch, the next one fills; nothing waits for a timer. What readers see follows
behind: it is settled at once when a read waits for it, and otherwise when much has changed or nothing else is to do.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from threading import Condition, Thread
from typing import Any

from lockstream.core.entities.events import Event
from lockstream.core.errors import QueueFull, StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.core.repositories import Store
from lockstream.core.use_cases.ingest import ingest

SETTLE_AFTER_SECONDS = 0.1
"""How long nothing has to come in before what nobody has asked for is settled. No event and no read waits for it."""

logger = logging.getLogger(__name__)

type _Submission = tuple[Event, asyncio.Future[Outcome]]


class Ingestion:
    """The one writer of a store, for any number of event loops."""

    def __init__(self, store: Store, *, queue_limit: int, batch_limit: int) -> None:
        """Start the thread.

        `queue_limit` bounds the events that wait, `batch_limit` those that are committed together.
        """
        self._store = store
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._submissions: deque[_Submission] = deque()
        self._readers: list[asyncio.Future[None]] = []
        self._acknowledged = self._settled = store.log.end.position
        self._unsettled_because = ""
        self._closing = False
        self._work = Condition()
        # A daemon: where nobody closes us, the process ends as in a crash, which loses nothing.
        self._thread = Thread(target=self._run, name="lockstream-writer", daemon=True)
        self._thread.start()

    async def submit(self, event: Event) -> Outcome:
        """Have `event` decided and, if it is accepted, made durable.

        Raises:
            QueueFull: too many events wait already; this one was not taken.
            StoreUnavailable: the event is not acknowledged.
        """
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        with self._work:
            self._require_open()
            if len(self._submissions) >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            self._submissions.append((event, told))
            self._work.notify()
        return await told

    async def settled(self) -> None:
        """Wait until reads show all that was acknowledged before this call.

        Raises:
            StoreUnavailable: they cannot, for now.
        """
        if self._settled >= self._acknowledged:
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._work:
            self._require_open()
            self._readers.append(told)
            self._work.notify()
        await told

    def close(self) -> None:
        """Finish what was taken in, then end the thread."""
        with self._work:
            self._closing = True
            self._work.notify()
        self._thread.join()

    def _run(self) -> None:
        batch: Sequence[_Submission] = ()
        while batch or self._submissions or self._readers or not self._closing:
            batch = self._next_batch()
            if batch:
                self._commit(batch)
            if not batch or self._readers or self._store.crowded or (self._store.due and not self._unsettled_because):
                self._settle()

    def _next_batch(self) -> Sequence[_Submission]:
        """What waits; nothing, where a reader waits instead, or there was nothing for a while."""
        wanted = self._settled < self._acknowledged and not self._unsettled_because
        idle = SETTLE_AFTER_SECONDS if wanted else None
        with self._work:
            self._work.wait_for(lambda: self._submissions or self._readers or self._closing, idle)
            return [self._submissions.popleft() for _ in range(min(len(self._submissions), self._batch_limit))]

    def _commit(self, batch: Sequence[_Submission]) -> None:
        try:
            if self._unsettled_because and self._store.crowded:
                raise StoreUnavailable(self._unsettled_because)
            answers: Sequence[Outcome | Exception] = ingest([event for event, _ in batch], self._store.unit_of_work())
        except StoreUnavailable as error:
            answers = [StoreUnavailable(str(error)) for _ in batch]
        except Exception as error:
            # A fault of ours, which one event sets off: the others shall not suffer from it.
            if len(batch) > 1:
                for submission in batch:
                    self._commit([submission])
                return
            logger.exception("Event %s could not be taken in.", batch[0][0].event_id)
            answers = [error]
        self._acknowledged = self._store.log.end.position
        _tell([told for _, told in batch], answers)

    def _settle(self) -> None:
        with self._work:
            readers, self._readers = self._readers, []
        try:
            self._store.settle()
            self._settled = self._store.log.end.position
            self._unsettled_because = ""
        except StoreUnavailable as error:
            logger.warning("%s", error)
            self._unsettled_because = str(error)
        except Exception:  # a fault of ours; without this thread, everybody would wait for ever
            logger.exception("The projection could not be brought up to the log.")
            self._unsettled_because = "The projection cannot follow the log. Restart Lockstream."
        reason = self._unsettled_because
        _tell(readers, [StoreUnavailable(reason) if reason else None for _ in readers])

    def _require_open(self) -> None:
        if self._closing:
            raise StoreUnavailable("Lockstream is stopping. Try again with the one that follows.")


def _tell(futures: Sequence[asyncio.Future[Any]], answers: Sequence[object]) -> None:
    """Give each future its answer, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], object]]] = {}
    for future, answer in zip(futures, answers, strict=True):
        by_loop.setdefault(future.get_loop(), []).append((future, answer))
    for loop, told in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_answer, told)


def _answer(told: list[tuple[asyncio.Future[Any], object]]) -> None:
    for future, answer in told:
        if future.done():  # who waited has gone away
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

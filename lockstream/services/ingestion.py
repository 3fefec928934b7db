"""Group commit: concurrent submissions become one batch.

All of it happens in one event loop, but for what waits for a disk: there a batch is decided and written at once, and
while it is flushed the next ones are. No timer holds back an event: whatever has been written when a flush ends goes
with the next one. Where the store is on another machine, each batch is decided in a thread, which waits for it; what
comes in meanwhile is the next batch.

A read looks at what has been decided, and is answered when that is durable: at once, unless an event of that very
locker is on its way to the disk. So it shows all that was acknowledged before it came, and nobody hears of what a
failing disk may still undo.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Protocol

from lockstream.core.entities.events import Event
from lockstream.core.errors import QueueFull, StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.core.repositories import Queries, Seen, Store
from lockstream.core.use_cases.ingest import ingest
from lockstream.services.settler import Settler

REMOTE_BATCH = 5_000
"""Events that are decided in one go at most where that waits for another machine: it is waited for by all together."""

REMOTE_EVENT_BYTES = 4_096
"""There, a larger payload counts as several events: what is sent in one go is some 20 MB at most."""

_STOPPING = "Lockstream is stopping. Try again with the one that follows."

logger = logging.getLogger(__name__)

type _Outcomes = Sequence[Outcome | Exception]
type _Told = asyncio.Future[_Outcomes]
type _Submission = tuple[Sequence[Event], _Told]


class OfLocker(Protocol):
    """What only events of one locker can change."""

    @property
    def locker_id(self) -> str: ...


class _Undurable(NamedTuple):
    """Somebody who waits for the log to be durable."""

    end: int
    told: _Told
    outcomes: _Outcomes
    lockers: Collection[str]
    """Those that may have been changed by what this is about."""


class Ingestion:
    """The one writer of a store. To be used in one event loop."""

    def __init__(self, store: Store, *, queue_limit: int, batch_limit: int) -> None:
        """`queue_limit` bounds the events that wait, `batch_limit` those that are decided in one go."""
        self._store = store
        self._queue_limit = queue_limit
        readers = store.remote_readers
        self._batch_limit = REMOTE_BATCH if readers else batch_limit
        self._decider = ThreadPoolExecutor(1, "lockstream-decide") if readers else None
        self._readers = ThreadPoolExecutor(readers, "lockstream-read") if readers else None
        self._submissions: deque[_Submission] = deque()
        self._undurable: deque[_Undurable] = deque()
        self._waiting = 0
        self._taking_in = self._flushing = self._closing = self._fallen_back = False
        self._drained: asyncio.Event | None = None
        self._settler = Settler(store, self._take_in_soon)

    @property
    def obstacle(self) -> str:
        """Why an event would not be taken in right now; empty where it would."""
        if self._closing:
            return _STOPPING
        if self._waiting >= self._queue_limit:
            return str(QueueFull(self._queue_limit))
        return self._store.log.obstacle or self._settler.hopeless

    def submit(self, events: Sequence[Event]) -> Awaitable[_Outcomes]:
        """Have `events` decided, in this order, and what is accepted made durable.

        In the place of an outcome stands an exception where a fault of ours kept the event from being decided.

        Raises:
            QueueFull: too many events wait already; none of these was taken.
            StoreUnavailable: none of them is acknowledged.
        """
        self._require_open()
        if self._waiting and self._waiting + len(events) > self._queue_limit:
            raise QueueFull(self._queue_limit)
        told: _Told = asyncio.get_running_loop().create_future()
        self._submissions.append((events, told))
        self._waiting += len(events)
        self._take_in_soon()
        return told

    async def read[FoundT: OfLocker](self, query: Callable[[Queries], FoundT | None]) -> Seen[FoundT | None]:
        """What `query` finds: all that was acknowledged before this call, and nothing that is not durable.

        Where reads go to a copy of the log's database, all that has come there.

        Raises:
            StoreUnavailable: it cannot be found, for now.
        """
        if self._readers:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.look, query)
        if not self._store.log.failure:
            seen = self._store.look(query)
            with suppress(StoreUnavailable):
                if seen.found and (place := self._behind_changes_of(seen.found.locker_id)):
                    durable: _Told = asyncio.get_running_loop().create_future()
                    self._undurable.insert(place, _Undurable(self._undurable[place - 1].end, durable, (), ()))
                    await durable
                return self._durable(seen)
        await self._fall_back()
        return self._durable(self._store.look(query))

    def _durable[FoundT](self, seen: Seen[FoundT]) -> Seen[FoundT]:
        """The same, with no position that is not durable."""
        return seen._replace(position=min(seen.position, self._store.log.durable.position))

    async def close(self) -> None:
        """Finish what was taken in."""
        self._closing = True
        if self._waiting:
            self._drained = asyncio.Event()
            await self._drained.wait()
        await self._settler.close()
        for threads in (self._decider, self._readers):
            if threads:
                threads.shutdown(wait=False)

    def _behind_changes_of(self, locker_id: str) -> int:
        """Where in the queue of what is not durable all stands in front that may have changed a locker."""
        place = len(self._undurable)
        for waiting in reversed(self._undurable):
            if locker_id in waiting.lockers:
                break
            place -= 1
        return place

    async def _fall_back(self) -> None:
        """Once the log has failed: have reads show what is durable, and nothing else."""
        await self._settler.rest()
        if not self._fallen_back:
            self._store.fall_back()
            self._fallen_back = True

    def _take_in_soon(self) -> None:
        if not self._taking_in and self._submissions:
            self._taking_in = True
            asyncio.get_running_loop().call_soon(self._take_in)

    def _take_in(self) -> None:
        """Decide a batch of what waits. Requests are served before the next one."""
        if self._settler.behind:
            self._taking_in = False
            return  # it calls again when it has caught up
        batch = [self._submissions.popleft()]
        size = self._weight(batch[0][0])
        while self._submissions and (size := size + self._weight(self._submissions[0][0])) <= self._batch_limit:
            batch.append(self._submissions.popleft())
        all_events = [event for events, _ in batch for event in events]
        if self._decider:
            deciding = asyncio.get_running_loop().run_in_executor(self._decider, self._decided, all_events)
            deciding.add_done_callback(lambda decided: self._taken_in(batch, decided.result()))
        else:
            self._taken_in(batch, self._decided(all_events))

    def _weight(self, events: Sequence[Event]) -> int:
        if self._decider is None:
            return len(events)
        return sum(1 + len(event.payload) // REMOTE_EVENT_BYTES for event in events)

    def _taken_in(self, batch: Sequence[_Submission], outcomes: _Outcomes) -> None:
        self._taking_in = False
        self._expect_flush(batch, outcomes)
        self._settler.consider()
        self._take_in_soon()

    def _expect_flush(self, batch: Sequence[_Submission], outcomes: _Outcomes) -> None:
        end, start = self._store.log.end.position, 0
        for events, told in batch:
            stop = start + len(events)
            lockers = {event.locker_id for event in events}
            self._undurable.append(_Undurable(end, told, outcomes[start:stop], lockers))
            start = stop
        self._tell()
        if self._undurable:
            self._flush()

    def _decided(self, events: Sequence[Event]) -> _Outcomes:
        try:
            if reason := self._settler.hopeless:
                raise StoreUnavailable(reason)
            return ingest(events, self._store.unit_of_work())
        except StoreUnavailable as error:
            return [StoreUnavailable(str(error)) for _ in events]
        except Exception as error:
            # A fault of ours, which one event sets off: the others shall not suffer from it.
            if len(events) > 1:
                return [outcome for event in events for outcome in self._decided([event])]
            logger.exception("Event %s could not be taken in.", events[0].event_id)
            return [error]

    def _flush(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._store.log.flush_aside(self._flush_ended)

    def _flush_ended(self) -> None:
        self._flushing = False
        self._tell()
        self._settler.flushed()
        if self._undurable:
            self._flush()

    def _tell(self) -> None:
        """Give each submission that is durable now its outcomes; each that never will be is not acknowledged."""
        durable, failure = self._store.log.durable.position, self._store.log.failure
        while self._undurable and (failure or self._undurable[0].end <= durable):
            end, told, outcomes, _ = self._undurable.popleft()
            self._waiting -= len(outcomes)
            if told.done():  # who waited has gone away
                continue
            if end <= durable:
                told.set_result(outcomes)
            else:
                told.set_exception(StoreUnavailable(failure))
        if self._drained and not self._waiting:
            self._drained.set()

    def _require_open(self) -> None:
        if self._closing:
            raise StoreUnavailable(_STOPPING)

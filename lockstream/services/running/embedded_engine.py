"""The engine of the embedded store: batches and reads of one subject on the event loop; all else in threads.

A read sees all decided events. If these include an unflushed change of the same locker, the read waits for the flush.
So a read shows every event that was acknowledged before the read began, and no event that a failing disk may lose.

A list is read from the projection alone, once a checkpoint has brought the projection up to all acknowledged events. A
list of one subject does not wait if the subject has not changed since the last checkpoint.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.feed import EMPTY_LOG_ID
from lockstream.core.entities.subjects import Subject
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import EventLog, Listings, LogPages, ReadResult, Reads
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.services.running.checkpointer import Checkpointer
from lockstream.services.running.durable_position import DurablePosition
from lockstream.services.running.group_commit import STOPPING, HasLockerId, Outcomes, decide_batch
from lockstream.services.running.telemetry.attempts import SharedRead
from lockstream.services.running.telemetry.counts import FileCounts
from lockstream.services.running.telemetry.figures import StorageFigures, StorageKind
from lockstream.services.running.telemetry.growth import events_a_day, lag_seconds

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import Tracing

LISTING_THREADS = 2
"""Lists that are read at the same time. More would wait for the global interpreter lock."""

LOG_READING_THREADS = 2
"""Pages of the feed that are read at the same time."""


class EmbeddedEngine:
    """Decides batches on the embedded store, and answers reads. For one event loop."""

    nodes = None
    weight_bytes = 512
    """With 250 events in a batch, some 128 KiB are decoded at most before other requests are served."""

    def __init__(self, store: EmbeddedStore, batch_limit: int, tracing: "Tracing | None" = None) -> None:
        self.batch_limit = batch_limit
        self.on_ready: Callable[[], object] = lambda: None
        self.log: EventLog = store.log
        self.durable = DurablePosition(store.log)
        self.checkpointer = _checkpointer(store, self.durable, self._notify_ready, tracing)
        self._store = store
        self._listers = ThreadPoolExecutor(LISTING_THREADS, "lockstream-list")
        self._log_readers = ThreadPoolExecutor(LOG_READING_THREADS, "lockstream-feed")
        self._unflushed: deque[tuple[int, set[str]]] = deque()
        """The end position of each unflushed batch, with the ids of the lockers that the batch may have changed."""

        self._disk_reader = ThreadPoolExecutor(1, "lockstream-disk")
        self._log_id = SharedRead(lambda: self.read_log(lambda pages: pages.page(0, 0).log_id))
        self._space = SharedRead(lambda: self._in_thread(self._disk_reader, partial(_space, store)))
        self._growth = SharedRead(lambda: self._in_list_thread(lambda: _Growth(store.list(events_a_day).value)))
        self._has_discarded_unflushed = self._is_closed = False

    @property
    def is_overloaded(self) -> bool:
        return self.checkpointer.is_overloaded

    @property
    def unavailable_reason(self) -> str | None:
        return self.log.unavailable_reason or self.checkpointer.unavailable_reason

    def decide(self, events: Sequence[Event], on_decided: Callable[[Outcomes], object]) -> None:
        if reason := self.checkpointer.unavailable_reason:
            on_decided([StoreUnavailable(reason) for _ in events])
            return
        outcomes = decide_batch(events, self._store.unit_of_work)
        if not self.log.failure:  # a failed log appends nothing, so no entry would ever be removed
            self._forget_flushed()
            self._unflushed.append((self.log.end.position, {event.locker_id for event in events}))
        on_decided(outcomes)
        self.checkpointer.after_batch()

    async def read[ValueT: HasLockerId](self, query: Callable[[Reads], ValueT | None]) -> ReadResult[ValueT | None]:
        if not self.log.failure:
            value, position = query(self._store.reads), self.log.end.position
            try:
                await self.durable.reached(self._last_change(value.locker_id) if value else 0)
                return ReadResult(value, min(position, self.durable.current))
            except StoreUnavailable:  # the log failed meanwhile, and the value may never be durable
                pass
        await self._discard_unflushed()
        return ReadResult(query(self._store.reads), self.durable.current)

    async def list[ValueT](
        self, query: Callable[[Listings], ValueT], at: int | None = None, subject: Subject | None = None
    ) -> ReadResult[ValueT]:
        if not self.log.failure:
            acknowledged = self.durable.current
            if subject and not self._store.has_changed(subject):
                value, position = await self._in_list_thread(partial(self._store.list, query))
                return ReadResult(value, max(position, acknowledged))
            try:
                await self.checkpointer.reached(acknowledged if at is None else min(at, acknowledged))
            except StoreUnavailable:  # the log may have failed meanwhile; lists of durable events go on then
                if not self.log.failure:
                    raise
        if self.log.failure:
            await self._discard_unflushed()
            await self.checkpointer.reached(self.durable.current)
        return await self._in_list_thread(partial(self._store.list, query))

    async def read_log[ValueT](self, query: Callable[[LogPages], ValueT]) -> ValueT:
        if self._is_closed:
            raise StoreUnavailable(STOPPING)
        return await asyncio.get_running_loop().run_in_executor(self._log_readers, query, self._store.log_pages)

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        return await self.durable.watch.wait_beyond(position, seconds)

    async def newest_position(self) -> int:
        return self.durable.current

    @property
    def is_stopping(self) -> bool:
        return self.durable.watch.is_stopped

    async def figures(self) -> StorageFigures:
        store, log = self._store, self._store.log
        log_id, space, growth = await asyncio.gather(
            self._log_id.in_time(), self._space.in_time(), self._growth.in_time()
        )
        missing = [name for name, found in (("disk", space), ("growth", growth)) if found is None]
        return StorageFigures(
            kind=StorageKind.FILE,
            log_name=str(log.path),
            log_id=log_id or EMPTY_LOG_ID,
            appended_position=log.end.position,
            durable_position=self.durable.current,
            head=self.durable.current,
            projection_position=store.checkpointed,
            projection_lag_seconds=lag_seconds(store.behind_since),
            log_bytes=log.durable.offset,
            projection_bytes=space and space.projection_bytes,
            disk_free_bytes=space and space.free_bytes,
            events_a_day=growth and growth.events_a_day,
            log_failure=log.failure,
            projection_failure=self.checkpointer.failure,
            missing=tuple(missing),
        )

    @property
    def counts(self) -> FileCounts:
        store, checkpointer = self._store, self.checkpointer
        cache, compactions = store.cache, store.compactions
        return FileCounts(
            flush_seconds=store.log.flush_seconds.read(),
            checkpoint_seconds=checkpointer.seconds.read(),
            checkpoint_failures=checkpointer.failures,
            batches=cache.counts.batches,
            missing_batches=cache.counts.missing_batches,
            read_rows=cache.counts.read_rows,
            cached_rows=cache.rows,
            changed_rows=cache.changed_count,
            memtable_ids=len(cache.ids.memtable),
            run_ids=cache.ids.run_size,
            compactions=compactions.finished,
            failed_compactions=compactions.failed,
        )

    def stop_waiting(self) -> None:
        self.durable.watch.stop()

    async def close(self) -> None:
        self.stop_waiting()
        self._is_closed = True
        for threads in (self._listers, self._log_readers, self._disk_reader):  # the store closes their files
            await asyncio.to_thread(threads.shutdown)
        await self.checkpointer.close()

    async def _in_list_thread[ValueT](self, read: Callable[[], ValueT]) -> ValueT:
        return await self._in_thread(self._listers, read)

    async def _in_thread[ValueT](self, threads: ThreadPoolExecutor, read: Callable[[], ValueT]) -> ValueT:
        if self._is_closed:
            raise StoreUnavailable(STOPPING)
        return await asyncio.get_running_loop().run_in_executor(threads, read)

    def _notify_ready(self) -> None:
        self.on_ready()

    def _last_change(self, locker_id: str) -> int:
        """Return the end position of the newest unflushed batch that may have changed a locker, or 0."""
        self._forget_flushed()
        return next((end for end, lockers in reversed(self._unflushed) if locker_id in lockers), 0)

    def _forget_flushed(self) -> None:
        while self._unflushed and self._unflushed[0][0] <= self.durable.current:
            self._unflushed.popleft()

    async def _discard_unflushed(self) -> None:
        """Once the log has failed, drop unflushed events from memory, so that reads show durable ones only."""
        await self.checkpointer.wait_idle()
        if not self._has_discarded_unflushed:
            self._store.discard_unflushed()
            self._has_discarded_unflushed = True
            self.checkpointer.forget_failure()


class _Space(NamedTuple):
    """The disk of a log and its projection."""

    free_bytes: int
    projection_bytes: int


class _Growth(NamedTuple):
    """The growth of a log, or None if the log is too young to have a rate."""

    events_a_day: float | None


def _space(store: EmbeddedStore) -> _Space:
    """Return the space of the disk. For any thread. Raises OSError or StoreUnavailable."""
    return _Space(store.log.free_bytes, store.projection_bytes())


def _checkpointer(
    store: EmbeddedStore, durable: DurablePosition, on_caught_up: Callable[[], object], tracing: "Tracing | None"
) -> Checkpointer:
    if tracing is None:
        return Checkpointer(store, durable, on_caught_up)
    from lockstream.services.running.telemetry.traces.traced_checkpointer import TracedCheckpointer  # noqa: PLC0415

    return TracedCheckpointer(store, durable, on_caught_up, tracing)

"""The engine of a store in a database: each batch and each read waits for the database in a thread.

Requests that arrive while a batch is decided form the next batch. A read reflects the commits of the database,
or of its read replica.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from lockstream.core.entities.events import Event
from lockstream.core.entities.feed import EMPTY_LOG_ID
from lockstream.core.entities.subjects import Subject
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import EventLog, Listings, LogPages, ReadResult, Reads, UnitOfWork
from lockstream.infrastructure.postgres.connection import READ_CONNECTIONS
from lockstream.infrastructure.stores.postgres import Heads, PostgresStore
from lockstream.services.running.durable_position import DurablePosition
from lockstream.services.running.group_commit import HasLockerId, Outcomes, decide_batch
from lockstream.services.running.head_watch import HeadWatch
from lockstream.services.running.telemetry.attempts import SharedRead
from lockstream.services.running.telemetry.counts import DatabaseCounts
from lockstream.services.running.telemetry.figures import StorageFigures, StorageKind
from lockstream.services.running.telemetry.growth import lag_seconds

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import Tracing

BATCH_EVENTS = 5_000
"""Most events that are decided together: all of them share two round trips."""

WEIGHT_BYTES = 4_096
"""A larger payload counts as several events, so that one round trip sends some 20 MB at most."""

LOG_READING_THREADS = 2
"""Pages of the feed that are read at the same time. Other reads have threads of their own."""

POLL_SECONDS = 0.1
"""Interval at which a node asks for the head of the log while readers of the feed wait for an event of any node."""


class DatabaseEngine:
    """Decides batches and answers reads on PostgreSQL. For one event loop."""

    batch_limit = BATCH_EVENTS
    weight_bytes = WEIGHT_BYTES
    is_overloaded = False

    def __init__(self, store: PostgresStore, tracing: "Tracing | None" = None) -> None:
        self.on_ready: Callable[[], object] = lambda: None
        self.log: EventLog = store.log
        self.durable = DurablePosition(store.log)
        self.nodes = store.nodes()
        self._store = store
        self._unit_of_work = _transactions(store.unit_of_work, tracing)
        self._decider = ThreadPoolExecutor(1, "lockstream-decide")
        self._readers = ThreadPoolExecutor(READ_CONNECTIONS, "lockstream-read")
        self._log_readers = ThreadPoolExecutor(LOG_READING_THREADS, "lockstream-feed")
        self._heads = SharedRead(self._read_heads)
        self._log_id = SharedRead(lambda: self.read_log(lambda pages: pages.page(0, 0).log_id))
        self._head = 0
        """The head of the log at the last poll."""

        self._watch = HeadWatch(lambda: self._head)
        self._polling: asyncio.Task[None] | None = None

    @property
    def unavailable_reason(self) -> str | None:
        return self.log.unavailable_reason

    def decide(self, events: Sequence[Event], on_decided: Callable[[Outcomes], object]) -> None:
        loop = asyncio.get_running_loop()
        deciding = loop.run_in_executor(self._decider, decide_batch, events, self._unit_of_work)
        deciding.add_done_callback(lambda decided: on_decided(decided.result()))

    async def read[ValueT: HasLockerId](self, query: Callable[[Reads], ValueT | None]) -> ReadResult[ValueT | None]:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.read, query)

    async def list[ValueT](
        self,
        query: Callable[[Listings], ValueT],
        at: int | None = None,  # unused, as is the subject: no read of a database waits for a checkpoint
        subject: Subject | None = None,
    ) -> ReadResult[ValueT]:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.list, query)

    async def read_log[ValueT](self, query: Callable[[LogPages], ValueT]) -> ValueT:
        pages = self._store.log_pages
        return await asyncio.get_running_loop().run_in_executor(self._log_readers, query, pages)

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        self._head = min(self._head, position)  # where the last page ended; the next poll finds later events
        self._polling = self._polling or asyncio.get_running_loop().create_task(self._poll())
        return await self._watch.wait_beyond(position, seconds)

    async def newest_position(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.newest_position)

    @property
    def is_stopping(self) -> bool:
        return self._watch.is_stopped

    async def figures(self) -> StorageFigures:
        log, heads, log_id = self._store.log, None, None
        if not log.unavailable_reason:
            heads, log_id = await asyncio.gather(self._heads.in_time(), self._log_id.in_time())
        end, since = heads.primary if heads else log.end, heads and heads.replica_behind_since
        return StorageFigures(
            kind=StorageKind.POSTGRESQL,
            log_name=log.name,
            log_id=log_id or EMPTY_LOG_ID,
            appended_position=log.end.position,
            durable_position=log.end.position,
            head=end.position,
            projection_position=log.end.position,
            log_bytes=end.offset,
            replica_position=heads and heads.replica,
            replica_lag_seconds=lag_seconds(since) if heads and heads.replica is not None else None,
            replica_failure=heads and heads.replica_failure,
            missing=() if heads or log.unavailable_reason else ("database",),
        )

    @property
    def counts(self) -> DatabaseCounts:
        databases, log = self._store.counts, self._store.log
        return DatabaseCounts(
            lock_seconds=log.lock_seconds.read(),
            commit_seconds=log.commit_seconds.read(),
            round_trips=sum(database.round_trips for database in databases),
            connections=sum(database.connections for database in databases),
        )

    async def _read_heads(self) -> Heads:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.heads)

    def stop_waiting(self) -> None:
        self._watch.stop()

    async def close(self) -> None:
        self.stop_waiting()
        if self._polling:
            await asyncio.wait([self._polling])
        self._decider.shutdown(wait=False)
        self._readers.shutdown(wait=False)
        self._log_readers.shutdown(wait=False)

    async def _poll(self) -> None:
        """Ask for the head of the log while readers wait: one query per interval, for the events of all nodes."""
        try:
            while self._watch.waiters and not self._watch.is_stopped:
                with suppress(StoreUnavailable):  # the next read of the log raises the error
                    head = await asyncio.get_running_loop().run_in_executor(self._readers, self._store.head)
                    if head != self._head:
                        self._head = head
                        self._watch.notify()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._polling = None


def _transactions(unit_of_work: Callable[[], UnitOfWork], tracing: "Tracing | None") -> Callable[[], UnitOfWork]:
    if tracing is None:
        return unit_of_work
    from lockstream.services.running.telemetry.traces.traced_transactions import traced_transactions  # noqa: PLC0415

    return traced_transactions(tracing, unit_of_work)

"""The engine of a store in a database: each batch and each read waits for the database in a thread.

Requests that arrive while a batch is decided form the next batch. A read reflects the commits of the database,
or of its read replica.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lockstream.core.entities.events import Event
from lockstream.core.ports import EventLog, Listings, ReadResult, Reads
from lockstream.infrastructure.postgres.connection import READ_CONNECTIONS
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.running.durable_position import DurablePosition
from lockstream.services.running.group_commit import HasLockerId, Outcomes, decide_batch

BATCH_EVENTS = 5_000
"""Most events that are decided together: all of them share two round trips."""

WEIGHT_BYTES = 4_096
"""A larger payload counts as several events, so that one round trip sends some 20 MB at most."""


class DatabaseEngine:
    """Decides batches and answers reads on PostgreSQL. For one event loop."""

    batch_limit = BATCH_EVENTS
    weight_bytes = WEIGHT_BYTES
    is_overloaded = False

    def __init__(self, store: PostgresStore) -> None:
        self.on_ready: Callable[[], object] = lambda: None
        self.log: EventLog = store.log
        self.durable = DurablePosition(store.log)
        self._store = store
        self._decider = ThreadPoolExecutor(1, "lockstream-decide")
        self._readers = ThreadPoolExecutor(READ_CONNECTIONS, "lockstream-read")

    @property
    def unavailable_reason(self) -> str | None:
        return self.log.unavailable_reason

    def decide(self, events: Sequence[Event], on_decided: Callable[[Outcomes], object]) -> None:
        loop = asyncio.get_running_loop()
        deciding = loop.run_in_executor(self._decider, decide_batch, events, self._store.unit_of_work)
        deciding.add_done_callback(lambda decided: on_decided(decided.result()))

    async def read[ValueT: HasLockerId](self, query: Callable[[Reads], ValueT | None]) -> ReadResult[ValueT | None]:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.read, query)

    async def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._store.list, query)

    async def close(self) -> None:
        self._decider.shutdown(wait=False)
        self._readers.shutdown(wait=False)

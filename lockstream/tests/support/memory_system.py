"""A running system in memory, so that a test can open hundreds of them."""

from collections.abc import Callable, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.quarantine import QuarantineLimits
from lockstream.core.entities.subjects import Subject
from lockstream.core.ports import EventLog, Listings, LogPages, ReadResult, Reads
from lockstream.infrastructure.quarantine.store import FileQuarantine
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.services.running.durable_position import DurablePosition
from lockstream.services.running.group_commit import HasLockerId, Outcomes, decide_batch
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.telemetry.figures import StorageFigures, StorageKind
from lockstream.settings import Settings


def open_in_memory() -> Lockstream:
    """Return a running system over a store in memory."""
    store, settings = MemoryStore(), Settings()
    quarantine = FileQuarantine(QuarantineLimits())
    return Lockstream(store, _MemoryEngine(store, settings.batch_limit), settings, quarantine)


class _MemoryEngine:
    is_overloaded = False
    weight_bytes = 2**30
    counts = None
    nodes = None
    unavailable_reason = None

    def __init__(self, store: MemoryStore, batch_limit: int) -> None:
        self.batch_limit = batch_limit
        self.on_ready: Callable[[], object] = lambda: None
        self.log: EventLog = store.log
        self.durable = DurablePosition(store.log)
        self._store = store

    def decide(self, events: Sequence[Event], on_decided: Callable[[Outcomes], object]) -> None:
        on_decided(decide_batch(events, self._store.unit_of_work))

    async def read[ValueT: HasLockerId](self, query: Callable[[Reads], ValueT | None]) -> ReadResult[ValueT | None]:
        return ReadResult(query(self._store.reads), self.log.end.position)

    async def list[ValueT](
        self,
        query: Callable[[Listings], ValueT],
        at: int | None = None,  # of a protocol, as is the subject
        subject: Subject | None = None,
    ) -> ReadResult[ValueT]:
        return ReadResult(query(self._store.listings), self.log.end.position)

    async def read_log[ValueT](self, query: Callable[[LogPages], ValueT]) -> ValueT:
        return query(self._store.log_pages)

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        return await self.durable.watch.wait_beyond(position, seconds)

    async def newest_position(self) -> int:
        return self.durable.current

    @property
    def is_stopping(self) -> bool:
        return self.durable.watch.is_stopped

    async def figures(self) -> StorageFigures:
        position = self.durable.current
        return StorageFigures(
            kind=StorageKind.FILE,
            log_name="memory",
            log_id=self._store.log_pages.page(0, 0).log_id,
            appended_position=self.log.end.position,
            durable_position=position,
            head=position,
            projection_position=position,
            log_bytes=self.log.end.offset,
        )

    def stop_waiting(self) -> None:
        self.durable.watch.stop()

    async def close(self) -> None:
        self.stop_waiting()

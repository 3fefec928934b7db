"""A store that is slow and has a fault in it, where a test asks for it. All else in it is real."""

import asyncio
from collections.abc import Sequence
from threading import Event as Signal

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Slice
from lockstream.core.keys import Keys
from lockstream.infrastructure.embedded import EmbeddedStore
from lockstream.infrastructure.unit_of_work import UnitOfWork
from lockstream.services.ingestion import Ingestion
from lockstream.services.lockstream import Lockstream
from lockstream.services.wiring import Settings

PATIENCE_SECONDS = 20
"""How long a batch or a test waits for the other before it gives up; a slow machine is no fault."""

POISON = "poison"
"""A reservation id that sets off a fault."""


class AilingStore(EmbeddedStore):
    """Each batch waits for `gate`, as if the disk took its time. The gate is open at first."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.event_log_path, settings.working_set_rows)
        self.batches: list[int] = []
        self.gate = Signal()
        self._at_gate = Signal()
        self.gate.set()

    def unit_of_work(self) -> UnitOfWork:
        return _Ailing(self)

    def shut_gate(self) -> None:
        self.gate.clear()
        self._at_gate.clear()

    async def at_gate(self) -> None:
        """Wait until a batch does."""
        assert await asyncio.to_thread(self._at_gate.wait, PATIENCE_SECONDS)

    def wait(self, batch: int) -> None:
        self.batches.append(batch)
        self._at_gate.set()
        if not self.gate.wait(PATIENCE_SECONDS):
            self.gate.set()
            raise TimeoutError("nobody has opened the gate")


class _Ailing(UnitOfWork):
    def __init__(self, store: AilingStore) -> None:
        super().__init__(store.log, store._rows)
        self._store = store

    def prefetch(self, events: Sequence[Event]) -> None:
        self._store.wait(len(events))
        super().prefetch(events)

    def load(self, keys: Keys) -> Slice:
        if keys.reservation == POISON:
            raise ZeroDivisionError
        return super().load(keys)


def running_on(store: AilingStore, settings: Settings) -> Lockstream:
    """The system over `store`, wired as `settings` say."""
    ingestion = Ingestion(store, queue_limit=settings.queue_limit, batch_limit=settings.batch_limit)
    return Lockstream(store, ingestion, max_event_bytes=settings.max_event_bytes)

"""An embedded store whose flushes wait for a gate, and in which one event causes an internal error."""

import asyncio
from collections.abc import Sequence

from lockstream.core.entities.events import Event
from lockstream.core.ports import Batch
from lockstream.core.read_set import ReadSet
from lockstream.infrastructure.file_log.flush_thread import FlushThread, OnFlushed
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings

TIMEOUT_SECONDS = 20
"""Time that a test waits for what must happen. It is long, so that a slow machine fails no test."""

POISON = "poison"
"""A reservation id that causes an internal error."""


class FaultyStore(EmbeddedStore):
    """A store whose flushes end only while the gate is open, as it is at first. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.event_log_path, settings.row_cache_rows)
        self.batches: list[int] = []
        """Number of events in each batch."""

        self.flushes: list[int] = []
        """Position that each flush made durable."""

        self._gated = _GatedFlushThread(self.log._file, self)
        self.log._flush_thread = self._gated

    def unit_of_work(self) -> UnitOfWork:
        return _FaultyUnitOfWork(self)

    def shut_gate(self) -> None:
        """Hold back flushes from now on."""
        self._gated.is_open = False
        self._gated.is_waiting.clear()

    def open_gate(self) -> None:
        """Let all flushes end."""
        self._gated.release()

    async def flush_waits(self) -> None:
        """Wait until a flush waits at the gate."""
        await asyncio.wait_for(self._gated.is_waiting.wait(), TIMEOUT_SECONDS)


def running_on(store: EmbeddedStore, settings: Settings) -> Lockstream:
    """Return a running system over `store`."""
    return Lockstream(store, EmbeddedEngine(store, settings.batch_limit), settings)


class _GatedFlushThread(FlushThread):
    """Flushes at once, but reports the end of a flush only while the gate is open."""

    def __init__(self, file: int, store: FaultyStore) -> None:
        super().__init__(file)
        self.is_open = True
        self.is_waiting = asyncio.Event()
        self._store = store
        self._held: list[tuple[OnFlushed, OSError | None]] = []

    def begin(self, on_flushed: OnFlushed) -> None:
        def flushed(error: OSError | None) -> None:
            self._held.append((on_flushed, error))
            self.is_waiting.set()
            if self.is_open:
                self.release()

        self._store.flushes.append(self._store.log.end.position)
        super().begin(flushed)

    def release(self) -> None:
        self.is_open = True
        held, self._held = self._held, []
        for on_flushed, error in held:
            on_flushed(error)


class _FaultyUnitOfWork(UnitOfWork):
    def __init__(self, store: FaultyStore) -> None:
        super().__init__(store.log, store._projection.cache)
        self._store = store

    def fetch(self, events: Sequence[Event], read_sets: Sequence[ReadSet]) -> Batch:
        self._store.batches.append(len(events))
        if any(read_set.reservation == POISON for read_set in read_sets):
            raise ZeroDivisionError
        return super().fetch(events, read_sets)

"""An embedded store whose flushes and checkpoints wait for gates, and in which one event causes an internal error."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Reservation
from lockstream.core.ports import Batch
from lockstream.infrastructure.file_log.flush_thread import FlushThread, OnFlushed
from lockstream.infrastructure.sqlite.checkpoint import Checkpoint
from lockstream.infrastructure.sqlite.database import reading_engine
from lockstream.infrastructure.sqlite.projection import Progress, read_progress
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings

TIMEOUT_SECONDS = 20
"""Time that a test waits for a gate. The time is long, so that a slow machine fails no test."""

POISON = "poison"
"""A reservation id that causes an internal error."""


class FaultyStore(EmbeddedStore):
    """A store whose flushes and checkpoints end only while their gates are open, as they are at first.

    For one event loop.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.event_log_path, settings.row_cache_rows)
        self.batches: list[int] = []
        """Number of events in each batch."""

        self.flushes: list[int] = []
        """Position that each flush made durable."""

        self.checkpoints = 0
        """Number of checkpoints that have begun."""

        self.needs_moves = False
        """Whether pages of SQLite's write-ahead log are moved after each checkpoint."""

        self.notes = 0
        """Number of attempts to note the acknowledged position."""

        self.checkpoint_errors: list[Exception] = []
        """Exceptions that the next checkpoints raise, one each."""

        self.note_errors: list[Exception] = []
        """Exceptions that the next notes of the acknowledged position raise, one each."""

        self._gated = _GatedFlushThread(self.log._file, self)
        self.log._flush_thread = self._gated
        self._checkpoint_gate, self._checkpoint_waits = threading.Event(), threading.Event()
        self._checkpoint_gate.set()
        self._move_gate, self._moving = threading.Event(), threading.Event()
        self._move_gate.set()

    def unit_of_work(self) -> UnitOfWork:
        return _FaultyUnitOfWork(self)

    def begin_checkpoint(self) -> Checkpoint:
        self.checkpoints += 1
        return _FaultyCheckpoint(self)

    @property
    def needs_move(self) -> bool:
        return self.needs_moves

    def move_pages(self) -> None:
        self._moving.set()
        assert self._move_gate.wait(TIMEOUT_SECONDS)
        super().move_pages()

    def note_acknowledged(self) -> None:
        self.notes += 1
        if self.note_errors:
            raise self.note_errors.pop(0)
        super().note_acknowledged()

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

    @contextmanager
    def failing_flushes(self) -> Iterator[None]:
        """Let every flush that begins in the block fail in the kernel: a pipe cannot be flushed."""
        reading, writing = os.pipe()
        file, self._gated._file = self._gated._file, writing
        try:
            yield
        finally:
            self._gated._file = file
            os.close(reading)
            os.close(writing)

    def shut_checkpoint_gate(self) -> None:
        """Hold back checkpoints from now on."""
        self._checkpoint_gate.clear()
        self._checkpoint_waits.clear()

    def open_checkpoint_gate(self) -> None:
        """Let all checkpoints end."""
        self._checkpoint_gate.set()

    async def checkpoint_waits(self) -> None:
        """Wait until a checkpoint waits at its gate."""
        assert await asyncio.to_thread(self._checkpoint_waits.wait, TIMEOUT_SECONDS)

    def shut_move_gate(self) -> None:
        """Move pages after each checkpoint, and hold back each move from now on."""
        self.needs_moves = True
        self._move_gate.clear()

    def open_move_gate(self) -> None:
        """Let all moves end."""
        self._move_gate.set()

    async def move_waits(self) -> None:
        """Wait until a move waits at its gate."""
        assert await asyncio.to_thread(self._moving.wait, TIMEOUT_SECONDS)

    def pass_checkpoint_gate(self) -> None:
        """Wait at the gate, and raise the next of `checkpoint_errors`. Called by the thread of a checkpoint."""
        self._checkpoint_waits.set()
        assert self._checkpoint_gate.wait(TIMEOUT_SECONDS)
        if self.checkpoint_errors:
            raise self.checkpoint_errors.pop(0)


def running_on(store: EmbeddedStore, settings: Settings) -> Lockstream:
    """Return a running system over `store`."""
    return Lockstream(store, EmbeddedEngine(store, settings.batch_limit), settings)


@contextmanager
def locked_projection(log: Path) -> Iterator[None]:
    """Lock the projection of a log, as another program may do: no checkpoint can be written meanwhile."""
    with closing(sqlite3.connect(projection_path(log), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def progress_of(log: Path) -> Progress:
    """Return the progress that the projection of a log states, while a server may write it."""
    engine = reading_engine(projection_path(log))
    try:
        with engine.connect() as connection:
            return read_progress(connection)
    finally:
        engine.dispose()


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


class _FaultyCheckpoint(Checkpoint):
    def __init__(self, store: FaultyStore) -> None:
        projection = store._projection
        super().__init__(projection.cache, projection._compactor, projection.stored)
        self._store = store

    def write(self) -> None:
        self._store.pass_checkpoint_gate()
        super().write()


class _FaultyUnitOfWork(UnitOfWork):
    def __init__(self, store: FaultyStore) -> None:
        super().__init__(store.log, store._projection.cache)
        self._store = store

    def begin(self, events: Sequence[Event]) -> Batch:
        self._store.batches.append(len(events))
        batch = super().begin(events)
        batch.rows.reservations = _FaultyTable(batch.rows.reservations)
        return batch


class _FaultyTable(dict[str, Reservation | None]):
    """Reservations that fail at the poisoned event, when the events before it have already been decided."""

    def __init__(self, rows: dict[str, Reservation | None]) -> None:
        self._rows = rows

    def __getitem__(self, key: str) -> Reservation | None:
        if key == POISON:
            raise ZeroDivisionError
        return self._rows[key]

"""A locker network on each kind of store, which can be stopped in any way and opened again."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from lockstream.core.evolve import evolve
from lockstream.core.outcomes import Outcome
from lockstream.core.ports import Listings, Store
from lockstream.core.rules import decide
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.infrastructure.stores.memory import MemoryLog, MemoryStore
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import Body, event
from lockstream.tests.support.databases import connect

CAPACITY = 3
"""Capacity of the row cache: so small that rows leave memory and come back in every test."""

MEMORY_DISK = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Directory for files of random histories, which flush thousands of times. None depends on what a real disk forgets."""

type Files = dict[Path, bytes]


class Network[StoreT: Store](ABC):
    """A locker network on one kind of store. The methods here suit every store; each adapter adds the differences."""

    restarts: ClassVar[tuple[str, ...]]
    """Names of the methods that restart this kind of store in different ways."""

    store: StoreT

    def ingest(self, *bodies: Body) -> list[Outcome]:
        """Ingest one batch, flush it, and write it to the projection."""
        outcomes = self.ingest_and_flush(*bodies)
        self.checkpoint()
        return outcomes

    def ingest_and_flush(self, *bodies: Body) -> list[Outcome]:
        """Ingest one batch, and flush it."""
        outcomes = ingest([event(body) for body in bodies], self.store.unit_of_work())
        self.store.log.flush()
        return outcomes

    def abandon(self, *bodies: Body) -> None:
        """Decide one batch that is never committed."""
        events = [event(body) for body in bodies]
        with self.store.unit_of_work() as uow:
            known, rows, position = uow.begin(events)
            uow.load(events)
            for one in events:
                if one.event_id not in known and decide(rows, one) is None:
                    position += 1
                    rows.save(evolve(rows, one, position))

    def reopen(self) -> None:
        """Stop and start."""
        self.store.close()
        self.store = self.open()

    def crash(self) -> None:
        """Lose everything in memory and start. On a store without files of its own, this is a restart."""
        self.reopen()

    def rebuild(self) -> None:
        """Stop, lose the projection, and start."""
        self.store.close()
        self.remove_projection()
        self.store = self.open()

    def checkpoint(self) -> None:
        """Write all changes to the projection. Only the embedded store keeps changes in memory first."""
        return

    def remove_projection(self) -> None:
        """Remove the projection of the stopped store, if it has one outside memory."""
        return

    def close(self) -> None:
        self.store.close()

    @abstractmethod
    def open(self) -> StoreT:
        """Return a new store over the same log."""


class MemoryNetwork(Network[MemoryStore]):
    """Its log outlives the store, as a log on disk does."""

    restarts = ("reopen",)

    def __init__(self) -> None:
        self._log = MemoryLog()
        self.store = self.open()

    def open(self) -> MemoryStore:
        return MemoryStore(self._log)


class EmbeddedNetwork(Network[EmbeddedStore]):
    restarts = ("reopen", "crash", "lose_power", "rebuild")

    def __init__(self, path: Path) -> None:
        """`path` is that of the log."""
        self.path = path
        self.store = self.open()
        self._earlier_projection = self._projection_files()

    def open(self) -> EmbeddedStore:
        return EmbeddedStore(self.path, CAPACITY)

    def checkpoint(self) -> None:
        self.store.checkpoint()

    def remove_projection(self) -> None:
        remove_database(projection_path(self.path))

    def crash(self, torn: bytes = b"") -> None:
        """Lose everything in memory and start. `torn` is the part of an unacknowledged batch that is on disk."""
        self._crash(self._projection_files(), torn)

    def lose_power(self) -> None:
        """Crash, and restore the remembered projection, because its commits do not wait for the disk."""
        self._crash(self._earlier_projection)

    def remember_projection(self) -> None:
        """Remember the projection's files for a later loss of power."""
        self._earlier_projection = self._projection_files()

    def _projection_files(self) -> Files:
        path = projection_path(self.path)
        files = [path, path.with_name(f"{path.name}-wal")]
        return {file: file.read_bytes() for file in files if file.exists()}

    def _crash(self, projection: Files, torn: bytes = b"") -> None:
        self.store.close()
        self.remove_projection()
        for path, content in projection.items():
            path.write_bytes(content)
        with self.path.open("ab") as log:
            log.write(torn)
        self.store = self.open()


class PostgresNetwork(Network[PostgresStore]):
    restarts = ("reopen", "rebuild")

    def __init__(self, url: str) -> None:
        """Empty the tables of the database at `url`, which a test before may have filled."""
        self._url = url
        with connect(url) as connection:
            connection.execute(_EMPTY_TABLES)
        self.store = self.open()

    def open(self) -> PostgresStore:
        return PostgresStore(self._url)

    def remove_projection(self) -> None:
        with connect(self._url) as connection:
            connection.execute("DROP TABLE compartments, reservations, faults, progress")


def lists_of(network: Network[Any], query: Callable[[Listings], Any]) -> Any:
    """Return a value of lists, which must reflect the whole log."""
    result = network.store.list(query)
    assert result.position == network.store.log.end.position
    return result.value


_EMPTY_TABLES = """
    DO $$ BEGIN
        TRUNCATE events, compartments, reservations, faults, lockers, moments, network_totals, open_fault_totals;
        INSERT INTO network_totals DEFAULT VALUES;
    EXCEPTION WHEN undefined_table THEN -- a failed test has left no projection, and the next start rebuilds it
        TRUNCATE events;
        DROP TABLE IF EXISTS progress;
    END $$
"""

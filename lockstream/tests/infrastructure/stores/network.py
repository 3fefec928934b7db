"""A locker network on some store, which can be stopped in any way and opened again."""

from contextlib import ExitStack
from pathlib import Path

from lockstream.core.evolve import evolve
from lockstream.core.outcomes import Outcome
from lockstream.core.ports import Store
from lockstream.core.rules import decide
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import Body, event
from lockstream.tests.support.databases import connect, new_database

KINDS = ("memory", "embedded", "postgres")
"""Every store there is."""

CAPACITY = 3
"""Rows in memory: so few that every test lives with rows that come and go."""

type Files = dict[Path, bytes]


class Network:
    def __init__(self, kind: str, path: Path) -> None:
        """`path` is where the log is, where it is a file."""
        self.kind, self.path = kind, path
        self._for_now = ExitStack()
        self._database = self._for_now.enter_context(new_database()) if kind == "postgres" else ""
        self.store: Store = self._open()

    def close(self) -> None:
        self.store.close()
        self._for_now.close()

    def ingest(self, *bodies: Body) -> list[Outcome]:
        """Take in events as one batch, and have reads show it."""
        outcomes = self.ingest_unsettled(*bodies)
        self.store.checkpoint()
        return outcomes

    def ingest_unsettled(self, *bodies: Body) -> list[Outcome]:
        """Take in events as one batch, on the disk; reads may not show it yet."""
        outcomes = self.ingest_unflushed(*bodies)
        self.store.log.flush()
        return outcomes

    def ingest_unflushed(self, *bodies: Body) -> list[Outcome]:
        """Take in events as one batch, of which nobody may hear yet."""
        return ingest([event(body) for body in bodies], self.store.unit_of_work())

    def abandon(self, *bodies: Body) -> None:
        """Take in events as one batch that is never committed."""
        events = [event(body) for body in bodies]
        with self.store.unit_of_work() as uow:
            uow.prefetch(events, [keys(one) for one in events])
            for one in events:
                before = uow.load(keys(one))
                if uow.recorded(one.event_id) is None and decide(before, one) is None:
                    uow.save(before, evolve(before, one))
                    uow.record(one)

    def reopen(self) -> None:
        """Stop and start."""
        self.store.close()
        self.store = self._open()

    def rebuild(self) -> None:
        """Stop, forget all but the log, and start."""
        self.store.close()
        if self.kind == "embedded":
            remove_database(projection_path(self.path))
        elif self.kind == "postgres":
            with connect(self._database) as other:
                other.execute("DROP TABLE compartments, reservations, faults, progress")
        self.store = self._open()

    def projection_files(self) -> Files:
        """The projection as it is on the disk at this moment, for `crash` to put back."""
        path = projection_path(self.path)
        files = [path, path.with_name(f"{path.name}-wal")]
        return {file: file.read_bytes() for file in files if file.exists()}

    def crash(self, projection: Files | None = None, torn: bytes = b"") -> None:
        """Lose all that is in memory and start, from a projection of this moment or a former one.

        `torn` is what had come to the disk of a batch that was never acknowledged.
        """
        left = self.projection_files() if projection is None else projection
        self.store.close()
        if self.kind == "embedded":
            remove_database(projection_path(self.path))
            for path, content in left.items():
                path.write_bytes(content)
            with self.path.open("ab") as log:
                log.write(torn)
        self.store = self._open()

    def _open(self) -> Store:
        if self.kind == "embedded":
            return EmbeddedStore(self.path, CAPACITY)
        if self.kind == "postgres":
            return PostgresStore(self._database)
        store = MemoryStore()
        if hasattr(self, "store"):
            assert isinstance(self.store, MemoryStore)
            store.log = self.store.log
            catch_up(store.rows, store.log.read(store.rows.reached))
        return store

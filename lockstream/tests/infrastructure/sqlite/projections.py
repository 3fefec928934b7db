"""A cached projection over a log in memory, and reads of it."""

from collections.abc import Sequence
from pathlib import Path

from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.sqlite.cached_projection import CachedProjection
from lockstream.infrastructure.sqlite.database import reading_engine
from lockstream.infrastructure.sqlite.overlay_reads import OverlayReads
from lockstream.infrastructure.sqlite.projection import SqliteProjection, projection_reads
from lockstream.infrastructure.stores.memory import MemoryLog
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork
from lockstream.tests.support.builders import Body, event


class LoggedProjection:
    """A cached projection, and the log in memory that it follows."""

    def __init__(self, path: Path, capacity: float) -> None:
        SqliteProjection.create(path).close()
        self.cached = CachedProjection.open(path, capacity)
        self.log = MemoryLog()
        self._engine = reading_engine(path)
        self.stored_reads = projection_reads(self._engine)
        """Reads of the rows in SQLite alone."""

    @property
    def reads(self) -> OverlayReads:
        return OverlayReads(self.cached.cache, self.stored_reads, self.log)

    def ingest(self, bodies: Sequence[Body]) -> None:
        """Ingest each event as a batch of its own. All must be accepted."""
        for body in bodies:
            [outcome] = ingest([event(body)], UnitOfWork(self.log, self.cached.cache))
            assert isinstance(outcome, Accepted)
        self.log.flush()

    def close(self) -> None:
        self._engine.dispose()
        self.cached.close()

"""The embedded projection as a whole: the projection in SQLite, the row cache over it, and the id index beside it."""

from pathlib import Path
from typing import Self

from lockstream.core.ports import EventLog, OnProgress
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.id_index.compactor import CompactionCounts, Compactor
from lockstream.infrastructure.id_index.index import IdIndex
from lockstream.infrastructure.id_index.sorted_run import read_run
from lockstream.infrastructure.sqlite.checkpoint import Checkpoint
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.sqlite.row_cache import CacheCounts, RowCache


class CachedProjection:
    """A projection with its row cache and its id index. For one thread; another thread may write a checkpoint."""

    def __init__(self, projection: SqliteProjection, path: Path, capacity: float) -> None:
        """Load the id index of the projection at `path`. `capacity` bounds the row cache.

        Raises:
            ProjectionInvalid: the id index is damaged.
        """
        self.stored = projection
        self._path, self._capacity = path, capacity
        self.cache_counts, self.compactions = CacheCounts(), CompactionCounts()
        self.cache, self._compactor = self._load()

    @classmethod
    def open(cls, path: Path, capacity: float) -> Self:
        """Open the projection at `path`. Raises what `SqliteProjection.open` raises."""
        projection = SqliteProjection.open(path)
        try:
            return cls(projection, path, capacity)
        except BaseException:
            projection.close()
            raise

    def catch_up(self, log: EventLog, on_progress: OnProgress) -> None:
        """Apply all durable records after the cursor of the projection. The caller writes the last checkpoint.

        Raises what `catch_up` raises.
        """

        def after_chunk() -> None:
            self._compactor.poll(self.cache.reached.position)
            if self.cache.is_full:
                self.checkpoint()
            on_progress(self.cache.reached.position, log.end.position)

        catch_up(self.cache, log.read(self.cache.reached), after_chunk)

    def begin_checkpoint(self) -> Checkpoint:
        """Begin a checkpoint of all that has changed. One at a time; batches may go on meanwhile."""
        return Checkpoint(self.cache, self._compactor, self.stored)

    def checkpoint(self) -> None:
        """Write all that has changed to the projection.

        Raises:
            StoreUnavailable: nothing was written, and the row cache keeps the changes.
        """
        checkpoint = self.begin_checkpoint()
        try:
            checkpoint.write()
        except BaseException:
            checkpoint.rollback()
            raise
        checkpoint.commit()

    def discard_unflushed(self, log: EventLog) -> None:
        """Drop all changes from memory, and apply the durable records of `log` again.

        Raises what `catch_up` raises, and ProjectionInvalid if the id index is damaged; nothing has changed then.
        """
        cache, compactor = self._load()
        catch_up(cache, log.read(cache.reached))
        self._close_ids()
        self.cache, self._compactor = cache, compactor

    def finish_compaction(self) -> None:
        """Wait for a running compaction of the id index."""
        self._compactor.finish()

    def close(self) -> None:
        self._close_ids()
        self.stored.close()

    def _close_ids(self) -> None:
        self._compactor.close()
        self.cache.ids.close()

    def _load(self) -> tuple[RowCache, Compactor]:
        """Return an empty row cache over the projection, with the id index and its compactor."""
        stored = self.stored
        ids = IdIndex(read_run(self._path, stored.run), stored.memtable())
        cache = RowCache(stored, stored.reached, self._capacity, ids, self.cache_counts)
        return cache, Compactor(ids, self._path, stored.run, self.compactions)


def create_projection(path: Path, log: EventLog, capacity: float, on_progress: OnProgress) -> int:
    """Build a projection of all of `log` at `path`, and return the position of its run file, or 0.

    The projection is closed, but not flushed to disk. Raises what `catch_up` raises.
    """
    projection = CachedProjection(SqliteProjection.create(path), path, capacity)
    try:
        projection.catch_up(log, on_progress)
        projection.finish_compaction()
        projection.checkpoint()
        return projection.stored.run.position
    finally:
        projection.close()

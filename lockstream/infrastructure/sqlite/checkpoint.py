"""A checkpoint: one change set on its way from the row cache to the projection."""

from lockstream.core.entities.log import Cursor
from lockstream.infrastructure.id_index.compactor import Compactor
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.sqlite.row_cache import RowCache


class Checkpoint:
    """One checkpoint, which begins when the object is created.

    `write` may run on any thread; `commit` or `rollback` must follow on the cache's thread.
    """

    def __init__(self, cache: RowCache, compactor: Compactor, projection: SqliteProjection) -> None:
        compactor.poll(cache.reached.position)
        self._cache, self._compactor, self._projection = cache, compactor, projection
        self._run = compactor.run
        self._is_needed = cache.reached != cache.checkpointed or compactor.needs_checkpoint
        self._change_set = cache.begin_checkpoint()

    @property
    def reached(self) -> Cursor:
        """The cursor that the projection reaches. The log must be durable up to it before `write`."""
        return self._change_set.reached

    def write(self) -> None:
        """Write the change set to the projection, in one transaction.

        Raises:
            StoreUnavailable: nothing was written.
        """
        if self._is_needed:
            self._projection.write(self._change_set, self._run)

    def commit(self) -> None:
        """Note that the change set was written."""
        self._cache.end_checkpoint(is_written=True)
        self._compactor.confirm(self._run)

    def rollback(self) -> None:
        """Note that the change set was not written: the next checkpoint includes it."""
        self._cache.end_checkpoint(is_written=False)

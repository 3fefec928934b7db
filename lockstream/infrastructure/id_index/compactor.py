"""The compactor: merges the memtable of an id index into a new run file, in the background."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lockstream.infrastructure.id_index.index import Compaction, IdIndex, SortedRun
from lockstream.infrastructure.id_index.sorted_run import RunRef, remove_runs, write_run

logger = logging.getLogger(__name__)


class CompactionCounts:
    """Counts of the compactions of one log's id index. An index that replaces another one goes on with its counts."""

    __slots__ = ("failed", "finished")

    def __init__(self) -> None:
        self.finished = self.failed = 0


class Compactor:
    """Compacts one id index, whose runs are stored beside a projection. For the thread that uses the index."""

    def __init__(self, index: IdIndex, projection: Path, run: RunRef, counts: CompactionCounts | None = None) -> None:
        """`run` is the run that the projection names on disk. Compactions are added to `counts`."""
        self.counts = counts or CompactionCounts()
        self.run = run
        """The newest run. The next checkpoint must name it."""

        self._stored = run
        self._index = index
        self._projection = projection
        self._thread = ThreadPoolExecutor(1, "lockstream-compact")
        self._compaction: Future[tuple[SortedRun, RunRef]] | None = None

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the projection on disk names an older run than the newest."""
        return self.run != self._stored

    def poll(self, position: int) -> None:
        """Start a compaction if one is needed, or take over its result if it has finished.

        `position` is the position of the last event whose id the index holds.
        """
        if self._compaction is None and self._index.needs_compaction and position > self.run.position:
            kept = self._stored, self.run
            compaction = self._index.begin_compaction()
            self._compaction = self._thread.submit(_compact, self._projection, compaction, position, kept)
        elif self._compaction is not None and self._compaction.done():
            self.finish()

    def finish(self) -> None:
        """Wait for a running compaction, and take over its result."""
        if self._compaction is None:
            return
        compaction, self._compaction = self._compaction, None
        try:
            run, self.run = compaction.result()
        except Exception as error:  # noqa: BLE001  # after any failure, the memtable still holds the ids
            logger.warning(
                "The id index could not be compacted (%r). Check the disk; Lockstream tries again by itself.",
                error,
                extra={"event_name": "compaction_failed"},
            )
            self.counts.failed += 1
            self._index.end_compaction(None)
        else:
            self.counts.finished += 1
            self._index.end_compaction(run)

    def confirm(self, run: RunRef) -> None:
        """Note that the projection on disk names `run`, so that older run files may be removed."""
        self._stored = run

    def close(self) -> None:
        """Wait for a running compaction, and stop the thread."""
        self.finish()
        self._thread.shutdown()


def _compact(
    projection: Path, compaction: Compaction, position: int, kept: tuple[RunRef, ...]
) -> tuple[SortedRun, RunRef]:
    # After a power failure, the projection on disk may still name the run that it named before its last checkpoint.
    remove_runs(projection, *kept)
    return write_run(projection, compaction.merge(), position)

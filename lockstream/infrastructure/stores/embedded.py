"""The embedded store: the log in a file, the projection in SQLite beside it, one process."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from glob import escape
from pathlib import Path

from lockstream.core.entities.feed import EMPTY_LOG_ID, LogPage, log_id_of
from lockstream.core.entities.quarantine import AcceptedEvent
from lockstream.core.entities.state import LockerTotals, Reservation
from lockstream.core.entities.subjects import CompartmentSubject, LockerSubject, ReservationSubject, Subject
from lockstream.core.errors import (
    InconsistentHistory,
    LockstreamError,
    ProjectionInvalid,
    StartRefused,
    StoreUnavailable,
)
from lockstream.core.ports import Listings, OnProgress, ReadResult, ignore_progress
from lockstream.core.wording import counted
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.fs import is_missing, sync_directory
from lockstream.infrastructure.id_index.compactor import CompactionCounts
from lockstream.infrastructure.id_index.sorted_run import remove_runs, run_path
from lockstream.infrastructure.sqlite.cached_projection import CachedProjection, create_projection
from lockstream.infrastructure.sqlite.checkpoint import Checkpoint
from lockstream.infrastructure.sqlite.database import (
    CORRUPT_DATA_ERRORS,
    connect_for_writing,
    has_long_wal,
    reading_engine,
    remove_database,
)
from lockstream.infrastructure.sqlite.listings import SqliteListings
from lockstream.infrastructure.sqlite.overlay_reads import OverlayReads
from lockstream.infrastructure.sqlite.projection import projection_reads, read_progress
from lockstream.infrastructure.sqlite.row_cache import RowCache
from lockstream.infrastructure.sqlite.snapshot_gate import SnapshotGate
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)


def projection_path(log_path: Path) -> Path:
    """Return the path of a log's projection, beside it. The file may be removed while no server runs."""
    return Path(f"{log_path}.projection.sqlite")


def acknowledged(projection: Path) -> int:
    """Return how many events a projection knows to be durable, or 0 if there is no readable projection.

    Raises:
        StartRefused: another program has locked the projection for too long.
    """
    if not projection.exists():
        return 0
    try:
        with connect_for_writing(projection) as connection:  # recovers the write-ahead log that a crash has left
            return read_progress(connection).acknowledged
    except (ProjectionInvalid, *CORRUPT_DATA_ERRORS):
        return 0


def remove_projection(path: Path) -> None:
    """Remove a projection, if there is one, while nobody uses it. The next start builds it again."""
    remove_database(path)
    remove_runs(path)


def rebuild(log_path: Path, capacity: float, on_progress: OnProgress = ignore_progress) -> None:
    """Build a new projection of a log, and replace the old projection by it.

    Raises:
        StartRefused: another process has the log or the projection open; the old projection is unchanged.
        LogDamaged: a line is damaged; the old projection is unchanged.
        OSError: the log is missing, or the file system does not work.
    """
    log_path.stat()  # without this, a missing log would be created
    path = projection_path(log_path)
    with closing(LogWriter(log_path, lambda: acknowledged(path), may_be_older=True)) as log:
        _rebuild(log, capacity, on_progress)


class EmbeddedStore:
    """A locker network on one machine. For one thread at a time, except for lists and the writing of a checkpoint."""

    def __init__(
        self,
        log_path: Path,
        capacity: float,
        on_progress: OnProgress = ignore_progress,
        min_free_bytes: int = 0,
    ) -> None:
        """Open log and projection, and apply the rest of the log. A projection that does not fit is rebuilt.

        `capacity` bounds the row cache. While the disk has less than `min_free_bytes` free, no event is accepted.

        Raises:
            StartRefused: another process has the log or the projection open, the log cannot be opened or created, or
                the log is missing although the projection has seen events.
            LogDamaged: a line is damaged, or acknowledged events are missing.
            InconsistentHistory: the log was not written by these rules.
            OSError: the file system does not work.
        """
        path = projection_path(log_path)
        if is_missing(log_path):  # checked first, because a log that is missing would be created
            _require_no_events(log_path, path)
        self.log = LogWriter(log_path, lambda: acknowledged(path), min_free_bytes=min_free_bytes)
        try:
            self._projection = _open_projection(self.log, path, capacity, on_progress)
        except BaseException:
            self.log.close()
            raise
        self._engine = reading_engine(path)
        self._stored_reads = projection_reads(self._engine)
        self._listings = SqliteListings(path, self.log.reader())
        self.log_pages = FilePages(self.log)
        self._path, self._snapshots = path, SnapshotGate()
        self._renew_reads()

    def unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self._projection.cache)

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list on the projection, and return its value with the position that it reflects.

        For any thread, at any time. A list shows the state of the last checkpoint.

        Raises:
            StoreUnavailable: the projection cannot be read.
        """
        with self._snapshots.snapshot():
            return self._listings.list(query)

    def has_changed(self, subject: Subject) -> bool:
        """Return whether a list of a subject may differ from one after the next checkpoint.

        Each event changes the totals of its locker. An event of a reservation changes the reservation, too.
        """
        cache = self._projection.cache
        match subject:
            case ReservationSubject(reservation_id):
                return cache.has_changed(Reservation, reservation_id)
            case LockerSubject(locker_id) | CompartmentSubject(locker_id):
                return cache.has_changed(LockerTotals, locker_id)

    def accepted_among(self, event_ids: Sequence[str]) -> Sequence[AcceptedEvent]:
        """Return the events with one of `event_ids`, UUIDs in lower case, that the log holds.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        ids = self._projection.cache.ids
        found = ids.positions(event_ids, ids.candidate_blocks(event_ids), self.log.event_ids).values()
        return [AcceptedEvent(record.event, record.end.position) for record in self.reads.records(sorted(found))]

    @property
    def checkpointed(self) -> int:
        """Position that the projection on disk has reached."""
        return self._projection.cache.checkpointed.position

    @property
    def behind_since(self) -> int | None:
        """Recorded time of the first event that the projection on disk lacks, or None if it lacks none."""
        cache = self._projection.cache
        return cache.time_at(self.checkpointed + 1) if self.checkpointed < cache.reached.position else None

    @property
    def compactions(self) -> CompactionCounts:
        """Counts of the compactions of the id index."""
        return self._projection.compactions

    @property
    def cache(self) -> RowCache:
        """The row cache. For the thread of the store alone."""
        return self._projection.cache

    def projection_bytes(self) -> int:
        """Return the size of the files of the projection. For any thread. Raises OSError."""
        sizes = []
        for path in self._path.parent.glob(f"{escape(self._path.name)}*"):
            with suppress(FileNotFoundError):  # a compaction has removed the file
                sizes.append(path.stat().st_size)
        return sum(sizes)

    @property
    def needs_checkpoint(self) -> bool:
        """Whether enough rows have changed for a checkpoint to be due."""
        return self._projection.cache.needs_checkpoint

    @property
    def is_full(self) -> bool:
        """Whether more changed rows wait in memory than the row cache should hold."""
        return self._projection.cache.is_full

    @property
    def is_overloaded(self) -> bool:
        """Whether events should wait for the checkpoint."""
        return self._projection.cache.is_overloaded

    def begin_checkpoint(self) -> Checkpoint:
        """Begin a checkpoint of all events in the log. One at a time; batches may go on meanwhile."""
        return self._projection.begin_checkpoint()

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint. Lists wait meanwhile if SQLite needs a moment without them. For any thread.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with self._snapshots.shut() if has_long_wal(self._path) else nullcontext():
            checkpoint.write()

    @property
    def needs_move(self) -> bool:
        """Whether SQLite should move pages from its write-ahead log to the database file."""
        return self._projection.stored.needs_move

    def move_pages(self) -> None:
        """Let SQLite move pages from its write-ahead log. Not during a checkpoint. For the thread of `write`."""
        self._projection.stored.move_pages()

    def checkpoint(self) -> None:
        """Flush the log, and write all that has changed to the projection.

        Raises:
            StoreUnavailable: the projection stays behind the log.
        """
        self.log.flush()
        self._projection.checkpoint()

    def checkpoint_if_full(self) -> None:
        """Write a checkpoint if the row cache is full. Raises what `checkpoint` raises."""
        if self.is_full:
            self.checkpoint()

    def note_acknowledged(self) -> None:
        """Note in the projection how many events are durable, so that the start after a failure of the log checks it.

        Raises:
            StoreUnavailable: the note was not written.
        """
        self._projection.stored.note_acknowledged(self.log.durable.position)

    def discard_unflushed(self) -> None:
        """Drop unflushed events from memory, after the log has failed.

        Raises:
            StoreUnavailable: the durable events cannot be read again.
        """
        try:
            self._projection.discard_unflushed(self.log)
        except (LockstreamError, OSError) as error:
            raise StoreUnavailable(f"The durable events cannot be read after the log has failed. {error}") from error
        reached, durable = self._projection.cache.reached.position, self.log.durable.position
        if reached < durable:  # another program has truncated the file
            raise StoreUnavailable(
                f"The log {self.log.path} and its projection hold only {reached:,} of "
                f"{counted(durable, 'acknowledged event')}, so reads are refused. Stop Lockstream, and restore the log "
                "from a copy."
            )
        self._renew_reads()

    def close(self) -> None:
        if self.log.failure:
            with suppress(StoreUnavailable):
                self.note_acknowledged()
        self._listings.close()
        self.log_pages.close()
        self._engine.dispose()
        self._projection.close()
        self.log.close()

    def _renew_reads(self) -> None:
        """Make `reads` use the present row cache, which `discard_unflushed` replaces."""
        self.reads = OverlayReads(self._projection.cache, self._stored_reads, self.log)


class FilePages:
    """Pages of a log file. Implements `LogPages`."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self._reader = log.reader()
        self._log_id = EMPTY_LOG_ID

    def page(self, after: int, count: int) -> LogPage:
        end = self._log.durable
        if end.position and self._log_id == EMPTY_LOG_ID:
            [first] = self._reader.records([1], end)
            self._log_id = log_id_of(first.end.chain)
        return LogPage(self._reader.lines(after, count, end), end.position, self._log_id)

    def close(self) -> None:
        self._reader.close()


def _require_no_events(log_path: Path, projection: Path) -> None:
    """Require that the projection of a missing log has seen no event, so that an empty log may be created."""
    if seen := acknowledged(projection):
        raise StartRefused(
            f"The log {log_path.absolute()} is missing, and the projection beside it has seen "
            f"{counted(seen, 'event')}. Nothing was changed. Put the log back, or check that its disk is mounted. To "
            f"begin an empty log, remove the projection {projection.absolute()}."
        )


def _open_projection(log: LogWriter, path: Path, capacity: float, on_progress: OnProgress) -> CachedProjection:
    """Open the projection of `log` and apply the rest of the log. A projection that does not fit is rebuilt."""
    try:
        return _open_and_catch_up(log, path, capacity, on_progress)
    except (ProjectionInvalid, StoreUnavailable, InconsistentHistory) as error:
        level = logging.WARNING if path.exists() else logging.INFO
        logger.log(
            level,
            "The projection %s is rebuilt from the log. %s",
            path,
            error,
            extra={"event_name": "projection_rebuilt"},
        )
    _rebuild(log, capacity, on_progress)
    return _open_and_catch_up(log, path, capacity, on_progress)


def _open_and_catch_up(log: LogWriter, path: Path, capacity: float, on_progress: OnProgress) -> CachedProjection:
    projection = CachedProjection.open(path, capacity)
    try:
        if not log.contains(projection.cache.reached):
            raise ProjectionInvalid("The projection was made from another log.")
        projection.catch_up(log, on_progress)
        projection.checkpoint()
    except BaseException:
        projection.close()
        raise
    projection.stored.fail_if_locked()
    return projection


def _rebuild(log: LogWriter, capacity: float, on_progress: OnProgress) -> None:
    path = projection_path(log.path)
    building = path.with_name(f"{path.name}.new")
    remove_projection(building)
    try:
        run_position = create_projection(building, log, capacity, on_progress)
        connect_for_writing(building).close()  # so that no start has to wait for readers, to begin a write-ahead log
        with building.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        remove_projection(building)
        raise
    remove_projection(path)
    sync_directory(path.parent)  # else a power failure could bring back the old write-ahead log beside the new database
    if run_position:
        run_path(building, run_position).rename(run_path(path, run_position))
    building.rename(path)
    remove_runs(building)

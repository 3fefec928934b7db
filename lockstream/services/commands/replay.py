"""The replay of `verify`: a temporary projection of a log on disk, so that memory is bounded."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

from sqlalchemy import func, literal_column, select

from lockstream.core.entities.events import CompartmentRegistered, Event, ReservationCreated
from lockstream.core.entities.listings import SUMMED
from lockstream.core.entities.log import Cursor, Moment, Record
from lockstream.core.errors import InconsistentHistory, LogDamaged, ReplayFailed, StoreUnavailable
from lockstream.core.row_set import RowSet
from lockstream.core.rules import decide
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.id_index.index import IdIndex, NewIds, compartment_id_of, reservation_id_of
from lockstream.infrastructure.id_index.sorted_run import NO_RUN
from lockstream.infrastructure.rows.mapping import reason
from lockstream.infrastructure.rows.tables import IS_OPEN, compartments, faults, lockers, progress
from lockstream.infrastructure.sqlite.database import DATABASE_ERRORS
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.sqlite.projection_scan import ProjectionScan
from lockstream.infrastructure.sqlite.row_cache import RowCache
from lockstream.infrastructure.sqlite.used_ids import UsedIds

_SUMS = [func.coalesce(func.sum(lockers.c[name]), literal_column("0")) for name in SUMMED]
_POSITION = select(progress.c.position).scalar_subquery()
_TOTALS = str(select(_POSITION, func.count(), *_SUMS).select_from(lockers))
_OPEN_FAULTS = str(select(faults.c.severity, func.sum(IS_OPEN)).group_by(faults.c.severity))
_LOCKERS = str(select(func.count(compartments.c.locker_id.distinct())))

CACHED_ROWS = 50_000
"""Bound of the row cache of a replay, some 400 bytes a row. With 20,000 rows, `verify` takes a third longer."""

TEMPORARY_BYTES = 250
"""Bytes of temporary files for each event: 249 in a log of 1.6 million events of `make bench`."""


@contextmanager
def replaying(
    folder: Path, events: int, read: Callable[[Cursor], Iterator[Record]], on_progress: Callable[[int], object]
) -> Iterator["Replay"]:
    """Context manager that yields a replay of some number of events, whose temporary files are in `folder`.

    `read` yields the records after a cursor. The files are unlinked as soon as they are open, so none is left, however
    the process ends.

    Raises:
        ReplayFailed: the files cannot be written, or the disk has no room for them.
    """
    with ExitStack() as opened:
        try:
            needed, free = events * TEMPORARY_BYTES, disk_usage(folder).free
            if needed > free:
                raise ReplayFailed(folder, f"they need some {needed:,} bytes, and the disk has {free:,} free")
            with explaining(folder), TemporaryDirectory(prefix=".lockstream-verify-", dir=folder) as unlinked:
                path = Path(unlinked) / "projection.sqlite"
                stored = opened.enter_context(closing(SqliteProjection.create(path)))
                connection = opened.enter_context(closing(sqlite3.connect(path)))
                ids = opened.enter_context(closing(UsedIds(Path(unlinked) / "ids.sqlite", folder)))
        except OSError as error:
            raise ReplayFailed(folder, error.strerror or str(error)) from error
        yield Replay(folder, stored, connection, ids, read, on_progress)


@contextmanager
def explaining(folder: Path) -> Iterator[None]:
    """Context manager that raises ReplayFailed if the temporary files in `folder` cannot be used."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise ReplayFailed(folder, reason(error)) from error
    except StoreUnavailable as error:
        cause = error.__cause__
        raise ReplayFailed(folder, reason(cause) if isinstance(cause, Exception) else str(error)) from error


class Replay:
    """A replay of a log into a temporary projection, which notes the events that the rules forbid.

    Each method raises ReplayFailed if the temporary files cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        stored: SqliteProjection,
        connection: sqlite3.Connection,
        ids: UsedIds,
        read: Callable[[Cursor], Iterator[Record]],
        on_progress: Callable[[int], object],
    ) -> None:
        self.rows = _ReplayedRows(connection)
        """The rows up to the last checkpoint."""

        self._ids = ids
        self._folder = folder
        self._stored = stored
        self._cache = RowCache(stored, capacity=CACHED_ROWS, ids=_NoIndex())
        self._read = read
        self._on_progress = on_progress
        self._new_ids: list[tuple[str, int]] = []
        self._refused: dict[int, str] = {}
        """Codes of refusals, by position."""

    @property
    def reached(self) -> Cursor:
        return self._cache.reached

    def advance(self, count: int | None = None) -> None:
        """Replay up to `count` more records, or all, and write a checkpoint. Raises what `catch_up` raises, too."""
        try:
            records = islice(self._read(self.reached), count)
            catch_up(self, records, lambda: self._on_progress(self.reached.position), self._examine)
        except (LogDamaged, InconsistentHistory):
            self._checkpoint()
            raise
        self._checkpoint()

    def fetch(self, events: Sequence[Event]) -> RowSet:
        with explaining(self._folder):
            return self._cache.fetch(events)

    def apply(self, rows: RowSet, events: Sequence[Event], moments: Sequence[Moment], end: Cursor) -> None:
        self._cache.apply(rows, events, moments, end)
        if self._cache.is_full:
            self._checkpoint()

    def note_memtable(self, memtable: Iterable[NewIds]) -> None:
        """Note the memtable of the id index that `missing_ids` examines."""
        with explaining(self._folder):
            self._ids.add_memtable(memtable)

    def missing_ids(self, run: IdIndex, through: int) -> Iterator[str]:
        """Yield the ids used up to position `through` that an id index lacks: neither its sorted run in `run` nor its
        memtable holds them.
        """
        with explaining(self._folder):
            yield from self._ids.missing(run, through)

    def forbidden(self) -> list[str]:
        """Return a sentence for each event that is in the log twice, or that the rules forbid, by position."""
        with explaining(self._folder):
            sentences = {
                later: f"Event {event_id} is in the log twice, at positions {first} and {later}. Restore a copy of the "
                "log that is older than the second."
                for event_id, first, later in self._ids.duplicates()
            }
        for position, code in self._refused.items():
            sentences.setdefault(
                position,
                f"The event at position {position} could not have been accepted: {code}. Restore a copy of the log "
                "that is older than this event.",
            )
        return [sentences[position] for position in sorted(sentences)]

    def _examine(self, record: Record, rows: RowSet) -> None:
        position, event = record.end.position, record.event
        self._new_ids.append((event.event_id, position))
        if isinstance(event, ReservationCreated):
            self._new_ids.append((reservation_id_of(event.payload.reservation_id), position))
        elif isinstance(event, CompartmentRegistered):
            self._new_ids.append((compartment_id_of((event.locker_id, event.payload.compartment_id)), position))
        if refusal := decide(rows, event):
            self._refused[position] = refusal.code

    def _checkpoint(self) -> None:
        with explaining(self._folder):
            self._ids.add(self._new_ids)
            self._stored.write(self._cache.begin_checkpoint(), NO_RUN)
        self._new_ids = []
        self._cache.end_checkpoint(is_written=True)


class _ReplayedRows(ProjectionScan):
    """The rows of a replay. Its totals are sums over these rows, so they are right even if a trigger has miscounted."""

    def totals(self) -> Iterator[tuple[int, ...]]:
        return self._connection.execute(_TOTALS)

    def open_faults(self) -> Iterator[tuple[int, int]]:
        return self._connection.execute(_OPEN_FAULTS)

    def locker_count(self) -> int:
        [(count,)] = self._connection.execute(_LOCKERS)
        return int(count)


class _NoIndex(IdIndex):
    """An id index that holds nothing and rules nothing out, so a row cache looks for each row in its store."""

    def add(self, new: Mapping[str, int]) -> None:
        return

    def candidate_blocks(self, ids: Sequence[str]) -> dict[str, list[int]]:
        return {used: [] for used in ids}

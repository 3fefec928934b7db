"""The store on one machine: the log in a file, the projection in SQLite beside it."""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import HistoryImpossible, LockstreamError, ProjectionUnfit, StoreUnavailable
from lockstream.core.repositories import Queries, Seen
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.backing import Changes
from lockstream.infrastructure.engines import building_engine, reading_engine, remove_database, writing_engine
from lockstream.infrastructure.files import sync_directory
from lockstream.infrastructure.jsonl_event_log import JsonlEventLog
from lockstream.infrastructure.known_keys import KnownKeys, Recent
from lockstream.infrastructure.live_queries import LiveQueries
from lockstream.infrastructure.projection import SqlProjection
from lockstream.infrastructure.queries import settled_queries
from lockstream.infrastructure.run_file import RunKeeper, read_run, remove_runs, run_path
from lockstream.infrastructure.settling import Settling, settle
from lockstream.infrastructure.unit_of_work import UnitOfWork
from lockstream.infrastructure.watching import Watch, unwatched
from lockstream.infrastructure.working_set import WorkingSet

logger = logging.getLogger(__name__)


def projection_path(log_path: Path) -> Path:
    """Where the projection of a log is kept: beside it. It can be removed when no server runs; nothing is lost."""
    return Path(f"{log_path}.projection.sqlite")


def acknowledged(projection: Path) -> int:
    """How many events a projection has seen. It follows the log, so the log must hold as many at least."""
    if not projection.exists():
        return 0
    try:
        with closing(SqlProjection.open(writing_engine(projection), reading_engine(projection))) as seen:
            return seen.reached.position
    except ProjectionUnfit:
        return 0


def remove_projection(path: Path) -> None:
    """Remove a projection, if there is one, while nobody uses it; the next start makes it anew."""
    remove_database(path)
    remove_runs(path)


class EmbeddedStore:
    """A locker network on one machine. For one thread at a time, but for what `begin_settling` gives."""

    remote_readers = 0

    def __init__(self, log_path: Path, capacity: int, watch: Watch = unwatched, disk_floor: int = 0) -> None:
        """Open log and projection, and bring the projection up to the log, from nothing where it does not fit.

        `capacity` bounds the rows kept in memory. While the disk has fewer bytes free than `disk_floor`, no event is
        taken in.

        Raises:
            StartRefused: another process has the log, or it is damaged, or it lacks what was acknowledged.
            HistoryImpossible: the log was not written by these rules.
            OSError: the file system does not let us.
        """
        self.log = JsonlEventLog(log_path, lambda: acknowledged(projection_path(log_path)), disk_floor)
        try:
            self._projection, self._rows = _open_projection(self.log, capacity, watch)
        except BaseException:
            self.log.close()
            raise
        self._capacity = capacity
        self._keeper = RunKeeper(self._rows.known, self._projection, projection_path(log_path))
        self._readers = reading_engine(projection_path(log_path))
        self._settled = settled_queries(self._readers)

    @property
    def queries(self) -> LiveQueries:
        return LiveQueries(self._rows, self._settled)

    def look[FoundT](self, query: Callable[[Queries], FoundT]) -> Seen[FoundT]:
        return Seen(query(self.queries), self.log.end.position)

    def unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self._rows)

    @property
    def due(self) -> bool:
        return self._rows.due

    @property
    def crowded(self) -> bool:
        return self._rows.crowded

    @property
    def behind(self) -> bool:
        return self._rows.behind

    def begin_settling(self) -> Settling:
        self._keeper.tend(self._rows.reached.position)
        return Settling(self._rows, self._projection)

    def settle(self) -> None:
        self.log.flush()
        self._keeper.tend(self._rows.reached.position)
        settle(self._rows, self._projection)

    def fall_back(self) -> None:
        self._keeper.finish()
        # A newer run may hold the keys of events that are not durable, whose positions others will have.
        self._projection.run = self._projection.kept_run
        try:
            rows = _kept_rows(self._projection, projection_path(self.log.path), self._capacity)
            catch_up(rows, self.log.read(rows.reached))
        except (LockstreamError, OSError) as error:
            raise StoreUnavailable(f"What is durable cannot be shown. {error}") from error
        self._keeper.close()
        self._rows, self._keeper = rows, RunKeeper(rows.known, self._projection, projection_path(self.log.path))

    def close(self) -> None:
        self._readers.dispose()
        self._keeper.close()
        self._projection.close()
        self.log.close()


def rebuild(log_path: Path, capacity: int, watch: Watch = unwatched) -> None:
    """Make the projection of a log anew, from nothing, and put it in the old one's place.

    Raises:
        StartRefused: another process has the log, or it is damaged; the old projection is as it was.
    """
    log_path.stat()  # a log that is not there is no log to make
    seen = partial(acknowledged, projection_path(log_path))
    with closing(JsonlEventLog(log_path, seen, may_be_older=True)) as log:
        _rebuild(log, capacity, watch)


def _open_projection(log: JsonlEventLog, capacity: int, watch: Watch) -> tuple[SqlProjection, WorkingSet]:
    """The projection of this log, brought up to it; made anew where there is none that can be."""
    path = projection_path(log.path)
    try:
        return _open_fitting(log, path, capacity, watch)
    except (ProjectionUnfit, StoreUnavailable, HistoryImpossible) as unfit:
        usual = logging.INFO if not path.exists() else logging.WARNING
        logger.log(usual, "The projection %s is made anew from the log. %s", path, unfit)
    _rebuild(log, capacity, watch)
    return _open_fitting(log, path, capacity, watch)


def _open_fitting(log: JsonlEventLog, path: Path, capacity: int, watch: Watch) -> tuple[SqlProjection, WorkingSet]:
    if not path.exists():
        raise ProjectionUnfit("It is not there yet.")
    projection = SqlProjection.open(writing_engine(path), reading_engine(path))
    try:
        _require_same_log(log, projection.reached)
        rows = _kept_rows(projection, path, capacity)
        _catch_up(log, projection, rows, path, watch)
    except BaseException:
        projection.close()
        raise
    return projection, rows


def _kept_rows(projection: SqlProjection, path: Path, capacity: int) -> WorkingSet:
    """No rows in memory, and the keys that are known to what the projection has reached."""
    known = KnownKeys(read_run(path, projection.run), projection.recent())
    return WorkingSet(projection, projection.reached, capacity, known)


def _require_same_log(log: JsonlEventLog, reached: Cursor) -> None:
    if not log.holds(reached):
        raise ProjectionUnfit("It was made from another log.")


def _rebuild(log: JsonlEventLog, capacity: int, watch: Watch) -> None:
    path = projection_path(log.path)
    building = path.with_name(f"{path.name}.new")
    remove_projection(building)
    try:
        with closing(SqlProjection.create(building_engine(building), reading_engine(building))) as projection:
            _catch_up(log, projection, WorkingSet(projection, START, capacity), building, watch)
            run = projection.kept_run
        with building.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        remove_projection(building)
        raise
    remove_projection(path)
    sync_directory(path.parent)  # a power failure shall not bring back the old write-ahead log beside the new database
    if run.position:
        run_path(building, run.position).rename(run_path(path, run.position))
    building.rename(path)
    remove_runs(building)


def _catch_up(log: JsonlEventLog, projection: SqlProjection, rows: WorkingSet, path: Path, watch: Watch) -> None:
    keeper = RunKeeper(rows.known, projection, path)

    def advanced(reached: Cursor) -> None:
        keeper.tend(reached.position)
        if rows.crowded:
            settle(rows, projection)
            rows.evict(share=1)  # the more rows come together, the more changes of one are written as one
        watch(reached, log.end)

    try:
        catch_up(rows, log.read(rows.reached), advanced)
        keeper.finish()
        settle(rows, projection)
        if projection.run != projection.kept_run:  # merged after the last row was settled
            projection.write(Changes({}, Recent([], []), rows.reached))
    finally:
        keeper.close()

"""Check every record of a log in a database, then the projection, as it is at one moment, against a fresh replay."""

from collections.abc import Callable
from contextlib import closing

from sqlalchemy.exc import SQLAlchemyError

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import HistoryImpossible, LogDamaged, StoreUnavailable
from lockstream.infrastructure.memory import MemoryQueries
from lockstream.infrastructure.postgres.connecting import UNKNOWN, Database, unavailable
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.snapshots import Snapshot
from lockstream.infrastructure.projection import BROKEN, reason
from lockstream.services.verification import (
    MEND,
    Replay,
    Verification,
    differing_lockers,
    differing_rows,
    told,
    verify,
)
from lockstream.services.wiring import Settings, database_of


def verify_log(settings: Settings, watch: Callable[[Cursor], object]) -> Verification:
    """Read the whole log that `settings` name, and compare the projection with what the log gives.

    A whole replay is held in memory: some 1 kB for each compartment, reservation, fault and event.

    Raises:
        StoreUnavailable: the database cannot be used.
        OSError: the log cannot be read.
    """
    if database := database_of(settings):
        with closing(database):
            return _verify_tables(database, watch)
    return verify(settings.event_log_path, watch)


def _verify_tables(database: Database, watch: Callable[[Cursor], object]) -> Verification:
    found = Verification()
    replay = Replay(PostgresLog(database).read, found, watch)
    rows = replay.rows
    try:
        replay.go_on()  # nearly all of it, before anything is held fast
        with Snapshot(database) as snapshot:
            if (behind := snapshot.end.position - rows.reached.position) > 0:
                replay.go_on(behind)
            if rows.reached != snapshot.end:
                found.problems.append("The log does not end where it says: rows were removed, or added by hand.")
            found.problems += _compare(snapshot, replay, database.name)
    except (LogDamaged, HistoryImpossible) as error:
        found.problems.append(str(error))
    found.events = rows.reached.position
    found.lockers = sum(1 for _ in MemoryQueries(rows).lockers())
    return found


def _compare(snapshot: Snapshot, replay: Replay, name: str) -> list[str]:
    try:
        differing = [
            *differing_rows(snapshot.connection, replay.rows),
            *differing_lockers(snapshot.queries, replay.rows),
        ]
        if snapshot.replaced:
            raise StoreUnavailable(f"The projection in the database {name} was made anew meanwhile. Verify it again.")
    except (SQLAlchemyError, *BROKEN) as error:
        if isinstance(lost := getattr(error, "orig", None), UNKNOWN):
            raise unavailable(name, lost) from error
        return [f"The projection cannot be read ({reason(error)}). {MEND}"]
    return told("The projection", differing)

"""Check every record of a log in a database, then the projection against a fresh replay, as both are at one moment."""

from collections.abc import Callable
from contextlib import closing

from sqlalchemy.exc import SQLAlchemyError

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import HistoryImpossible, LogDamaged
from lockstream.infrastructure.memory import MemoryQueries
from lockstream.infrastructure.postgres.connecting import Database
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
    with Snapshot(database) as snapshot:
        replay = Replay(snapshot.read, found, watch)
        try:
            replay.go_on()
            if replay.rows.reached != snapshot.end:
                found.problems.append("The log does not end where it says: rows were removed, or added by hand.")
            found.problems += _compare(snapshot, replay)
        except (LogDamaged, HistoryImpossible) as error:
            found.problems.append(str(error))
        found.events = replay.rows.reached.position
        found.lockers = sum(1 for _ in MemoryQueries(replay.rows).lockers())
    return found


def _compare(snapshot: Snapshot, replay: Replay) -> list[str]:
    try:
        differing = [
            *differing_rows(snapshot.connection, replay.rows),
            *differing_lockers(snapshot.queries, replay.rows),
        ]
    except (SQLAlchemyError, *BROKEN) as error:
        return [f"The projection cannot be read ({reason(error)}). {MEND}"]
    return told("The projection", differing)

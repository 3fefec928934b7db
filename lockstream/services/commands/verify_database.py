"""Verify a log in a database, and compare its projection at one moment with a fresh replay."""

from pathlib import Path
from tempfile import gettempdir

import psycopg

from lockstream.core.errors import InconsistentHistory, LogDamaged, StoreUnavailable
from lockstream.core.ports import OnProgress
from lockstream.infrastructure.postgres.connection import CONNECTION_LOST, Database, unavailable
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.snapshot import Snapshot
from lockstream.infrastructure.postgres.statements import HEAD, cursor_of
from lockstream.infrastructure.rows.comparison import differences
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, reason
from lockstream.services.commands.replay import Replay, replaying
from lockstream.services.commands.verify import REMEDY, Verification, complete, explain_differences


def verify_database(database: Database, on_progress: OnProgress) -> Verification:
    """Verify a log in a database, and its projection at one moment. Temporary files are in the system's folder.

    Raises:
        StoreUnavailable: the database cannot be used.
        ReplayFailed: the temporary files cannot be written.
    """
    found, log = Verification(), PostgresLog(database)
    total = cursor_of(database.read(HEAD)[HEAD]).position
    folder = Path(gettempdir())
    with replaying(folder, total, log.read, lambda reached: on_progress(reached, max(reached, total))) as replay:
        try:
            replay.advance()  # before the snapshot, so that the snapshot is short
            with Snapshot(database) as moment:
                if (behind := moment.end.position - replay.reached.position) > 0:
                    replay.advance(behind)
                if replay.reached != moment.end:
                    found.problems.append(
                        "The log does not end at its last record: another program removed or added rows. Restore the "
                        "database from a backup that is older than that."
                    )
                found.problems += _compare_database(moment, replay, database.name)
        except (LogDamaged, InconsistentHistory) as error:
            found.problems.append(str(error))
        complete(found, replay)
    return found


def _compare_database(moment: Snapshot, replay: Replay, name: str) -> list[str]:
    """Return a sentence if the projection differs from `replay`, or nothing."""
    try:
        problems = explain_differences("The projection", differences(moment, replay.rows))
        if moment.was_replaced:
            raise StoreUnavailable(
                f"The projection in the database {name} was rebuilt meanwhile. Run `lockstream verify` again."
            )
    except CONNECTION_LOST as error:
        raise unavailable(name, error) from error
    except (psycopg.Error, *VALUE_ERRORS) as error:
        return [f"The projection cannot be read ({reason(error)}). {REMEDY}"]
    return problems

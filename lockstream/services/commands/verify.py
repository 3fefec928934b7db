"""Verify a log and its projection: every record, then the projection against a fresh replay. May run beside a server.

The replay is a temporary projection on disk. Both are compared row by row, so memory does not grow with the log.
"""

from collections.abc import Iterable
from functools import partial
from itertools import chain, islice
from pathlib import Path
from sqlite3 import Connection
from typing import cast

from msgspec import Struct, field

from lockstream.core.errors import InconsistentHistory, LogDamaged, ProjectionInvalid, StoreUnavailable
from lockstream.core.ports import OnProgress
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.file_log.reader import last_position, read_log
from lockstream.infrastructure.id_index.index import IdIndex
from lockstream.infrastructure.id_index.sorted_run import read_run
from lockstream.infrastructure.rows.comparison import differences
from lockstream.infrastructure.rows.mapping import reason
from lockstream.infrastructure.sqlite.database import (
    CORRUPT_DATA_ERRORS,
    reading_engine,
    snapshot,
    structural_damage,
)
from lockstream.infrastructure.sqlite.projection import read_memtable, read_progress
from lockstream.infrastructure.sqlite.projection_scan import ProjectionScan
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.services.commands.replay import Replay, replaying

REMEDY = "Run `lockstream rebuild` to build the projection again from the log."

NAMED_DIFFERENCES = 5
"""Most differences that are named. Further differences are only counted."""


class Verification(Struct):
    """The result of a verification."""

    events: int = 0
    lockers: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def verify_file(log: Path, on_progress: OnProgress) -> Verification:
    """Verify a log file and the projection beside it. The temporary files are in the same folder.

    Raises:
        OSError: the log cannot be read.
        ReplayFailed: the temporary files cannot be written.
    """
    found, total = Verification(), last_position(log)
    with replaying(log.parent, total, partial(read_log, log), lambda reached: on_progress(reached, total)) as replay:
        projection = projection_path(log)
        try:
            if projection.exists():
                found.problems += _compare_file(projection, replay)
            else:
                found.notes.append("There is no projection yet; the next start builds it.")
            replay.advance()
        except (LogDamaged, InconsistentHistory) as error:
            found.problems.append(str(error))
        complete(found, replay)
    rest = log.stat().st_size - replay.reached.offset
    if rest and not found.problems:
        them = agreeing(rest, "it", "them")
        found.notes.append(
            f"The last complete line is followed by {counted(rest, 'byte')}: a server is writing {them}, or the next "
            f"start truncates {them} and keeps {them} beside the log."
        )
    return found


def complete(found: Verification, replay: Replay) -> None:
    """Add what a replay has found: the events that the rules forbid, and the numbers of events and lockers."""
    found.problems = [*replay.forbidden(), *found.problems]
    found.events, found.lockers = replay.reached.position, replay.rows.locker_count()


def explain_unreadable(path: Path, error: OSError) -> str:
    """Return the problem that a file beside the log cannot be read."""
    return (
        f"{path} cannot be read ({error.strerror or error}). Give the user who runs this command access to it; if its "
        "disk is damaged, restore the file from a backup."
    )


def _compare_file(projection: Path, replay: Replay) -> list[str]:
    """Advance `replay` to the cursor of the projection, and return a sentence if they differ."""
    engine = reading_engine(projection)
    try:
        with snapshot(engine) as connection:
            indexed = read_progress(connection)
            run = IdIndex(read_run(projection, indexed.run))  # a server may remove the file from now on
            replay.note_memtable(read_memtable(connection))
        # The log is read after the projection, so the log must reach at least as far. Most of it is read before the
        # next snapshot, during which the write-ahead log of a server grows.
        replay.advance(indexed.reached.position)
        with snapshot(engine) as connection:
            progress = read_progress(connection)
            replay.advance(max(0, progress.reached.position - replay.reached.position))
            if replay.reached.position < progress.reached.position:
                return [_log_too_short(projection, replay.reached.position, progress.reached.position)]
            if progress.reached != replay.reached:
                raise ProjectionInvalid("The projection was made from another log.")
            rows = ProjectionScan(cast(Connection, connection.connection.driver_connection))
            missing = replay.missing_ids(run, indexed.reached.position)
            problems = explain_differences(
                f"The projection {projection}",
                chain(
                    differences(rows, replay.rows),
                    (f"the id {used!r}" for used in missing),
                    structural_damage(connection),
                ),
            )
            # Once a log has failed, the projection may know of more acknowledged events than it has applied.
            replay.advance(max(0, progress.acknowledged - progress.reached.position))
            if replay.reached.position < progress.acknowledged:
                return [_log_too_short(projection, replay.reached.position, progress.acknowledged)]
    except ProjectionInvalid as error:
        return [f"{projection} is invalid. {error} {REMEDY}"]
    except (StoreUnavailable, *CORRUPT_DATA_ERRORS) as error:
        return [f"The projection {projection} cannot be read ({reason(error)}). {REMEDY}"]
    finally:
        engine.dispose()
    return problems


def explain_differences(projection: str, differing: Iterable[str]) -> list[str]:
    """Return a sentence that names the first places where `projection` differs from the log, or nothing."""
    rest = iter(differing)
    named = list(islice(rest, NAMED_DIFFERENCES))
    if not named:
        return []
    further = sum(1 for _ in rest)
    places = ", ".join(named) + (", …" if further else "")
    return [f"{projection} differs from the log in {counted(len(named) + further, 'place')}: {places}. {REMEDY}"]


def _log_too_short(projection: Path, held: int, acknowledged: int) -> str:
    return (
        f"The log holds only {counted(held, 'event')}, and the projection {projection} has seen "
        f"{counted(acknowledged, 'acknowledged event')}: the log lost its end. Restore it from a copy. If the loss is "
        "intended, run `lockstream rebuild`."
    )

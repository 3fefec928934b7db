"""Check every line of the log, then the projection against a fresh replay. It may run beside a server."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

from msgspec import Struct, field
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from lockstream.core.entities.log import Cursor
from lockstream.core.entities.state import Row
from lockstream.core.errors import HistoryImpossible, LogDamaged, ProjectionUnfit
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.embedded import projection_path
from lockstream.infrastructure.engines import reading_engine
from lockstream.infrastructure.jsonl_event_log import read_log
from lockstream.infrastructure.memory import MemoryQueries
from lockstream.infrastructure.projection import read_progress
from lockstream.infrastructure.queries import SqlQueries
from lockstream.infrastructure.tables import TABLES
from lockstream.infrastructure.working_set import Nothing, WorkingSet

MEND = "`lockstream rebuild` makes it anew from the log."
NAMED = 5
"""Differences that are named; the others are counted."""


class Verification(Struct):
    """What was checked, and what was found."""

    events: int = 0
    lockers: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def verify(log: Path, watch: Callable[[Cursor], object]) -> Verification:
    """Read all of `log`, and compare the projection beside it with what the log gives.

    A whole replay is held in memory: some 1 kB for each compartment, reservation, fault and event.

    Raises:
        OSError: the log cannot be read.
    """
    found = Verification()
    rows = WorkingSet(Nothing())
    projection = projection_path(log)
    try:
        if projection.exists():
            found.problems += _compare(projection, log, rows, watch)
        else:
            found.notes.append("There is no projection yet; the next start makes it.")
        catch_up(rows, read_log(log, rows.reached), watch)
    except (LogDamaged, HistoryImpossible) as error:
        found.problems.append(str(error))
    found.events = rows.reached.position
    found.lockers = sum(1 for _ in MemoryQueries(rows).lockers())
    rest = log.stat().st_size - rows.reached.offset
    if rest and not found.problems:
        found.notes.append(
            f"Behind the last complete line stand {rest} bytes: a server is writing them, or the next start cuts them "
            "off and keeps them beside the log."
        )
    return found


def _compare(projection: Path, log: Path, rows: WorkingSet, watch: Callable[[Cursor], object]) -> list[str]:
    """Bring `rows` to where the projection is, and say where they differ."""
    engine = reading_engine(projection)
    try:
        with engine.connect() as connection:
            # One transaction sees the projection as it is now. The log, read from here on, reaches as far at least.
            reached = read_progress(connection)
            catch_up(rows, islice(read_log(log), reached.position), watch)
            if reached != rows.reached:
                raise ProjectionUnfit("It was made from another log, or from more than this one holds.")
            differing = [*_differing_rows(connection, rows), *_differing_lockers(connection, rows)]
    except ProjectionUnfit as unfit:
        return [f"The projection {projection} is unfit. {unfit} {MEND}"]
    except DBAPIError as error:
        return [f"The projection {projection} cannot be read ({error.orig}). {MEND}"]
    finally:
        engine.dispose()
    if not differing:
        return []
    named = ", ".join(differing[:NAMED]) + (", …" if len(differing) > NAMED else "")
    return [f"The projection {projection} differs from the log in {len(differing)} places: {named}. {MEND}"]


def _differing_rows(connection: Connection, rows: WorkingSet) -> Iterator[str]:
    for kind, table in TABLES.items():
        expected: dict[object, Row] = {row.key: row for row in rows.every(kind)}
        for stored in connection.execute(select(table)):
            row: Row = kind(*stored)
            if expected.pop(row.key, None) != row:
                yield f"{kind.__name__} {row.key}"
        yield from (f"{kind.__name__} {key}" for key in expected)


def _differing_lockers(connection: Connection, rows: WorkingSet) -> Iterator[str]:
    """By what a read shows of them."""
    stored = {locker.locker_id: state_hash(locker) for locker in SqlQueries(lambda: nullcontext(connection)).lockers()}
    expected = {locker.locker_id: state_hash(locker) for locker in MemoryQueries(rows).lockers()}
    differing = {locker_id for locker_id, _ in stored.items() ^ expected.items()}
    return (f"the state hash of locker {locker_id!r}" for locker_id in sorted(differing))

"""Check every line of the log, then the projection against a fresh replay. It may run beside a server."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from msgspec import Struct, field
from sqlalchemy import Connection, select

from lockstream.core.decide import decide
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.entities.state import Row, Slice
from lockstream.core.errors import HistoryImpossible, LogDamaged, ProjectionUnfit, StoreUnavailable
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.backing import Nothing
from lockstream.infrastructure.embedded import projection_path
from lockstream.infrastructure.engines import reading_engine, snapshot
from lockstream.infrastructure.known_keys import KnownKeys
from lockstream.infrastructure.log_file import read_log
from lockstream.infrastructure.memory import MemoryQueries
from lockstream.infrastructure.projection import BROKEN, read_progress, read_recent, reason
from lockstream.infrastructure.queries import SqlQueries, settled_queries
from lockstream.infrastructure.run_file import read_run
from lockstream.infrastructure.tables import TABLES
from lockstream.infrastructure.working_set import WorkingSet

MEND = "`lockstream rebuild` makes it anew from the log."
NAMED = 5
"""Differences that are named; the others are counted."""


class Verification(Struct):
    """What was checked, and what was found."""

    events: int = 0
    lockers: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Replay:
    """A fresh replay in memory, which notes what could never have been accepted."""

    def __init__(
        self, read: Callable[[Cursor], Iterator[Record]], found: Verification, watch: Callable[[Cursor], object]
    ) -> None:
        """`read` gives the records behind a place in the log."""
        self.rows = WorkingSet(Nothing())
        self.ids: dict[str, int] = {}
        """Each event with its position."""

        self._read = read
        self._found = found
        self._watch = watch

    def go_on(self, until: int | None = None) -> None:
        """Replay up to the record at `until`, or to the end of the log."""
        records = islice(self._read(self.rows.reached), until)
        catch_up(self.rows, records, self._watch, self._examine)

    def _examine(self, record: Record, before: Slice) -> None:
        position, event = record.end.position, record.event
        if (first := self.ids.setdefault(event.event_id, position)) != position:
            self._found.problems.append(f"Event {event.event_id} stands in the log twice: {first} and {position}.")
        elif refusal := decide(before, event):
            self._found.problems.append(f"The event at position {position} could not be accepted: {refusal.code}.")


def verify(log: Path, watch: Callable[[Cursor], object]) -> Verification:
    """Read all of `log`, and compare the projection beside it with what the log gives.

    A whole replay is held in memory: some 1 kB for each compartment, reservation, fault and event.

    Raises:
        OSError: the log cannot be read.
    """
    found = Verification()
    replay = Replay(partial(read_log, log), found, watch)
    rows, projection = replay.rows, projection_path(log)
    try:
        if projection.exists():
            found.problems += _compare(projection, replay)
        else:
            found.notes.append("There is no projection yet; the next start makes it.")
        replay.go_on()
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


def _compare(projection: Path, replay: Replay) -> list[str]:
    """Bring `replay` to where the projection is, and say where they differ."""
    rows = replay.rows
    engine = reading_engine(projection)
    try:
        with snapshot(engine) as connection:
            # The projection is seen as it is now. The log, read from here on, reaches as far at least.
            reached, run = read_progress(connection)
            known = KnownKeys(read_run(projection, run), read_recent(connection))  # a server may remove the file soon
            replay.go_on(reached.position)
            if rows.reached.position < reached.position:
                return [_lacking(projection, rows.reached.position, reached.position)]
            if reached != rows.reached:
                raise ProjectionUnfit("It was made from another log.")
            differing = [
                *differing_rows(connection, rows),
                *differing_lockers(settled_queries(engine, connection.connection), rows),
            ]
            differing += [f"the key {key!r}" for key in known.lacking(replay.ids | rows.known.recent)]
    except ProjectionUnfit as unfit:
        return [f"The projection {projection} is unfit. {unfit} {MEND}"]
    except (StoreUnavailable, *BROKEN) as error:
        return [f"The projection {projection} cannot be read ({reason(error)}). {MEND}"]
    finally:
        engine.dispose()
    return told(f"The projection {projection}", differing)


def told(projection: str, differing: list[str]) -> list[str]:
    """What to say of the places in which `projection` differs from the log."""
    if not differing:
        return []
    named = ", ".join(differing[:NAMED]) + (", …" if len(differing) > NAMED else "")
    return [f"{projection} differs from the log in {len(differing)} places: {named}. {MEND}"]


def _lacking(projection: Path, held: int, acknowledged: int) -> str:
    return (
        f"The log holds {held} events, yet {acknowledged} were acknowledged, by the projection {projection}: it lost "
        "its end. Restore it from a copy. Only where it is what you want, `lockstream rebuild` forgets the rest."
    )


def differing_rows(connection: Connection, rows: WorkingSet) -> Iterator[str]:
    for kind, table in TABLES.items():
        expected: dict[object, Row] = {row.key: row for row in rows.every(kind)}
        for stored in connection.execute(select(table)):
            row: Row = kind(*stored)
            if expected.pop(row.key, None) != row:
                yield f"{kind.__name__} {row.key}"
        yield from (f"{kind.__name__} {key}" for key in expected)


def differing_lockers(queries: SqlQueries, rows: WorkingSet) -> Iterator[str]:
    """By what a read shows of them."""
    stored = {locker.locker_id: state_hash(locker) for locker in queries.lockers()}
    expected = {locker.locker_id: state_hash(locker) for locker in MemoryQueries(rows).lockers()}
    differing = {locker_id for locker_id, _ in stored.items() ^ expected.items()}
    return (f"the state hash of locker {locker_id!r}" for locker_id in sorted(differing))

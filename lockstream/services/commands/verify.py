"""Verify a log and its projection: every record, then the projection against a fresh replay. May run beside a server.

The replay is kept in memory: some 1 kB for each compartment, reservation, fault and event.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from sqlalchemy import select

from lockstream.core.entities.listings import SUMMED
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.entities.state import Fault, Row
from lockstream.core.errors import InconsistentHistory, LogDamaged, ProjectionInvalid, StoreUnavailable
from lockstream.core.ports import OnProgress, RowReads
from lockstream.core.row_set import RowSet
from lockstream.core.rules import decide
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.file_log.reader import last_position, read_log
from lockstream.infrastructure.id_index.index import IdIndex
from lockstream.infrastructure.id_index.sorted_run import read_run
from lockstream.infrastructure.rows.mapping import reason, to_row
from lockstream.infrastructure.rows.tables import TABLES, moments, network, open_fault_counts
from lockstream.infrastructure.sqlite.database import (
    CORRUPT_DATA_ERRORS,
    reading_engine,
    snapshot,
    structural_damage,
)
from lockstream.infrastructure.sqlite.projection import projection_reads, read_memtable, read_progress
from lockstream.infrastructure.sqlite.row_cache import NullRowStore, RowCache
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.infrastructure.stores.memory import MemoryReads

REMEDY = "Run `lockstream rebuild` to build the projection again from the log."

MOMENTS = str(select(moments).order_by(moments.c.position))
"""Selects the moments of a projection, in order."""

NAMED_DIFFERENCES = 5
"""Most differences that are named. Further differences are only counted."""


class Verification(Struct):
    """The result of a verification."""

    events: int = 0
    lockers: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Replay:
    """A fresh replay of a log in memory, which notes events that the rules forbid."""

    def __init__(
        self,
        read: Callable[[Cursor], Iterator[Record]],
        found: Verification,
        on_progress: Callable[[int], object],
    ) -> None:
        """`read` yields the records after a cursor."""
        self.cache = RowCache(NullRowStore())
        self.reads = MemoryReads(self.cache)
        self.ids: dict[str, int] = {}
        """Positions of all events, by event id."""

        self._read = read
        self._found = found
        self._on_progress = on_progress

    @property
    def reached(self) -> Cursor:
        return self.cache.reached

    def advance(self, count: int | None = None) -> None:
        """Replay up to `count` more records, or all."""
        records = islice(self._read(self.reached), count)
        catch_up(self.cache, records, lambda: self._on_progress(self.reached.position), self._examine)

    def finish(self) -> Verification:
        """Return the verification, with the numbers of events and lockers."""
        self._found.events = self.reached.position
        self._found.lockers = sum(1 for _ in self.reads.lockers())
        return self._found

    def differences(
        self,
        rows: Callable[[type[Row]], Iterable[tuple[Any, ...]]],
        moments: Iterable[tuple[int, int]],
        reads: RowReads,
    ) -> Iterator[str]:
        """Name each row, recorded time and state hash of a locker in which a projection differs from this replay.

        `moments` are those of the projection, in order.
        """
        differing_times = set(_changes(self.cache.changed_moments)) ^ set(_changes(moments))
        yield from (f"the recorded time at position {position}" for position, _ in sorted(differing_times))
        for row_class in TABLES:
            yield from self._differing_rows(row_class, rows(row_class))
        stored = {locker.locker_id: state_hash(locker) for locker in reads.lockers()}
        expected = {locker.locker_id: state_hash(locker) for locker in self.reads.lockers()}
        differing = {locker_id for locker_id, _ in stored.items() ^ expected.items()}
        yield from (f"the state hash of locker {locker_id!r}" for locker_id in sorted(differing))

    def differing_totals(
        self, totals: Iterable[tuple[int, ...]], open_faults: Iterable[tuple[int, int]], *position: int
    ) -> Iterator[str]:
        """Name the totals of the network in which a projection differs from this replay.

        `totals` are the rows of totals in the projection, which must be one row, and begin with `position` if given.
        `open_faults` has a number of open faults for each severity that has occurred.
        """
        expected = self.reads.listings.network()
        severities = dict.fromkeys((fault.severity for fault in self.cache.changed_rows(Fault)), 0)
        counts = (getattr(expected, name) for name in ("lockers", *SUMMED))
        if [tuple(row) for row in totals] != [(*position, *counts)]:
            yield "the totals of the network"
        if sorted(map(tuple, open_faults)) != sorted((severities | expected.open_faults).items()):
            yield "the numbers of open faults"

    def _differing_rows(self, row_class: type[Any], stored: Iterable[tuple[Any, ...]]) -> Iterator[str]:
        expected: dict[object, Row] = {row.key: row for row in self.cache.changed_rows(row_class)}
        for found in stored:
            row = to_row(row_class, found)
            if expected.pop(row.key, None) != row:
                yield f"{row_class.__name__} {row.key}"
        yield from (f"{row_class.__name__} {key}" for key in expected)

    def _examine(self, record: Record, rows: RowSet) -> None:
        position, event = record.end.position, record.event
        if (first := self.ids.setdefault(event.event_id, position)) != position:
            self._found.problems.append(
                f"Event {event.event_id} is in the log twice, at positions {first} and {position}. Restore a copy of "
                "the log that is older than the second."
            )
        elif refusal := decide(rows, event):
            self._found.problems.append(
                f"The event at position {position} could not have been accepted: {refusal.code}. Restore a copy of the "
                "log that is older than this event."
            )


def _changes(moments: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield each change of the recorded time. Batches that share a time count as one."""
    last = None
    for position, time in moments:
        if time != last:
            yield position, time
        last = time


def verify_file(log: Path, on_progress: OnProgress) -> Verification:
    """Verify a log file and the projection beside it.

    Raises:
        OSError: the log cannot be read.
    """
    found, total = Verification(), last_position(log)
    replay = Replay(partial(read_log, log), found, lambda reached: on_progress(reached, total))
    projection = projection_path(log)
    try:
        if projection.exists():
            found.problems += _compare_file(projection, replay)
        else:
            found.notes.append("There is no projection yet; the next start builds it.")
        replay.advance()
    except (LogDamaged, InconsistentHistory) as error:
        found.problems.append(str(error))
    rest = log.stat().st_size - replay.reached.offset
    if rest and not found.problems:
        them = agreeing(rest, "it", "them")
        found.notes.append(
            f"The last complete line is followed by {counted(rest, 'byte')}: a server is writing {them}, or the next "
            f"start truncates {them} and keeps {them} beside the log."
        )
    return replay.finish()


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
            # The log is read after the projection, so the log must reach at least as far.
            progress = read_progress(connection)
            ids = IdIndex(read_run(projection, progress.run), read_memtable(connection))
            replay.advance(progress.reached.position)
            if replay.reached.position < progress.reached.position:
                return [_log_too_short(projection, replay.reached.position, progress.reached.position)]
            if progress.reached != replay.reached:
                raise ProjectionInvalid("The projection was made from another log.")
            differing = [
                *replay.differences(
                    lambda row_class: connection.exec_driver_sql(str(select(TABLES[row_class]))),
                    connection.exec_driver_sql(MOMENTS),
                    projection_reads(engine, connection.connection),
                ),
                *replay.differing_totals(
                    connection.exec_driver_sql(str(select(network))),
                    connection.exec_driver_sql(str(select(open_fault_counts))),
                ),
                *(f"the id {used!r}" for used in ids.missing(replay.ids | replay.cache.ids.memtable)),
                *structural_damage(connection),
            ]
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
    return explain_differences(f"The projection {projection}", differing)


def explain_differences(projection: str, differing: list[str]) -> list[str]:
    """Return a sentence that names the first places where `projection` differs from the log, or nothing."""
    if not differing:
        return []
    named = ", ".join(differing[:NAMED_DIFFERENCES]) + (", …" if len(differing) > NAMED_DIFFERENCES else "")
    return [f"{projection} differs from the log in {counted(len(differing), 'place')}: {named}. {REMEDY}"]


def _log_too_short(projection: Path, held: int, acknowledged: int) -> str:
    return (
        f"The log holds only {counted(held, 'event')}, and the projection {projection} has seen "
        f"{counted(acknowledged, 'acknowledged event')}: the log lost its end. Restore it from a copy. If the loss is "
        "intended, run `lockstream rebuild`."
    )

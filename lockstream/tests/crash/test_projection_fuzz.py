"""Arbitrary content of the projection's file: the store shows the state of the log, or raises an error of our own."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from lockstream.core.entities.listings import HistoryQuery
from lockstream.core.errors import LockstreamError, LogFileDamaged, StoreUnavailable
from lockstream.core.ports import Listings, ignore_progress
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.ingest import ingest
from lockstream.core.use_cases.time_travel import past_locker
from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.services.commands.verify import Verification, verify_file
from lockstream.tests.crash.fault_report import FULL, PROJECTION, FaultOutcome, FaultReport
from lockstream.tests.support.builders import deposited, event, fault_cleared, fault_reported, picked_up, registered
from lockstream.tests.support.histories import (
    CAPACITY,
    files_beside,
    hashes,
    hashes_after_replay,
    hashes_after_start,
    history,
    record,
)

FLIPS = 3_000 if FULL else 60
LOCKERS = ("locker-1", "Zürich «7»")

PROGRESS = [
    "UPDATE progress SET offset = 0",
    "UPDATE progress SET offset = 1",
    "UPDATE progress SET offset = -5",
    "UPDATE progress SET offset = offset - 1",
    "UPDATE progress SET offset = offset + 1",
    "UPDATE progress SET offset = 'text'",
    "UPDATE progress SET offset = x'00ff'",
    "UPDATE progress SET offset = 1.5",
    "UPDATE progress SET offset = 9223372036854775807",
    "UPDATE progress SET position = -1",
    "UPDATE progress SET position = 0",
    "UPDATE progress SET position = 0, offset = 0",
    "UPDATE progress SET position = 3",
    "UPDATE progress SET position = 'text'",
    "UPDATE progress SET position = x'00ff'",
    "UPDATE progress SET chain = 'zz'",
    "UPDATE progress SET chain = ''",
    "UPDATE progress SET chain = x'ff'",
    "UPDATE progress SET chain = CAST(x'ff' AS TEXT)",
    "UPDATE progress SET chain = replace(chain, substr(chain, 1, 1), 'ä')",
    "UPDATE progress SET chain = chain || char(10)",
    "UPDATE progress SET schema = 'older'",
    "UPDATE progress SET schema = CAST(x'ff' AS TEXT)",
    "UPDATE progress SET schema = x'ff'",
    "DELETE FROM progress",
    "UPDATE memtable SET content = x'ff'",
    "UPDATE memtable SET content = 'text'",
    "UPDATE progress SET run = 5",
    "UPDATE progress SET acknowledged = -1",
    "UPDATE progress SET acknowledged = 'text'",
    "UPDATE progress SET acknowledged = x'00ff'",
    "INSERT INTO progress SELECT 'other', position, offset, chain, run, run_checksum, acknowledged FROM progress",
    "DROP TABLE progress",
]

ROWS = [
    "UPDATE reservations SET status = 'BROKEN'",
    "UPDATE reservations SET status = x'ff'",
    "UPDATE reservations SET status = 7",
    "UPDATE reservations SET status = CAST(x'ff' AS TEXT)",
    "UPDATE reservations SET compartment_id = CAST(x'ff' AS TEXT)",
    "UPDATE compartments SET active_reservation = CAST(x'ff' AS TEXT)",
    "UPDATE compartments SET degrading_faults = 'text'",
    "UPDATE compartments SET degrading_faults = x'ff'",
    "UPDATE faults SET locker_id = CAST(x'ff' AS TEXT)",
    "UPDATE faults SET severity = CAST(x'ff' AS TEXT)",
    "UPDATE faults SET severity = 'text'",
    "UPDATE faults SET cleared_position = 'text'",
    "UPDATE compartments SET compartment_id = x'ff' WHERE compartment_id = 'c2'",
    "UPDATE compartments SET changed_position = 'text'",
    "UPDATE compartments SET registered_position = 'text'",
    "UPDATE compartments SET registered_position = x'ff'",
    "UPDATE compartments SET registered_position = -1",
    "UPDATE reservations SET changed_position = x'ff'",
    "UPDATE reservations SET created_position = 1.5",
    "UPDATE reservations SET deposited_position = 'text'",
    "UPDATE faults SET reported_position = 9223372036854775807",
    "UPDATE lockers SET events = 'text'",
    "UPDATE lockers SET available = x'ff'",
    "UPDATE moments SET time = 'text'",
]


@pytest.fixture
def projection(log_path: Path) -> Path:
    """The projection of a log of twenty events."""
    for locker in LOCKERS:
        record(log_path, history(locker))
    return projection_path(log_path)


def change(projection: Path, statement: str) -> None:
    with closing(sqlite3.connect(projection)) as database, database:
        database.execute(statement)


def attempt[ResultT](action: Callable[[], ResultT]) -> ResultT | None:
    """Return the result of `action`, or None if it raises an error of Lockstream. Any other error fails the test."""
    try:
        return action()
    except LockstreamError:
        return None


def verified(log: Path) -> Verification:
    return verify_file(log, ignore_progress)


class Past(NamedTuple):
    """The history of a locker and some of its past states, as lists show them."""

    positions: list[int] | None
    event_ids: list[str]
    state_hashes: list[str | None]


class Shown(NamedTuple):
    """The state and the past that a store shows. None stands for each that it refuses to show."""

    hashes: dict[str, str] | None = None
    pasts: tuple[Past | None, ...] = ()


def shown_past(store: EmbeddedStore, locker: str) -> Past:
    def read(lists: Listings) -> Past:
        positions = lists.history(HistoryQuery(locker), None, 100)
        event_ids = [record.event.event_id for record in lists.records(positions or [])]
        states = [past_locker(lists, locker, position) for position in (5, 10, 15, 20)]
        return Past(positions, event_ids, [state_hash(state.locker) if state else None for state in states])

    return store.list(read).value


def shown_state(log: Path) -> Shown:
    """Start and read everything; return the state and the past that the store shows."""
    store = attempt(lambda: EmbeddedStore(log, CAPACITY))
    if store is None:
        return Shown()
    with closing(store):
        reads = store.reads
        shown = Shown(
            attempt(lambda: hashes(reads)), tuple(attempt(partial(shown_past, store, locker)) for locker in LOCKERS)
        )
        for locker in LOCKERS:
            attempt(partial(reads.locker, locker))
            attempt(partial(reads.locker_state, locker))
            attempt(partial(reads.compartment, locker, "c1"))
            attempt(partial(reads.reservation, f"{locker}-parcel-1"))
        return shown


def touch_every_row(log: Path) -> None:
    """Start, and ingest one by one all events that the log holds, and events that change each of their rows."""
    store = attempt(lambda: EmbeddedStore(log, CAPACITY))
    if store is None:
        return
    with closing(store):
        bodies = [
            body for locker in LOCKERS for body in [*history(locker), picked_up(f"{locker}-parcel-3", locker=locker)]
        ]
        bodies += [fault_reported(3, "c2"), fault_cleared(bodies[6], "c2"), deposited("locker-1-parcel-1")]
        for body in bodies:
            attempt(lambda body=body: ingest([event(body)], store.unit_of_work()))  # type: ignore[misc]
            attempt(store.checkpoint)


@pytest.mark.parametrize("statement", PROGRESS)
def test_a_start_rebuilds_a_projection_whose_progress_does_not_fit_the_log(
    log_path: Path, projection: Path, statement: str, fault_report: FaultReport
) -> None:
    change(projection, statement)
    assert verified(log_path).problems != []
    is_right = hashes_after_start(log_path) == hashes_after_replay(log_path)
    outcome = FaultOutcome(1, 20, bricked=[] if is_right else [statement])
    outcome.bricked += verified(log_path).problems
    fault_report.add(PROJECTION, "the projection: its progress changed by hand", outcome)
    outcome.assert_nothing_lost_or_bricked()


def test_a_start_is_refused_if_the_projection_notes_more_acknowledged_events_than_the_log_holds(
    log_path: Path, projection: Path
) -> None:
    change(projection, "UPDATE progress SET acknowledged = 21")
    before = files_beside(log_path)
    with pytest.raises(LogFileDamaged, match="has seen 21 acknowledged events"):
        EmbeddedStore(log_path, CAPACITY)
    assert files_beside(log_path) == before


@pytest.mark.parametrize("statement", ROWS)
def test_verify_reports_an_impossible_row_and_no_use_of_it_raises_a_foreign_error(
    log_path: Path, projection: Path, statement: str
) -> None:
    change(projection, statement)
    problems = "".join(verified(log_path).problems)
    assert str(projection) in problems
    assert "rebuild" in problems
    shown_state(log_path)
    touch_every_row(log_path)
    assert verified(log_path).problems != []


@pytest.mark.parametrize("status", ["'BROKEN'", "7", "CAST(x'ff' AS TEXT)"])
def test_an_impossible_reservation_is_unavailable_for_reads_and_for_events(
    log_path: Path, projection: Path, status: str
) -> None:
    change(projection, f"UPDATE reservations SET status = {status}")
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        for use in (
            lambda: store.reads.reservation("locker-1-parcel-3"),
            lambda: store.reads.locker("locker-1"),
            lambda: hashes(store.reads),
            lambda: ingest([event(picked_up("locker-1-parcel-3"))], store.unit_of_work()),
        ):
            with pytest.raises(StoreUnavailable, match="lockstream rebuild"):
                use()
        ingest([event(registered("c9"))], store.unit_of_work())
        assert store.log.end.position == 21, "events that do not touch the row are accepted"


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_bit_raises_a_foreign_error(
    log_path: Path, projection: Path, seed: int, fault_report: FaultReport
) -> None:
    """A flip inside a value may give another valid value, which no start notices. `verify` finds it."""
    expected = shown_state(log_path)
    assert expected.hashes == hashes_after_replay(log_path)
    whole, log = projection.read_bytes(), log_path.read_bytes()
    chance = random.Random(seed)
    used_bytes = [offset for offset, byte in enumerate(whole) if byte]
    unharmed, outcome = 0, FaultOutcome()
    for number in range(FLIPS // 3):
        outcome += FaultOutcome(1, 20)
        # given a projection with one flipped bit
        damaged = bytearray(whole)
        offset = chance.choice(used_bytes) if number % 2 else chance.randrange(len(whole))
        damaged[offset] ^= 1 << chance.randrange(8)
        # when it is verified and used
        replace(projection, bytes(damaged))
        problems = verified(log_path).problems
        replace(projection, bytes(damaged))
        shown = shown_state(log_path)
        # then a wrong state was reported, and the log is as it was
        differs = any(past not in (None, right) for past, right in zip(shown.pasts, expected.pasts, strict=False))
        if (differs or shown.hashes not in (None, expected.hashes)) and not problems:
            outcome.bricked.append(f"offset {offset}: neither reported nor right")
        unharmed += shown == expected
        if log_path.read_bytes() != log:
            outcome.lost.append("the log was changed because of the projection")
        if number % 5 == 0:
            replace(projection, bytes(damaged))
            touch_every_row(log_path)
            log_path.write_bytes(log)
    fault_report.add(PROJECTION, "the projection: a bit flipped", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert unharmed > 0


def replace(projection: Path, content: bytes) -> None:
    remove_database(projection)
    projection.write_bytes(content)


def test_a_start_rebuilds_a_projection_that_is_not_a_database(log_path: Path, projection: Path) -> None:
    before = files_beside(log_path)[log_path.name]
    shutil.copy(log_path, projection)
    assert verified(log_path).problems != []
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == before

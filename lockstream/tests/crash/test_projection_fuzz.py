"""Whatever stands in the projection's file: the state that the log gives, or one of our own errors; no traceback."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LockstreamError, StoreUnavailable
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.services.commands.verify import Verification, verify
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
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

FLIPS = 3_000 if FULL else 90
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
    "UPDATE recent_keys SET content = x'ff'",
    "UPDATE recent_keys SET content = 'text'",
    "UPDATE progress SET run = 5",
    "INSERT INTO progress SELECT 'other', position, offset, chain, run, run_checksum FROM progress",
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
    "UPDATE faults SET cleared = 'text'",
]


@pytest.fixture
def projection(log_path: Path) -> Path:
    """Of a log of twenty events."""
    for locker in LOCKERS:
        record(log_path, history(locker))
    return projection_path(log_path)


def change(projection: Path, statement: str) -> None:
    with closing(sqlite3.connect(projection)) as database, database:
        database.execute(statement)


def nothing_but_our_errors[FoundT](attempt: Callable[[], FoundT]) -> FoundT | None:
    try:
        return attempt()
    except LockstreamError:
        return None


def verified(log: Path) -> Verification:
    return verify(log, lambda reached: None)


def use(log: Path) -> dict[str, str] | None:
    """Start, read everything, and take in what touches every row; returns what was shown, if anything was."""
    store = nothing_but_our_errors(lambda: EmbeddedStore(log, CAPACITY))
    if store is None:
        return None
    with closing(store):
        queries = store.queries
        shown = nothing_but_our_errors(lambda: hashes(queries))
        for locker in LOCKERS:
            nothing_but_our_errors(lambda locker=locker: queries.locker(locker))  # type: ignore[misc]
            nothing_but_our_errors(lambda locker=locker: queries.compartment(locker, "c1"))  # type: ignore[misc]
            name = f"{locker}-parcel-1"
            nothing_but_our_errors(lambda name=name: queries.reservation(name))  # type: ignore[misc]
        return shown


def write_all_over(log: Path) -> None:
    """Take in, one by one, what was taken in before and what touches every row of it."""
    store = nothing_but_our_errors(lambda: EmbeddedStore(log, CAPACITY))
    if store is None:
        return
    with closing(store):
        bodies = [
            body for locker in LOCKERS for body in [*history(locker), picked_up(f"{locker}-parcel-3", locker=locker)]
        ]
        bodies += [fault_reported(3, "c2"), fault_cleared(bodies[6], "c2"), deposited("locker-1-parcel-1")]
        for one in [event(body) for body in bodies]:
            nothing_but_our_errors(lambda one=one: ingest([one], store.unit_of_work()))  # type: ignore[misc]
            nothing_but_our_errors(store.checkpoint)


@pytest.mark.parametrize("statement", PROGRESS)
def test_progress_that_is_not_this_logs_is_found_and_the_projection_made_anew(
    log_path: Path, projection: Path, statement: str, tally: Tally
) -> None:
    change(projection, statement)
    assert verified(log_path).problems != []
    found = Fate(1, 20, bricked=[] if hashes_after_start(log_path) == hashes_after_replay(log_path) else [statement])
    found.bricked += verified(log_path).problems
    tally("6", "the projection: its progress changed by hand", found)
    found.assert_none_lost_and_none_bricked()


@pytest.mark.parametrize("statement", ROWS)
def test_a_row_that_cannot_be_is_a_problem_and_no_crash(log_path: Path, projection: Path, statement: str) -> None:
    change(projection, statement)
    found = verified(log_path)
    assert str(projection) in "".join(found.problems)
    assert "rebuild" in "".join(found.problems)
    use(log_path)
    write_all_over(log_path)
    assert verified(log_path).problems != []


@pytest.mark.parametrize("status", ["'BROKEN'", "7", "CAST(x'ff' AS TEXT)"])
def test_a_reservation_that_cannot_be_is_unavailable_for_reads_and_for_events(
    log_path: Path, projection: Path, status: str
) -> None:
    change(projection, f"UPDATE reservations SET status = {status}")
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        for read in (
            lambda: store.queries.reservation("locker-1-parcel-3"),
            lambda: store.queries.locker("locker-1"),
            lambda: hashes(store.queries),
            lambda: ingest([event(picked_up("locker-1-parcel-3"))], store.unit_of_work()),
        ):
            with pytest.raises(StoreUnavailable, match="lockstream rebuild"):
                read()
        ingest([event(registered("c9"))], store.unit_of_work())
        assert store.log.end.position == 21, "what does not touch it goes on"


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_bit_ends_in_a_traceback(log_path: Path, projection: Path, seed: int, tally: Tally) -> None:
    """A flip inside a value may well be a value too: that is for `verify` to find, and for no start."""
    whole, log = projection.read_bytes(), log_path.read_bytes()
    expected = hashes_after_replay(log_path)
    chance = random.Random(seed)
    pages_in_use = [offset for offset, byte in enumerate(whole) if byte]
    unharmed, fate = 0, Fate()
    for number in range(FLIPS // 3):
        fate += Fate(1, 20)
        damaged = bytearray(whole)
        offset = chance.choice(pages_in_use) if number % 2 else chance.randrange(len(whole))
        damaged[offset] ^= 1 << chance.randrange(8)
        put(projection, bytes(damaged))
        found = verified(log_path)
        put(projection, bytes(damaged))
        shown = use(log_path)
        if shown not in (None, expected) and not found.problems:
            fate.bricked.append(f"offset {offset}: neither noticed nor right")
        unharmed += shown == expected
        if log_path.read_bytes() != log:
            fate.lost.append("a projection is no reason to touch the log")
        if number % 5 == 0:
            put(projection, bytes(damaged))
            write_all_over(log_path)
            log_path.write_bytes(log)
    tally("6", "the projection: a bit flipped", fate)
    fate.assert_none_lost_and_none_bricked()
    assert unharmed > 0


def put(projection: Path, content: bytes) -> None:
    remove_database(projection)
    projection.write_bytes(content)


def test_a_damaged_projection_does_not_keep_a_rebuild_from_mending_it(log_path: Path, projection: Path) -> None:
    before = files_beside(log_path)[log_path.name]
    shutil.copy(log_path, projection)
    assert verified(log_path).problems != []
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == before

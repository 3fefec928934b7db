"""The projection is a cache: whatever becomes of its files, a start mends it from the log."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LogDamaged
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.services.commands.verify import verify
from lockstream.tests.crash.fault_report import Fate, Tally
from lockstream.tests.support.builders import event, picked_up
from lockstream.tests.support.histories import CAPACITY, hashes_after_replay, hashes_after_start, history, record

PAGE = 4096


def missing(projection: Path) -> None:
    projection.unlink()


def empty(projection: Path) -> None:
    projection.write_bytes(b"")


def random_bytes(projection: Path) -> None:
    projection.write_bytes(os.urandom(10_000))


def cut_in_half(projection: Path) -> None:
    os.truncate(projection, projection.stat().st_size // 2)


def of_an_older_schema(projection: Path) -> None:
    """Its rules gave other rows."""
    change(projection, "UPDATE compartments SET degrading_faults = 0")
    change(projection, "UPDATE progress SET schema = 'older'")


def twice_in_progress(projection: Path) -> None:
    change(projection, "INSERT INTO progress SELECT 'other', position, offset, chain, run, run_checksum FROM progress")


def of_another_log(projection: Path) -> None:
    other = projection.parent / "other" / "log.jsonl"
    other.parent.mkdir()
    record(other, history("other"))
    shutil.copy(projection_path(other), projection)


def with_a_stale_write_ahead_log_only(projection: Path) -> None:
    """The database is gone, and the write-ahead log of another one is there."""
    other = projection.parent / "other" / "log.jsonl"
    other.parent.mkdir()
    store = EmbeddedStore(other, CAPACITY)
    ingest([event(body) for body in history("other")], store.unit_of_work())
    store.checkpoint()
    for suffix in ("-wal", "-shm"):
        of_other = projection_path(other).with_name(projection_path(other).name + suffix)
        assert of_other.stat().st_size > PAGE
        shutil.copy(of_other, projection.with_name(projection.name + suffix))
    store.close()
    projection.unlink()


def pages_overwritten(projection: Path) -> None:
    """The schema and how far it has come can be read, and the rows cannot."""
    with closing(sqlite3.connect(projection)) as database:
        (progress,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'progress'").fetchone()
        (pages,) = database.execute("PRAGMA page_count").fetchone()
    with projection.open("r+b") as file:
        for page in set(range(2, pages + 1)) - {progress}:
            file.seek((page - 1) * PAGE)
            file.write(os.urandom(PAGE))


def tables_missing(projection: Path) -> None:
    change(projection, "DROP TABLE reservations")


def change(projection: Path, statement: str) -> None:
    with closing(sqlite3.connect(projection)) as database, database:
        database.execute(statement)


def made_anew(log: Path) -> Fate:
    """Start without being asked for anything else, twice, and take something in between."""
    before, found = log.read_bytes(), Fate(1, len(log.read_bytes().splitlines()))
    for _ in range(2):
        if hashes_after_start(log) != hashes_after_replay(log):
            found.bricked.append("it shows something else than the log gives")
        if not log.read_bytes().startswith(before):
            found.lost.append("the log was changed")
        record(log, history(f"later-{found.faults}-{len(log.read_bytes())}"))
    return found


HARMS = [
    missing,
    empty,
    random_bytes,
    cut_in_half,
    of_an_older_schema,
    twice_in_progress,
    of_another_log,
    with_a_stale_write_ahead_log_only,
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_start_makes_a_projection_that_does_not_fit_anew(
    log_path: Path, harm: Callable[[Path], None], tally: Tally
) -> None:
    record(log_path, history())
    harm(projection_path(log_path))
    found = made_anew(log_path)
    tally("6", f"the projection: {harm.__name__.replace('_', ' ')}", found)
    found.assert_none_lost_and_none_bricked()


@pytest.mark.parametrize("harm", [pages_overwritten, tables_missing])
def test_a_projection_that_turns_out_to_be_damaged_while_it_catches_up_is_made_anew(
    log_path: Path, harm: Callable[[Path], None], tally: Tally
) -> None:
    projection, older = projection_path(log_path), log_path.with_name("older.sqlite")
    record(log_path, history())
    shutil.copy(projection, older)
    record(log_path, [picked_up("locker-1-parcel-3")])
    harm(older)
    older.rename(projection)
    found = made_anew(log_path)
    tally("6", f"the projection: {harm.__name__.replace('_', ' ')}", found)
    found.assert_none_lost_and_none_bricked()


BY_HAND = [
    "UPDATE compartments SET degrading_faults = 0",
    "UPDATE compartments SET active_reservation = NULL",
    "DELETE FROM reservations WHERE status = 'PICKED_UP'",
    "UPDATE reservations SET status = 'EXPIRED'",
    "UPDATE faults SET severity = 1",
    "UPDATE faults SET cleared = 1",
    "DELETE FROM compartments WHERE compartment_id = 'c2'",
]


@pytest.mark.parametrize("statement", BY_HAND)
def test_rows_changed_by_hand_are_named_by_verify_and_mended_by_the_command_that_it_names(
    log_path: Path, statement: str, tally: Tally
) -> None:
    record(log_path, history())
    change(projection_path(log_path), statement)
    said = "".join(verify(log_path, lambda reached: None).problems)
    rebuild(log_path, CAPACITY)
    left = verify(log_path, lambda reached: None).problems
    named = "differs from the log" in said and "`lockstream rebuild`" in said
    found = Fate(1, 10, bricked=left if named else [f"not noticed: {said}"])
    tally("6", "the projection: rows changed by hand, found by `verify`", found)
    found.assert_none_lost_and_none_bricked()
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_projection_ahead_of_its_log_proves_a_loss_and_the_command_that_is_named_mends_it(
    log_path: Path, tally: Tally
) -> None:
    record(log_path, history())
    log_path.write_bytes(b"".join(log_path.read_bytes().splitlines(keepends=True)[:6]))
    with pytest.raises(
        LogDamaged, match=r"line 7 \(byte offset \d+\): 10 events were acknowledged.*`lockstream rebuild`"
    ):
        hashes_after_start(log_path)
    rebuild(log_path, CAPACITY)
    found = made_anew(log_path)
    found.refused += 1
    tally("6", "the projection: ahead of the log", found)
    found.assert_none_lost_and_none_bricked()


def test_a_projection_that_is_behind_catches_up(log_path: Path) -> None:
    projection, older = projection_path(log_path), log_path.with_name("older.sqlite")
    record(log_path, history())
    shutil.copy(projection, older)
    record(log_path, [picked_up("locker-1-parcel-3"), *history("locker-2")])
    older.rename(projection)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_what_an_unfinished_rebuild_left_is_no_hindrance(log_path: Path) -> None:
    record(log_path, history())
    projection = projection_path(log_path)
    projection.rename(f"{projection}.new")
    projection.with_name(f"{projection.name}.new-journal").write_bytes(b"left behind")
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert sorted(path.name for path in log_path.parent.iterdir()) == [log_path.name, projection.name]

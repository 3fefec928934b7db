"""The projection is a cache: after any damage to its files, a start rebuilds it from the log."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.fault_report import PROJECTION, FaultOutcome, FaultReport
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
    """Change rows as rules of an older version would have."""
    change(projection, "UPDATE compartments SET degrading_faults = 0")
    change(projection, "UPDATE progress SET schema = 'older'")


def twice_in_progress(projection: Path) -> None:
    change(
        projection,
        "INSERT INTO progress SELECT 'other', position, offset, chain, run, run_checksum, acknowledged FROM progress",
    )


def of_another_log(projection: Path) -> None:
    other = projection.parent / "other" / "log.jsonl"
    other.parent.mkdir()
    record(other, history("other"))
    shutil.copy(projection_path(other), projection)


def only_a_stale_write_ahead_log(projection: Path) -> None:
    """Remove the database, and put the write-ahead log of another one there."""
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
    """Overwrite the rows. The schema and the progress can still be read."""
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
    with closing(sqlite3.connect(projection)) as database:
        database.executescript(statement)


def start_twice(log: Path) -> FaultOutcome:
    """Start, accept events, and start again, with no other help. Each start must show the state of a replay."""
    before = log.read_bytes()
    outcome = FaultOutcome(1, len(before.splitlines()))
    for _ in range(2):
        if hashes_after_start(log) != hashes_after_replay(log):
            outcome.bricked.append("the store shows a state that the log does not give")
        if not log.read_bytes().startswith(before):
            outcome.lost.append("the log was changed")
        record(log, history(f"later-{len(log.read_bytes())}"))
    return outcome


HARMS = [
    missing,
    empty,
    random_bytes,
    cut_in_half,
    of_an_older_schema,
    twice_in_progress,
    of_another_log,
    only_a_stale_write_ahead_log,
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_start_rebuilds_a_projection_that_does_not_fit(
    log_path: Path, harm: Callable[[Path], None], fault_report: FaultReport
) -> None:
    record(log_path, history())
    harm(projection_path(log_path))
    outcome = start_twice(log_path)
    fault_report.add(PROJECTION, f"the projection: {harm.__name__.replace('_', ' ')}", outcome)
    outcome.assert_nothing_lost_or_bricked()


@pytest.mark.parametrize("harm", [pages_overwritten, tables_missing])
def test_a_start_rebuilds_a_projection_whose_damage_shows_during_the_catch_up(
    log_path: Path, harm: Callable[[Path], None], fault_report: FaultReport
) -> None:
    # given a damaged projection that is behind the log
    projection, older = projection_path(log_path), log_path.with_name("older.sqlite")
    record(log_path, history())
    shutil.copy(projection, older)
    record(log_path, [picked_up("locker-1-parcel-3")])
    harm(older)
    older.rename(projection)
    # when the store is started, then it shows the state of a replay
    outcome = start_twice(log_path)
    fault_report.add(PROJECTION, f"the projection: {harm.__name__.replace('_', ' ')}", outcome)
    outcome.assert_nothing_lost_or_bricked()


INDEX_WITHOUT_AN_ENTRY = """
    DROP INDEX reservations_by_deposit;
    CREATE INDEX reservations_by_deposit ON reservations (locker_id, deposited_position, compartment_id)
        WHERE deposited_position > 4;
    PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = replace(sql, '> 4', '> 0') WHERE name = 'reservations_by_deposit'
"""
"""Removes the deposit at position 4 from the history of its locker."""

BY_HAND = [
    "UPDATE compartments SET degrading_faults = 0",
    "UPDATE compartments SET active_reservation = NULL",
    "DELETE FROM reservations WHERE status = 'PICKED_UP'",
    "UPDATE reservations SET status = 'EXPIRED'",
    "UPDATE faults SET severity = 1",
    "UPDATE faults SET cleared_position = 1",
    "UPDATE reservations SET changed_position = 1",
    "UPDATE compartments SET registered_position = 9",
    "UPDATE lockers SET occupied = 0",
    "UPDATE moments SET time = 1",
    "DELETE FROM compartments WHERE compartment_id = 'c2'",
    INDEX_WITHOUT_AN_ENTRY,
]


@pytest.mark.parametrize("statement", BY_HAND)
def test_verify_reports_rows_changed_by_hand_and_names_the_command_that_corrects_them(
    log_path: Path, statement: str, fault_report: FaultReport
) -> None:
    # given a projection with rows that were changed by hand
    record(log_path, history())
    change(projection_path(log_path), statement)
    # when it is verified, and the named command is run
    problems = "".join(verify_file(log_path, ignore_progress).problems)
    is_reported = "differs from the log" in problems and "`lockstream rebuild`" in problems
    rebuild(log_path, CAPACITY)
    # then the projection equals the log
    problems_left = verify_file(log_path, ignore_progress).problems
    outcome = FaultOutcome(1, 10, bricked=problems_left if is_reported else [f"not reported: {problems}"])
    fault_report.add(PROJECTION, "the projection: rows changed by hand, found by `verify`", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_start_is_refused_if_the_projection_has_seen_more_than_the_log_and_the_named_command_helps(
    log_path: Path, fault_report: FaultReport
) -> None:
    # given a log that has lost its end
    record(log_path, history())
    log_path.write_bytes(b"".join(log_path.read_bytes().splitlines(keepends=True)[:6]))
    # when it is started, then the refusal names the command that accepts the loss
    with pytest.raises(
        LogFileDamaged,
        match=r"line 7 \(byte offset \d+\): .*has seen 10 acknowledged events.*holds only 6.*`lockstream rebuild`",
    ):
        hashes_after_start(log_path)
    rebuild(log_path, CAPACITY)
    outcome = start_twice(log_path)
    outcome.refused += 1
    fault_report.add(PROJECTION, "the projection: ahead of the log", outcome)
    outcome.assert_nothing_lost_or_bricked()


def test_a_projection_that_is_behind_the_log_catches_up(log_path: Path) -> None:
    projection, older = projection_path(log_path), log_path.with_name("older.sqlite")
    record(log_path, history())
    shutil.copy(projection, older)
    record(log_path, [picked_up("locker-1-parcel-3"), *history("locker-2")])
    older.rename(projection)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_start_removes_the_files_of_an_unfinished_rebuild(log_path: Path) -> None:
    record(log_path, history())
    projection = projection_path(log_path)
    projection.rename(f"{projection}.new")
    projection.with_name(f"{projection.name}.new-journal").write_bytes(b"left behind")
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert sorted(path.name for path in log_path.parent.iterdir()) == [log_path.name, projection.name]

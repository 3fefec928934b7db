"""`lockstream verify`."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.builders import registered
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.processes import Server

HEALTHY = "10 events and 1 lockers are as they should be."


def test_a_healthy_log_passes_and_nothing_is_changed(log_path: Path, run: Run) -> None:
    record(log_path, history())
    before = log_path.read_bytes()
    ended = run("verify")
    assert (ended.code, ended.said) == (0, f"{HEALTHY}\n")
    assert log_path.read_bytes() == before


def test_an_empty_log_passes(log_path: Path, run: Run) -> None:
    hashes_after_start(log_path)
    assert run("verify").code == 0


def test_a_log_without_a_projection_passes_with_a_note(log_path: Path, run: Run) -> None:
    record(log_path, history())
    projection_path(log_path).unlink()
    ended = run("verify")
    assert ended.code == 0
    assert "no projection yet" in ended.said


def test_a_missing_log_is_named(log_path: Path, run: Run) -> None:
    run("verify").in_a_sentence(str(log_path))
    assert files_beside(log_path) == {}


@pytest.mark.parametrize("number", [1, 4, 10])
def test_a_damaged_line_is_named_with_its_offset(log_path: Path, run: Run, number: int) -> None:
    record(log_path, history())
    lines = log_path.read_bytes().splitlines(keepends=True)
    offset = len(b"".join(lines[: number - 1]))
    lines[number - 1] = lines[number - 1].replace(b"locker-1", b"locker-X")
    log_path.write_bytes(b"".join(lines))
    ended = run("verify")
    assert ended.code == 1
    assert f"{log_path} is damaged at line {number} (byte offset {offset})" in ended.said
    assert "as they should be" not in ended.said


def test_a_torn_end_is_no_damage_but_worth_a_note(log_path: Path, run: Run) -> None:
    record(log_path, history())
    log_path.write_bytes(log_path.read_bytes() + b'{"position":11,"rec')
    ended = run("verify")
    assert ended.code == 0
    assert "19 bytes" in ended.said
    assert HEALTHY in ended.said


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE compartments SET active_reservation = NULL", "Compartment ('locker-1', 'c1')"),
        ("UPDATE compartments SET degrading_faults = 0", "Compartment ('locker-1', 'c2')"),
        ("UPDATE reservations SET status = 'EXPIRED' WHERE status = 'DEPOSITED'", "Reservation locker-1-parcel-3"),
        ("UPDATE faults SET cleared = 1", "Fault "),
        ("DELETE FROM recent_keys", "the key "),
        ("INSERT INTO compartments VALUES ('locker-9', 'c1', NULL, 0)", "'locker-9'"),
        ("DELETE FROM compartments", "'locker-1'"),
    ],
)
def test_a_row_changed_by_hand_is_named_and_a_rebuild_mends_it(
    log_path: Path, run: Run, change: str, named: str
) -> None:
    record(log_path, history())
    with closing(sqlite3.connect(projection_path(log_path))) as database, database:
        assert database.execute(change).rowcount > 0
    ended = run("verify")
    assert ended.code == 1
    assert named in ended.said
    assert "lockstream rebuild" in ended.said
    assert run("rebuild").code == 0
    assert run("verify").code == 0
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


@pytest.mark.parametrize("content", [b"", b"no database" * 1000], ids=["empty", "garbage"])
def test_a_projection_that_is_none_is_named(log_path: Path, run: Run, content: bytes) -> None:
    record(log_path, history())
    projection_path(log_path).write_bytes(content)
    ended = run("verify")
    assert ended.code == 1
    assert str(projection_path(log_path)) in ended.said


def test_a_log_that_has_lost_its_end_is_a_problem(log_path: Path, run: Run) -> None:
    record(log_path, history())
    log_path.write_bytes(b"".join(log_path.read_bytes().splitlines(keepends=True)[:-1]))
    ended = run("verify")
    assert ended.code == 1
    assert "holds 9 events, yet 10 were acknowledged" in ended.said


def test_it_runs_beside_a_server_that_is_being_written_to(log_path: Path, run: Run) -> None:
    done = threading.Event()
    statuses: set[int] = set()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            statuses.add(server.post(json.dumps(registered(f"c{number}")).encode()))
            if number % 10 == 0:
                server.get("/lockers/locker-1")

    with Server(log_path).start() as server:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            ended = [run("verify") for _ in range(15)]
        finally:
            done.set()
            writer.join()
        assert [(one.code, one.said) for one in ended if one.code] == []
    assert statuses == {202}

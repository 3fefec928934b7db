"""`lockstream verify` of a log file."""

import json
import re
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.infrastructure.access.audit_file import audit_path, refusals_path
from lockstream.infrastructure.access.key_file import keys_path
from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.processes import Server

VERIFIED = "OK: 10 events and 1 locker verified."


def test_a_sound_log_passes_and_stays_unchanged(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history())
    before = log_path.read_bytes()
    result = run_command("verify")
    assert (result.exit_code, result.errors) == (0, f"{VERIFIED}\n")
    assert log_path.read_bytes() == before


def test_an_empty_log_passes(log_path: Path, run_command: RunCommand) -> None:
    hashes_after_start(log_path)
    result = run_command("verify")
    assert (result.exit_code, result.errors) == (0, "OK: 0 events and 0 lockers verified.\n")


def test_one_event_and_two_lockers_are_counted_as_such(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, [registered("c1")])
    assert run_command("verify").errors == "OK: 1 event and 1 locker verified.\n"
    record(log_path, [registered("c1", locker="locker-2")])
    assert run_command("verify").errors == "OK: 2 events and 2 lockers verified.\n"


def test_a_log_without_a_projection_passes_with_a_note(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history())
    projection_path(log_path).unlink()
    result = run_command("verify")
    assert result.exit_code == 0
    assert "no projection yet" in result.errors


@pytest.mark.parametrize("number", [1, 4, 10])
def test_verify_names_a_damaged_line_and_its_offset(
    log_path: Path, run_command: RunCommand, lines: list[bytes], number: int
) -> None:
    offset = len(b"".join(lines[: number - 1]))
    lines[number - 1] = lines[number - 1].replace(b"locker-1", b"locker-X")
    log_path.write_bytes(b"".join(lines))
    result = run_command("verify")
    assert result.exit_code == 1
    assert f"{log_path} is damaged at line {number} (byte offset {offset})" in result.errors
    assert "OK" not in result.errors


@pytest.mark.parametrize(
    ("tail", "counted"), [(b'{"position":11,"rec', "19 bytes: "), (b"{", "1 byte: ")], ids=["19 bytes", "1 byte"]
)
def test_a_torn_tail_passes_with_a_note(
    log_path: Path, run_command: RunCommand, lines: list[bytes], tail: bytes, counted: str
) -> None:
    log_path.write_bytes(b"".join([*lines, tail]))
    result = run_command("verify")
    assert result.exit_code == 0
    assert f"The last complete line is followed by {counted}" in result.errors
    assert VERIFIED in result.errors


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE compartments SET active_reservation = NULL", "Compartment ('locker-1', 'c1')"),
        ("UPDATE compartments SET degrading_faults = 0", "Compartment ('locker-1', 'c2')"),
        ("UPDATE reservations SET status = 'EXPIRED' WHERE status = 'DEPOSITED'", "Reservation locker-1-parcel-3"),
        ("UPDATE faults SET cleared_position = 1", "Fault "),
        ("UPDATE compartments SET registered_position = 9", "Compartment ('locker-1', 'c1')"),
        ("UPDATE lockers SET available = available + 1", "LockerTotals locker-1"),
        ("UPDATE moments SET time = time + 1", "the recorded time at position 1"),
        ("UPDATE network SET available = available + 1", "the totals of the network"),
        ("UPDATE open_fault_counts SET count = 9", "the numbers of open faults"),
        ("DELETE FROM open_fault_counts", "the numbers of open faults"),
        ("INSERT INTO open_fault_counts VALUES (9, 0)", "the numbers of open faults"),
        ("DELETE FROM moments", "the recorded time at position 1"),
        ("DELETE FROM memtable", "the id "),
        ("INSERT INTO compartments VALUES ('locker-9', 'c1', NULL, 0, 1, 1)", "'locker-9'"),
        ("DELETE FROM compartments", "'locker-1'"),
    ],
)
def test_verify_names_a_row_changed_by_hand_and_a_rebuild_corrects_it(
    log_path: Path, run_command: RunCommand, change: str, named: str
) -> None:
    # given
    record(log_path, history())
    with closing(sqlite3.connect(projection_path(log_path))) as database, database:
        assert database.execute(change).rowcount > 0
    # when
    result = run_command("verify")
    # then
    assert result.exit_code == 1
    assert named in result.errors
    assert "lockstream rebuild" in result.errors
    # and a rebuild corrects it
    assert run_command("rebuild").exit_code == 0
    assert run_command("verify").exit_code == 0
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


@pytest.mark.parametrize("content", [b"", b"no database" * 1000], ids=["empty", "garbage"])
def test_verify_names_a_projection_that_is_not_a_database(
    log_path: Path, run_command: RunCommand, content: bytes
) -> None:
    record(log_path, history())
    projection_path(log_path).write_bytes(content)
    result = run_command("verify")
    assert result.exit_code == 1
    assert str(projection_path(log_path)) in result.errors


@pytest.mark.parametrize(
    "beside",
    [keys_path, audit_path, refusals_path, quarantine_path],
    ids=["keys", "audit log", "refusals", "quarantine"],
)
def test_verify_names_damage_of_the_log_also_if_a_file_beside_it_cannot_be_read(
    log_path: Path, run_command: RunCommand, lines: list[bytes], beside: Callable[[Path], Path]
) -> None:
    # given a damaged log, and a folder in the place of a file, which nobody can read
    log_path.write_bytes(b"".join(lines).replace(b"locker-1", b"locker-X", 1))
    beside(log_path).mkdir(mode=0o700)
    # when
    result = run_command("verify")
    # then both are named
    assert result.exit_code == 1
    assert f"{log_path} is damaged at line 1 " in result.errors
    assert re.search(rf"{re.escape(str(beside(log_path)))}(:| cannot be read \() ?Is a directory", result.errors)


def test_verify_finds_that_a_log_has_lost_its_end(log_path: Path, run_command: RunCommand, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join(lines[:-1]))
    result = run_command("verify")
    assert result.exit_code == 1
    assert "holds only 9 events" in result.errors
    assert "has seen 10 acknowledged events" in result.errors


def test_verify_passes_beside_a_server_that_accepts_events(log_path: Path, run_command: RunCommand) -> None:
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
            results = [run_command("verify") for _ in range(15)]
        finally:
            done.set()
            writer.join()
    assert [result for result in results if result.exit_code] == []
    assert statuses == {202}

"""`lockstream backup`."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.core.errors import BackupFailed, LogFileDamaged
from lockstream.services.commands.backup import back_up
from lockstream.tests.presentation.cli.killed_command import kill_after
from lockstream.tests.support.builders import picked_up, registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import files_beside, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import NO_SPACE, Server, command, needs_strace, wait_until

MANY = 3_000


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """The path of a copy that does not exist yet, in an empty folder."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder / "copy.jsonl"


@pytest.fixture
def many_lines(log_path: Path) -> bytes:
    """The content of a log for which the backup's progress is reported."""
    record(log_path, (registered(f"c{number}") for number in range(MANY)))
    return log_path.read_bytes()


def test_a_backup_equals_the_log_and_prints_its_last_chain_value(
    log_path: Path, run_command: RunCommand, destination: Path
) -> None:
    # given
    record(log_path, history())
    before = files_beside(log_path)
    # when
    result = run_command("backup", destination)
    # then
    chain = audited(log_path)[-1]["chain"]
    printed = f"10 events copied to {destination}. The last one has the chain value {chain}.\n"
    assert (result.exit_code, result.errors) == (0, printed)
    assert files_beside(destination) == {destination.name: log_path.read_bytes()}
    assert files_beside(log_path) == before


def test_backups_of_the_same_events_print_the_same_chain_value(
    log_path: Path, run_command: RunCommand, destination: Path
) -> None:
    # given two backups of the same log
    record(log_path, history())
    second, third = destination.with_name("second"), destination.with_name("third")
    first = run_command("backup", destination).errors
    assert run_command("backup", second).errors.replace(str(second), str(destination)) == first
    # when one more event is accepted
    record(log_path, [picked_up("locker-1-parcel-3")])
    later = run_command("backup", third).errors.replace(str(third), str(destination))
    # then the next backup prints another chain value
    assert "11 events" in later
    assert later.split("value")[1] != first.split("value")[1]


def test_a_backup_of_an_empty_log_is_empty(log_path: Path, run_command: RunCommand, destination: Path) -> None:
    hashes_after_start(log_path)
    result = run_command("backup", destination)
    assert (result.exit_code, result.errors) == (0, f"0 events copied to {destination}.\n")
    assert destination.read_bytes() == b""


def test_a_backup_of_one_event_counts_one_event(log_path: Path, run_command: RunCommand, destination: Path) -> None:
    record(log_path, history()[:1])
    assert run_command("backup", destination).errors.startswith("1 event copied to ")


def test_a_backup_does_not_contain_a_torn_tail(log_path: Path, run_command: RunCommand, destination: Path) -> None:
    record(log_path, history())
    whole = log_path.read_bytes()
    log_path.write_bytes(whole + whole[:100])
    assert run_command("backup", destination).exit_code == 0
    assert destination.read_bytes() == whole
    assert log_path.read_bytes() == whole + whole[:100]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_backup_has_the_permissions_of_the_log(
    log_path: Path, run_command: RunCommand, destination: Path, mode: int
) -> None:
    record(log_path, history())
    log_path.chmod(mode)
    run_command("backup", destination)
    assert destination.stat().st_mode & 0o777 == mode


def create_file(destination: Path) -> None:
    destination.write_bytes(b"older")


def create_folder(destination: Path) -> None:
    destination.mkdir()


def create_dangling_link(destination: Path) -> None:
    destination.symlink_to("nothing")


def identity_and_change(path: Path) -> tuple[int, ...]:
    """Return numbers that differ if a file was replaced or changed. Looking at the file changes none of them."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.parametrize("create", [create_file, create_folder, create_dangling_link])
def test_a_backup_overwrites_nothing(
    log_path: Path, run_command: RunCommand, destination: Path, create: Callable[[Path], None]
) -> None:
    """The error comes before the log is read, which may take long. The log of this test is damaged."""
    log_path.write_bytes(b"damaged\n")
    create(destination)
    before = identity_and_change(destination)
    run_command("backup", destination).assert_is_error(f"{destination} exists")
    assert identity_and_change(destination) == before
    assert list(destination.parent.iterdir()) == [destination]


def test_a_backup_names_a_missing_folder_and_does_not_create_it(
    log_path: Path, run_command: RunCommand, tmp_path: Path
) -> None:
    record(log_path, history())
    folder = tmp_path / "missing"
    run_command("backup", folder / "copy").assert_is_error(f"The folder {folder} does not exist")
    assert not folder.exists()


@pytest.mark.parametrize("path", [".", "missing/log.jsonl", "/sys/log.jsonl"])
def test_a_backup_names_a_log_that_cannot_exist(run_command: RunCommand, destination: Path, path: str) -> None:
    run_command("backup", destination, EVENT_LOG_PATH=path).assert_is_error(path)
    assert files_beside(destination) == {}


@pytest.mark.parametrize("number", [1, 4, 10])
def test_a_backup_of_a_damaged_log_names_the_line_and_leaves_no_copy(
    log_path: Path, run_command: RunCommand, destination: Path, lines: list[bytes], number: int
) -> None:
    offset = len(b"".join(lines[: number - 1]))
    lines[number - 1] = lines[number - 1].replace(b"locker-1", b"locker-X")
    log_path.write_bytes(b"".join(lines))
    result = run_command("backup", destination)
    result.assert_is_error(f"{log_path} is damaged at line {number} (byte offset {offset})")
    assert files_beside(destination) == {}


def test_a_backup_onto_a_full_disk_fails_and_leaves_no_copy(log_path: Path, destination: Path) -> None:
    record(log_path, history())
    result = command(log_path, "backup", str(destination), under=NO_SPACE)
    assert result.returncode == 1
    assert result.stderr.decode().startswith(f"lockstream: The log {log_path} could not be copied to {destination} (")
    assert result.stderr.count(b"\n") == 1
    assert files_beside(destination) == {}


def unfinished_copies(destination: Path) -> list[Path]:
    return list(destination.parent.glob(f"{destination.name}.unfinished-*"))


def test_a_backup_fails_if_the_copy_reads_differently(log_path: Path, destination: Path, many_lines: bytes) -> None:
    """The copy is read again, as a start would read it."""

    def damage_copy(reached: int, end: int) -> None:
        (copy,) = unfinished_copies(destination)
        content = copy.read_bytes()
        copy.write_bytes(content[:-100] + b"X" + content[-99:])

    with pytest.raises(BackupFailed, match=rf"damaged at line {MANY}, and the log is not.*disk"):
        back_up(log_path, destination, damage_copy)
    assert files_beside(destination) == {}


def test_a_backup_names_the_log_if_the_log_is_damaged_too(
    log_path: Path, destination: Path, lines: list[bytes]
) -> None:
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    with pytest.raises(LogFileDamaged, match=f"The log {re.escape(str(log_path))} is damaged") as raised:
        back_up(log_path, destination, lambda reached, end: None)
    assert (raised.value.position, raised.value.offset) == (3, len(b"".join(lines[:2])))


def test_a_backup_does_not_overwrite_a_file_that_appears_meanwhile(
    log_path: Path, destination: Path, many_lines: bytes
) -> None:
    with pytest.raises(BackupFailed, match="exists"):
        back_up(log_path, destination, lambda reached, end: create_file(destination))
    assert files_beside(destination) == {destination.name: b"older"}


@needs_strace
def test_a_backup_is_flushed_before_it_gets_its_name(log_path: Path, destination: Path, tmp_path: Path) -> None:
    # given
    record(log_path, history())
    trace = tmp_path / "trace.txt"
    strace = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync,/^rename"]
    # when
    assert command(log_path, "backup", str(destination), under=strace).returncode == 0
    # then the copy, its name and its folder are flushed in this order
    calls = [line for line in trace.read_text().splitlines() if str(destination.parent) in line]
    assert re.findall(r"fsync|rename", " ".join(line.split("(")[0] for line in calls)) == ["fsync", "rename", "fsync"]
    assert ".unfinished-" in calls[0]
    assert f"<{destination.parent}>" in calls[2]


def test_a_killed_backup_leaves_no_copy_and_does_not_disturb_the_next_one(
    log_path: Path, run_command: RunCommand, destination: Path, many_lines: bytes
) -> None:
    # given
    kill_after(MANY // 2, log_path, "backup", str(destination))
    assert len(unfinished_copies(destination)) == 1
    assert not destination.exists()
    assert log_path.read_bytes() == many_lines
    # when
    assert run_command("backup", destination).exit_code == 0
    # then
    assert destination.read_bytes() == many_lines


def test_a_backup_beside_a_busy_server_contains_all_events_acknowledged_before(
    log_path: Path, run_command: RunCommand, destination: Path
) -> None:
    done = threading.Event()
    acknowledged: list[str] = []

    def write() -> None:
        while not done.is_set():
            body = registered(f"c{len(acknowledged)}")
            assert server.post(json.dumps(body).encode()) == 202
            acknowledged.append(body["event_id"])

    # given a server that accepts events
    with Server(log_path).start() as server:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(10):
                # when
                copy = destination.with_name(f"copy-{number}")
                before = acknowledged.copy()
                assert run_command("backup", copy).exit_code == 0
                # then
                assert [entry["event_id"] for entry in audited(copy)][: len(before)] == before
            wait_until(lambda: len(acknowledged) > 10)
        finally:
            done.set()
            writer.join()
    log = log_path.read_bytes()
    assert all(log.startswith(copy.read_bytes()) for copy in destination.parent.iterdir())


def test_a_path_that_looks_like_markup_is_printed_unchanged(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history())
    copy = log_path.with_name(":bug: [red].jsonl")
    assert str(copy) in run_command("backup", copy).errors

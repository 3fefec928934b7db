"""`lockstream backup`."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import BackupFailed, LogDamaged
from lockstream.services.commands.backup import back_up
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.presentation.cli.test_rebuild import killed_after
from lockstream.tests.support.builders import picked_up, registered
from lockstream.tests.support.histories import files_beside, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import NO_SPACE, Server, command, needs_strace, wait_until

MANY = 3_000


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """Where a copy goes: a file that is not there yet, in a folder with nothing in it."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder / "copy.jsonl"


def test_a_copy_is_the_log_and_says_what_it_holds(log_path: Path, run: Run, destination: Path) -> None:
    record(log_path, history())
    before = files_beside(log_path)
    ended = run("backup", destination)
    chain = audited(log_path)[-1]["chain"]
    said = f"10 events are in {destination}. The chain value of the last one is {chain}.\n"
    assert (ended.code, ended.said) == (0, said)
    assert files_beside(destination) == {destination.name: log_path.read_bytes()}
    assert files_beside(log_path) == before


def test_copies_of_the_same_events_say_the_same(log_path: Path, run: Run, destination: Path) -> None:
    record(log_path, history())
    second, third = destination.with_name("second"), destination.with_name("third")
    first = run("backup", destination).said
    assert run("backup", second).said.replace(str(second), str(destination)) == first
    record(log_path, [picked_up("locker-1-parcel-3")])
    later = run("backup", third).said.replace(str(third), str(destination))
    assert "11 events" in later
    assert later.split("value")[1] != first.split("value")[1]


def test_an_empty_log_has_an_empty_copy(log_path: Path, run: Run, destination: Path) -> None:
    hashes_after_start(log_path)
    ended = run("backup", destination)
    assert (ended.code, ended.said.split(" are ")[0]) == (0, "0 events")
    assert destination.read_bytes() == b""


def test_a_torn_last_line_is_not_in_the_copy(log_path: Path, run: Run, destination: Path) -> None:
    record(log_path, history())
    whole = log_path.read_bytes()
    log_path.write_bytes(whole + whole[:100])
    assert run("backup", destination).code == 0
    assert destination.read_bytes() == whole
    assert log_path.read_bytes() == whole + whole[:100]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_copy_is_as_private_as_the_log(log_path: Path, run: Run, destination: Path, mode: int) -> None:
    record(log_path, history())
    log_path.chmod(mode)
    run("backup", destination)
    assert destination.stat().st_mode & 0o777 == mode


def a_file(destination: Path) -> None:
    destination.write_bytes(b"older")


def a_folder(destination: Path) -> None:
    destination.mkdir()


def a_link_to_nothing(destination: Path) -> None:
    destination.symlink_to("nothing")


@pytest.mark.parametrize("make", [a_file, a_folder, a_link_to_nothing])
def test_nothing_is_overwritten(log_path: Path, run: Run, destination: Path, make: Callable[[Path], None]) -> None:
    """It is said before the log is read: that may take long, and this one is damaged."""
    log_path.write_bytes(b"damaged\n")
    make(destination)
    before = destination.lstat()
    run("backup", destination).in_a_sentence(str(destination), "there already")
    assert destination.lstat() == before
    assert list(destination.parent.iterdir()) == [destination]


def test_a_folder_that_is_not_there_is_named_and_not_made(log_path: Path, run: Run, tmp_path: Path) -> None:
    record(log_path, history())
    folder = tmp_path / "missing"
    run("backup", folder / "copy").in_a_sentence(f"There is no folder {folder}")
    assert not folder.exists()


@pytest.mark.parametrize("place", [".", "missing/log.jsonl", "/sys/log.jsonl"])
def test_a_log_that_is_not_there_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, destination: Path, place: str
) -> None:
    monkeypatch.setenv("EVENT_LOG_PATH", place)
    run("backup", destination).in_a_sentence(place)
    assert files_beside(destination) == {}


@pytest.mark.parametrize("number", [1, 4, 10])
def test_damage_is_named_and_leaves_no_copy(log_path: Path, run: Run, destination: Path, number: int) -> None:
    record(log_path, history())
    lines = log_path.read_bytes().splitlines(keepends=True)
    offset = len(b"".join(lines[: number - 1]))
    lines[number - 1] = lines[number - 1].replace(b"locker-1", b"locker-X")
    log_path.write_bytes(b"".join(lines))
    ended = run("backup", destination)
    ended.in_a_sentence(f"{log_path} is damaged at line {number} (byte offset {offset})")
    assert files_beside(destination) == {}


def test_a_full_disk_is_named_and_leaves_no_copy(log_path: Path, destination: Path) -> None:
    record(log_path, history())
    ended = command(log_path, "backup", str(destination), under=NO_SPACE)
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"lockstream: The log {log_path} could not be copied to {destination} (")
    assert ended.stderr.count(b"\n") == 1
    assert files_beside(destination) == {}


def drafts(destination: Path) -> list[Path]:
    return list(destination.parent.glob(f"{destination.name}.unfinished-*"))


def test_a_copy_that_is_not_what_was_read_is_no_backup(log_path: Path, destination: Path) -> None:
    """The copy is read again, as a start would read it."""
    record(log_path, (registered(f"c{number}") for number in range(MANY)))

    def harm(reached: Cursor) -> None:
        (draft,) = drafts(destination)
        content = draft.read_bytes()
        draft.write_bytes(content[:-100] + b"X" + content[-99:])

    with pytest.raises(BackupFailed, match=rf"damaged at line {MANY}, and the log is not.*disk"):
        back_up(log_path, destination, harm)
    assert files_beside(destination) == {}


def test_where_the_log_is_damaged_the_log_is_named(log_path: Path, destination: Path) -> None:
    record(log_path, history())
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    with pytest.raises(LogDamaged) as raised:
        back_up(log_path, destination, lambda reached: None)
    assert (raised.value.path, raised.value.line) == (log_path, 3)


def test_what_somebody_puts_there_meanwhile_is_not_overwritten(log_path: Path, destination: Path) -> None:
    record(log_path, (registered(f"c{number}") for number in range(MANY)))
    with pytest.raises(BackupFailed, match="there already"):
        back_up(log_path, destination, lambda reached: a_file(destination))
    assert files_beside(destination) == {destination.name: b"older"}


@needs_strace
def test_a_copy_is_on_the_disk_before_it_bears_its_name(log_path: Path, destination: Path, tmp_path: Path) -> None:
    record(log_path, history())
    trace = tmp_path / "trace.txt"
    watched = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync,/^rename"]
    assert command(log_path, "backup", str(destination), under=watched).returncode == 0
    calls = [line for line in trace.read_text().splitlines() if str(destination.parent) in line]
    assert re.findall(r"fsync|rename", " ".join(line.split("(")[0] for line in calls)) == ["fsync", "rename", "fsync"]
    assert ".unfinished-" in calls[0]
    assert f"<{destination.parent}>" in calls[2]


def test_a_backup_that_was_killed_leaves_no_copy_and_the_next_one_none_the_less_succeeds(
    log_path: Path, run: Run, destination: Path
) -> None:
    record(log_path, (registered(f"c{number}") for number in range(MANY)))
    content = log_path.read_bytes()
    killed_after(MANY // 2, log_path, "backup", str(destination))
    assert len(drafts(destination)) == 1
    assert not destination.exists()
    assert log_path.read_bytes() == content
    assert run("backup", destination).code == 0
    assert destination.read_bytes() == content


def test_beside_a_server_that_is_being_written_to_it_takes_all_that_was_acknowledged_before(
    log_path: Path, run: Run, destination: Path
) -> None:
    done = threading.Event()
    acknowledged: list[str] = []

    def write() -> None:
        while not done.is_set():
            body = registered(f"c{len(acknowledged)}")
            assert server.post(json.dumps(body).encode()) == 202
            acknowledged.append(body["event_id"])

    with Server(log_path).start() as server:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(10):
                copy = destination.with_name(f"copy-{number}")
                before = acknowledged.copy()
                assert run("backup", copy).code == 0
                assert [entry["event_id"] for entry in audited(copy)][: len(before)] == before
            wait_until(lambda: len(acknowledged) > 10)
        finally:
            done.set()
            writer.join()
    log = log_path.read_bytes()
    assert all(log.startswith(copy.read_bytes()) for copy in destination.parent.iterdir())


def test_a_path_is_told_as_it_is(log_path: Path, run: Run) -> None:
    record(log_path, history())
    copy = log_path.with_name(":bug:.jsonl")
    assert str(copy) in run("backup", copy).said

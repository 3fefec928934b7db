"""The file of the quarantine beside a log: verified, backed up, restored, and left alone by other commands."""

import json
import signal
from pathlib import Path

import pytest

from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.tests.support.builders import picked_up, registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import history, record
from lockstream.tests.support.processes import Server


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of one event, with two refused events in its quarantine, and a third that was accepted later."""
    with Server(log_path).start() as server:
        reservation = {**registered("c1"), "type": "ReservationCreated"}
        reservation["payload"] = {"reservation_id": "r1", "compartment_id": "c1"}
        for body in (picked_up("r1"), picked_up("r2"), reservation):
            assert server.post(json.dumps(body).encode()) in (409, 422)
        assert server.get("/quarantine")[0] == 200  # which writes
        for body in (registered("c1"), reservation):
            assert server.post(json.dumps(body).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0
    return log_path


def test_verify_counts_the_events_of_the_quarantine(log: Path, run_command: RunCommand) -> None:
    before = quarantine_path(log).read_bytes()
    result = run_command("verify")
    assert (result.exit_code, result.errors) == (
        0,
        "The quarantine holds 2 events.\nOK: 2 events and 1 locker verified.\n",
    )
    assert quarantine_path(log).read_bytes() == before


@pytest.mark.parametrize("tail", [b'{"line":"ent', b"\0" * 20], ids=["cut", "zeros"])
def test_a_torn_line_passes_with_a_note(log: Path, run_command: RunCommand, tail: bytes) -> None:
    with quarantine_path(log).open("ab") as file:
        file.write(tail)
    result = run_command("verify")
    assert result.exit_code == 0
    assert f"1 line of the quarantine {quarantine_path(log)} was not written completely: " in result.errors
    assert "The quarantine holds 2 events." in result.errors


def test_a_last_line_without_its_end_is_not_continued(log: Path, run_command: RunCommand) -> None:
    """A crash may write all of a line but its end."""
    path = quarantine_path(log)
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert run_command("verify").exit_code == 0
    with Server(log).start() as server:
        assert server.post(json.dumps(picked_up("r9")).encode()) in (409, 422)
        assert server.stop(signal.SIGTERM) == 0
    assert run_command("verify").errors.startswith("The quarantine holds 3 events.\nOK")


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"line":"later"}', b"\xff", b"[" * 5000], ids=ascii)
def test_verify_names_the_first_damaged_line(log: Path, run_command: RunCommand, damage: bytes) -> None:
    path = quarantine_path(log)
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, damage + b"\n", *rest, b"more\n"]))
    result = run_command("verify")
    assert result.exit_code == 1
    assert f"The quarantine {path} has 2 damaged lines, the first one at line 2: " in result.errors
    assert "Without a backup, a start goes on with the other lines." in result.errors
    assert "OK" not in result.errors


def test_a_backup_copies_the_quarantine_and_a_restore_brings_it_back(log: Path, run_command: RunCommand) -> None:
    # given a backup
    destination = log.with_name("copy.jsonl")
    result = run_command("backup", destination)
    assert result.errors.endswith(f"The quarantine is copied to {destination}.quarantine.\n")
    saved = quarantine_path(destination).read_bytes()
    assert saved == quarantine_path(log).read_bytes()
    # when both files are put in place
    destination.rename(log)
    quarantine_path(destination).rename(quarantine_path(log))
    # then a server has all of it
    with Server(log).start() as server:
        page = json.loads(server.get("/quarantine")[1])
    assert len(page["items"]) == 2


def test_no_other_command_changes_the_quarantine(log: Path, run_command: RunCommand, tmp_path: Path) -> None:
    before = quarantine_path(log).read_bytes()
    events = tmp_path / "events.jsonl"
    events.write_text("".join(json.dumps(body) + "\n" for body in history("imported")))
    assert run_command("export").exit_code == 0
    assert run_command("import", events).exit_code == 0
    assert run_command("rebuild").exit_code == 0
    record(log, [registered("c9")])
    log.write_bytes(log.read_bytes().replace(b"1250", b"9999"))
    assert run_command("repair", "--yes").exit_code == 0
    assert run_command("verify").exit_code == 0
    assert quarantine_path(log).read_bytes() == before

"""A backup is restored, and the real server continues from it: its events are known, and later ones are accepted."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.builders import Body
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import history
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server, command

EVENTS = history()
LOG_NAME, BACKUP_NAME = "event_log.jsonl", "copy.jsonl"


def post(server: Server, body: Body) -> int:
    return server.post(json.dumps(body).encode())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a stopped server, and a backup made while it ran.

    The backup has six events. Four more were accepted after it.
    """
    log = tmp_path_factory.mktemp("recorded") / LOG_NAME
    with Server(log).start() as server:
        assert [post(server, body) for body in EVENTS[:6]] == [202] * 6
        assert command(log, "backup", BACKUP_NAME).returncode == 0
        assert [post(server, body) for body in EVENTS[6:]] == [202] * 4
        assert server.stop(signal.SIGTERM) == 0
    return log.parent


@pytest.fixture
def backup(log_path: Path, recorded: Path) -> Path:
    """A backup of six events. The log of this test has these and four more."""
    assert log_path.name == LOG_NAME
    shutil.copytree(recorded, log_path.parent, dirs_exist_ok=True)
    return log_path.with_name(BACKUP_NAME)


def assert_continues(server: Server, known: int) -> None:
    """Check that the server knows the first `known` events, and accepts the others."""
    assert len(assert_shows_what_the_log_holds(server)) == known
    assert [post(server, body) for body in EVENTS] == [200] * known + [202] * (10 - known)
    assert len(assert_shows_what_the_log_holds(server)) == 10


def test_a_backup_replaces_a_damaged_log(log_path: Path, backup: Path, run_command: RunCommand) -> None:
    # given
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    # when
    log_path.rename(log_path.with_name("damaged.jsonl"))
    shutil.copy(backup, log_path)
    assert run_command("rebuild").exit_code == 0
    # then
    with Server(log_path).start() as server:
        assert_continues(server, 6)


def test_a_restored_backup_without_a_rebuild_refuses_the_start_because_events_are_missing(
    log_path: Path, backup: Path
) -> None:
    shutil.copy(backup, log_path)
    result = command(log_path, "serve", LOCKSTREAM_PORT="0")
    assert result.returncode == 1
    assert b"has seen 10 acknowledged events" in result.stderr
    assert b"holds only 6" in result.stderr
    assert b"`lockstream rebuild`" in result.stderr


def test_a_new_machine_needs_nothing_but_the_backup(backup: Path, tmp_path: Path) -> None:
    log = tmp_path / "new" / "event_log.jsonl"
    log.parent.mkdir()
    backup.rename(log)
    with Server(log).start() as server:
        assert_continues(server, 6)


def test_a_damaged_log_is_mended_from_a_backup_without_loss(
    log_path: Path, backup: Path, run_command: RunCommand
) -> None:
    """The lines after those of the backup are still in the log. The chain proves that they follow."""
    # given a damaged log
    whole = log_path.read_bytes()
    damaged = log_path.with_name("damaged.jsonl")
    damaged.write_bytes(whole.replace(b"1250", b"9999"))
    # when its beginning is replaced by the backup
    log_path.write_bytes(backup.read_bytes() + damaged.read_bytes()[backup.stat().st_size :])
    # then nothing is lost
    assert log_path.read_bytes() == whole
    assert run_command("verify").exit_code == 0
    with Server(log_path).start() as server:
        assert_continues(server, 10)


def test_a_projection_that_is_copied_with_the_log_does_no_harm(log_path: Path, backup: Path, tmp_path: Path) -> None:
    """A snapshot of the whole folder contains it, from another moment than the log."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    shutil.copy(projection_path(log_path), folder)
    shutil.copy(log_path, folder)
    with Server(folder / log_path.name).start() as server:
        assert_continues(server, 10)

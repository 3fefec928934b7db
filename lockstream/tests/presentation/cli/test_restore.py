"""A backup is put back, and the real server goes on from it: what it holds is there, what came after is taken anew."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.builders import Body
from lockstream.tests.support.histories import history
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server, command

EVENTS = history()


def post(server: Server, body: Body) -> int:
    return server.post(json.dumps(body).encode())


@pytest.fixture
def copy(log_path: Path, run: Run) -> Path:
    """A backup of six events, made while the server ran; four came after it."""
    copy = log_path.with_name("copy.jsonl")
    with Server(log_path).start() as server:
        assert [post(server, body) for body in EVENTS[:6]] == [202] * 6
        assert run("backup", copy).code == 0
        assert [post(server, body) for body in EVENTS[6:]] == [202] * 4
        assert server.stop(signal.SIGTERM) == 0
    return copy


def assert_goes_on(server: Server, known: int) -> None:
    assert len(assert_shows_what_the_log_holds(server)) == known
    assert [post(server, body) for body in EVENTS] == [200] * known + [202] * (10 - known)
    assert len(assert_shows_what_the_log_holds(server)) == 10


def test_a_backup_is_put_back_in_the_place_of_a_log_that_is_damaged(log_path: Path, copy: Path, run: Run) -> None:
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    log_path.rename(log_path.with_name("damaged.jsonl"))
    shutil.copy(copy, log_path)
    assert run("rebuild").code == 0
    with Server(log_path).start() as server:
        assert_goes_on(server, 6)


def test_without_a_rebuild_the_start_says_that_acknowledged_events_are_missing(log_path: Path, copy: Path) -> None:
    shutil.copy(copy, log_path)
    ended = command(log_path, "serve", LOCKSTREAM_PORT="0")
    assert ended.returncode == 1
    assert b"10 events were acknowledged" in ended.stderr
    assert b"holds only 6" in ended.stderr
    assert b"`lockstream rebuild`" in ended.stderr


def test_a_machine_that_is_new_needs_the_backup_alone(copy: Path, tmp_path: Path) -> None:
    log = tmp_path / "new" / "event_log.jsonl"
    log.parent.mkdir()
    copy.rename(log)
    with Server(log).start() as server:
        assert_goes_on(server, 6)


def test_what_a_backup_holds_mends_a_damaged_log_without_a_loss(log_path: Path, copy: Path, run: Run) -> None:
    """The lines behind the backup are in the log still; the chain proves that they follow."""
    whole = log_path.read_bytes()
    damaged = log_path.with_name("damaged.jsonl")
    damaged.write_bytes(whole.replace(b"1250", b"9999"))
    log_path.write_bytes(copy.read_bytes() + damaged.read_bytes()[copy.stat().st_size :])
    assert log_path.read_bytes() == whole
    assert run("verify").code == 0
    with Server(log_path).start() as server:
        assert_goes_on(server, 10)


def test_a_projection_that_is_copied_along_does_no_harm(log_path: Path, copy: Path, tmp_path: Path) -> None:
    """As a snapshot of the whole folder has it, taken at different moments."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    shutil.copy(projection_path(log_path), folder)
    shutil.copy(log_path, folder)
    with Server(folder / log_path.name).start() as server:
        assert_goes_on(server, 10)

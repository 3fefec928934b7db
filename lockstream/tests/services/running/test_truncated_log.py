"""A log file that another program truncates or moves under a running server, as a log rotation may do.

Real processes, because the rules are about the next start.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.core.ports import ignore_progress
from lockstream.services.commands.verify import verify_file
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.faulty_store import locked_projection, progress_of
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server, wait_until


@pytest.fixture
def server(log_path: Path) -> Iterator[Server]:
    with Server(log_path) as server:
        yield server.start()


def post(server: Server, compartment: str) -> int:
    """Post an event, and return the status."""
    return server.post(json.dumps(registered(compartment)).encode())


def accept_and_truncate(server: Server) -> None:
    """Truncate the log right after an acknowledged event, as `copytruncate` of logrotate does.

    The projection is locked meanwhile, so that no checkpoint has written the event, however slow this machine is.
    """
    with locked_projection(server.log):
        assert post(server, "acknowledged") == 202
        assert progress_of(server.log).acknowledged == 0
        os.truncate(server.log, 0)


def assert_start_is_refused(server: Server) -> None:
    """Assert that a start notices the loss and changes nothing, and that `verify` notices it, too."""
    server.launch()
    assert server.wait() == 1
    assert "the projection beside it has seen 1 acknowledged event, and the log holds only 0." in server.stderr
    assert server.log.read_bytes() == b""
    [problem] = verify_file(server.log, ignore_progress).problems
    assert "has seen 1 acknowledged event: the log lost its end" in problem


def test_a_start_after_a_kill_notices_that_the_log_was_truncated_before_it_failed(server: Server) -> None:
    # given a log that was truncated, and an event that was refused because of that
    accept_and_truncate(server)
    assert post(server, "refused") == 503
    # when the server has noted how many events were acknowledged, and is killed
    wait_until(lambda: progress_of(server.log).acknowledged == 1)
    server.kill()
    # then the next start is refused
    assert_start_is_refused(server)


def test_a_start_after_a_stop_notices_that_the_log_was_truncated(server: Server) -> None:
    accept_and_truncate(server)
    assert server.stop(signal.SIGTERM) == 0
    assert_start_is_refused(server)


def test_readiness_does_not_fail_a_log_that_is_moved_back(server: Server) -> None:
    # given a server with an event, whose log was moved away
    assert post(server, "a") == 202
    moved = server.log.with_name("moved.jsonl")
    server.log.rename(moved)
    # when its readiness is asked for, then it is not ready, and reads go on
    for _ in range(2):
        status, body = server.get("/health/ready")
        assert status == 503
        assert "could not be written" in json.loads(body)["detail"]
    assert server.get("/health/live")[0] == 200
    assert server.get(f"/lockers/{LOCKER}")[0] == 200
    # when the log was moved back, then it is ready, and accepts events
    moved.rename(server.log)
    assert server.get("/health/ready")[0] == 200
    assert post(server, "b") == 202
    assert server.stop(signal.SIGTERM) == 0
    assert len(audited(server.log)) == 2


def test_an_event_fails_a_log_that_was_moved_away_until_a_restart(server: Server) -> None:
    assert post(server, "a") == 202
    moved = server.log.with_name("moved.jsonl")
    server.log.rename(moved)
    assert post(server, "b") == 503
    moved.rename(server.log)
    for _ in range(2):
        assert server.get("/health/ready")[0] == 503
        assert post(server, "b") == 503
    server.kill()
    server.start()
    assert post(server, "b") == 202
    assert server.stop(signal.SIGTERM) == 0
    assert len(audited(server.log)) == 2

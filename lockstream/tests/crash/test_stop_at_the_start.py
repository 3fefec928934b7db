"""A server that is told to stop while it is still catching up with a long log."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.infrastructure.embedded import projection_path
from lockstream.infrastructure.line_codec import encode_lines
from lockstream.tests.crash.history import record
from lockstream.tests.crash.server import PATIENCE_SECONDS, Server, command
from lockstream.tests.given import event, registered

EVENTS = 30_000


@pytest.fixture
def long_log(log_path: Path) -> Path:
    """A log that takes a while to catch up with; its projection is missing."""
    end, lines = START, []
    for number in range(EVENTS):
        line, end = encode_lines([event(registered(f"c{number}", locker=f"locker-{number % 100}"))], "", end)
        lines.append(line)
    log_path.write_bytes(b"".join(lines))
    return log_path


def building(log: Path) -> bool:
    return new(log).exists()


def following(log: Path) -> bool:
    ahead = Path(f"{projection_path(log)}-wal")
    return ahead.exists() and ahead.stat().st_size > 0


def new(log: Path) -> Path:
    return Path(f"{projection_path(log)}.new")


def stopped_while(server: Server, busy: Callable[[Path], bool], sent: signal.Signals) -> int:
    """Start `server`, and have it stop as soon as it is `busy`; returns the exit code."""
    server.launch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not busy(server.log):
        assert time.monotonic() < deadline, server.stderr
        assert "running on" not in server.stderr, "it has caught up before anybody could stop it"
        time.sleep(0.001)
    code = server.stop(sent)
    assert "running on" not in server.stderr, "it was to stop before it serves"
    assert "Traceback" not in server.stderr
    return code


def assert_starts(server: Server) -> None:
    """It starts after all, and has all events."""
    with server.start():
        assert server.get(f"/lockers/locker-{(EVENTS - 1) % 100}/compartments/c{EVENTS - 1}")[0] == 200
        assert server.stop(signal.SIGTERM) == 0
    assert not new(server.log).exists()
    assert command(server.log, "verify").returncode == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_making_its_projection_anew_stops_as_a_success_and_leaves_nothing_behind(
    long_log: Path, sent: signal.Signals
) -> None:
    content = long_log.read_bytes()
    with Server(long_log) as server:
        assert stopped_while(server, building, sent) == 0, server.stderr
        assert not new(long_log).exists()
        assert not Path(f"{new(long_log)}-journal").exists()
        assert long_log.read_bytes() == content
        assert_starts(server)


def test_a_server_that_is_catching_up_stops_as_a_success(long_log: Path) -> None:
    content = long_log.read_bytes()
    first = content[: content.index(b"\n") + 1]
    long_log.write_bytes(first)
    record(long_log, [])
    long_log.write_bytes(content)
    assert not following(long_log)
    with Server(long_log, LOCKSTREAM_WORKING_SET_ROWS="1000") as server:
        assert stopped_while(server, following, signal.SIGTERM) == 0, server.stderr
        assert long_log.read_bytes() == content
        assert_starts(server)

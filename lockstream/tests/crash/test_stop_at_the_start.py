"""A server that catches up with a long log: it says so meanwhile, stops when it is told to, and says what is wrong."""

import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.builders import Body, deposited, event, registered
from lockstream.tests.support.histories import record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, wait_until

EVENTS = 30_000

MANY = 3_000
"""Events that are caught up with in more steps than one."""

HELD = """
import time
from pathlib import Path
from lockstream.presentation.cli import main as cli
from lockstream.services.running import lifecycle as opening

watch = opening.BackgroundStart._watch


def watch_and_wait(opening, *given):
    watch(opening, *given)
    while not Path("go-on").exists():
        time.sleep(0.01)
        watch(opening, *given)


opening.BackgroundStart._watch = watch_and_wait
opening.TIMEOUT_SECONDS = {patience}
cli.START_SECONDS = {silent}
cli.main()
"""
"""`lockstream serve` that is catching up, from its first step on, until `go_on`: how long that takes otherwise is the
machine's affair."""


def held(silent: int) -> tuple[str, ...]:
    """A program that listens, if it is still catching up, after so many seconds."""
    return "-c", HELD.format(silent=silent, patience=TIMEOUT_SECONDS), "serve"


def go_on(log: Path) -> None:
    log.with_name("go-on").touch()


def write_log(path: Path, count: int, *last: Body) -> Path:
    """A log that takes a while to catch up with; its projection is missing."""
    bodies = (registered(f"c{number}", locker=f"locker-{number % 100}") for number in range(count))
    path.write_bytes(encode_lines([event(body) for body in (*bodies, *last)], stamp(), START)[0])
    return path


@pytest.fixture
def long_log(log_path: Path) -> Path:
    return write_log(log_path, EVENTS)


def building(log: Path) -> bool:
    return new(log).exists()


def following(log: Path) -> bool:
    """It writes its projection. SQLite makes and drops the write-ahead log as it likes: one look, not two."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"{projection_path(log)}-wal").stat().st_size > 0
    return False


def new(log: Path) -> Path:
    return Path(f"{projection_path(log)}.new")


def stopped_while(server: Server, busy: Callable[[Path], bool], sent: signal.Signals) -> int:
    """Start `server`, and have it stop as soon as it is `busy`; returns the exit code."""
    server.launch()
    wait_until(lambda: busy(server.log))
    code = server.stop(sent)
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
    with Server(long_log, program=held(TIMEOUT_SECONDS)) as server:
        assert stopped_while(server, building, sent) == 0, server.stderr
    assert not new(long_log).exists()
    assert not Path(f"{new(long_log)}-journal").exists()
    assert long_log.read_bytes() == content
    assert_starts(Server(long_log))


def test_a_server_that_is_catching_up_stops_as_a_success(long_log: Path) -> None:
    content = long_log.read_bytes()
    first = content[: content.index(b"\n") + 1]
    long_log.write_bytes(first)
    record(long_log, [])
    long_log.write_bytes(content)
    assert not following(long_log)
    with Server(long_log, LOCKSTREAM_ROW_CACHE_ROWS="1000") as server:
        assert stopped_while(server, following, signal.SIGTERM) == 0, server.stderr
        assert long_log.read_bytes() == content
        assert_starts(server)


def unready(server: Server) -> str:
    """Why it is not ready."""
    status, body = server.get("/health/ready")
    return "" if status == 200 else json.loads(body)["detail"]


def test_a_long_start_is_answered_for_meanwhile(log_path: Path) -> None:
    with Server(write_log(log_path, MANY), program=held(0)).listen() as server:
        assert server.get("/health/live")[0] == 200
        wait_until(lambda: unready(server).endswith(f" of {MANY:,}. Try again later."))
        assert server.post(json.dumps(registered("late")).encode()) == 503
        go_on(log_path)
        wait_until(lambda: not unready(server))
        assert server.post(json.dumps(registered("late")).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0
    assert command(log_path, "verify").returncode == 0


def test_a_server_that_listens_while_it_catches_up_stops_as_a_success(log_path: Path) -> None:
    with Server(write_log(log_path, MANY), program=held(0)).listen() as server:
        assert unready(server)
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr
    assert not new(log_path).exists()


def test_what_is_wrong_at_the_end_of_a_long_start_is_said_and_ends_the_server(log_path: Path) -> None:
    log = write_log(log_path, MANY, deposited("nobody-has-this-one"))
    with Server(log, program=held(0)).listen() as server:
        go_on(log)
        assert server.wait() == 1
        assert "could not have been accepted" in server.stderr
        assert "Traceback" not in server.stderr

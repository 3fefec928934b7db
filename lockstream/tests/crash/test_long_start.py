"""A start that has a long log to catch up with: it reports its progress, obeys signals, and says why it fails."""

import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.codec.log_line import encode_lines, utc_now
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.builders import Body, deposited, event, registered
from lockstream.tests.support.histories import record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, wait_until

EVENTS = 3_000
"""Events in the log: several steps of a catch-up."""

HELD = """
import time
from pathlib import Path
from lockstream.presentation.cli import main, serve
from lockstream.services.running import lifecycle

note_progress = lifecycle.BackgroundStart._note_progress


def note_and_hold(startup, reached, end):
    note_progress(startup, reached, end)
    while not Path("continue").exists():
        time.sleep(0.01)
        note_progress(startup, reached, end)


lifecycle.BackgroundStart._note_progress = note_and_hold
lifecycle.ABANDON_SECONDS = {timeout}
serve.START_SECONDS = {silent}
main.main()
"""
"""Runs `lockstream serve`, whose catch-up stops after its first step until `let_continue`, however fast the machine."""


def held(silent_seconds: int) -> tuple[str, ...]:
    """Return a program whose catch-up is held, and which listens after `silent_seconds` even so."""
    return "-c", HELD.format(silent=silent_seconds, timeout=TIMEOUT_SECONDS), "serve"


def let_continue(log: Path) -> None:
    log.with_name("continue").touch()


@pytest.fixture
def long_log(log_path: Path) -> Path:
    """A log that takes several steps to catch up with. Its projection is missing."""
    return write_log(log_path)


def write_log(path: Path, *last: Body) -> Path:
    bodies = (registered(f"c{number}", locker=f"locker-{number % 100}") for number in range(EVENTS))
    lines, _ = encode_lines([event(body) for body in (*bodies, *last)], utc_now(), START)
    path.write_bytes(b"".join(lines))
    return path


def new_projection(log: Path) -> Path:
    """Return the path at which a rebuild builds the projection."""
    return Path(f"{projection_path(log)}.new")


def is_rebuilding(log: Path) -> bool:
    return new_projection(log).exists()


def is_catching_up(log: Path) -> bool:
    """Return whether the projection is being written. Only SQLite decides when its write-ahead log exists."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"{projection_path(log)}-wal").stat().st_size > 0
    return False


def stop_when(server: Server, is_busy: Callable[[Path], bool], sent: signal.Signals) -> int:
    """Start `server`, and send it a signal as soon as it is busy; return its exit code."""
    server.launch()
    wait_until(lambda: is_busy(server.log))
    code = server.stop(sent)
    assert "Traceback" not in server.stderr
    return code


def assert_starts(log: Path) -> None:
    """Assert that the next start has all events."""
    with restarted(log).start() as server:
        assert server.get(f"/lockers/locker-{(EVENTS - 1) % 100}/compartments/c{EVENTS - 1}")[0] == 200
        assert server.stop(signal.SIGTERM) == 0
    assert not new_projection(log).exists()
    assert verify_file(log, ignore_progress).problems == []


def test_a_signal_during_a_rebuild_ends_the_server_with_success_and_leaves_no_files(long_log: Path) -> None:
    content = long_log.read_bytes()
    for sent in (signal.SIGTERM, signal.SIGINT):
        with Server(long_log, program=held(TIMEOUT_SECONDS)) as server:
            assert stop_when(server, is_rebuilding, sent) == 0, server.stderr
        assert not new_projection(long_log).exists()
        assert not Path(f"{new_projection(long_log)}-journal").exists()
        assert long_log.read_bytes() == content
    assert_starts(long_log)


def test_a_signal_during_the_catch_up_ends_the_server_with_success(long_log: Path) -> None:
    # given a projection that has reached only the first event
    content = long_log.read_bytes()
    long_log.write_bytes(content[: content.index(b"\n") + 1])
    record(long_log, [])
    long_log.write_bytes(content)
    assert not is_catching_up(long_log)
    # when the server is stopped after its first step
    with Server(long_log, program=held(TIMEOUT_SECONDS), LOCKSTREAM_ROW_CACHE_ROWS="500") as server:
        assert stop_when(server, is_catching_up, signal.SIGTERM) == 0, server.stderr
    # then the next start has all events
    assert long_log.read_bytes() == content
    assert_starts(long_log)


def unready_reason(server: Server) -> str:
    """Return why the server is not ready, or nothing."""
    status, body = server.get("/health/ready")
    return "" if status == 200 else json.loads(body)["detail"]


def test_a_server_reports_the_progress_of_a_long_start(long_log: Path) -> None:
    with Server(long_log, program=held(0)).listen() as server:
        # given a server that listens while it catches up, then it is live, reports its progress, and accepts no event
        assert server.get("/health/live")[0] == 200
        wait_until(lambda: unready_reason(server).endswith(f" of {EVENTS:,}. Try again later."))
        assert server.post(json.dumps(registered("late")).encode()) == 503
        # when it has caught up, then it accepts events
        let_continue(long_log)
        wait_until(lambda: not unready_reason(server))
        assert server.post(json.dumps(registered("late")).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0
    assert verify_file(long_log, ignore_progress).problems == []


def test_a_signal_ends_a_server_that_listens_while_it_catches_up(long_log: Path) -> None:
    with Server(long_log, program=held(0)).listen() as server:
        assert unready_reason(server)
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr
    assert not new_projection(long_log).exists()


def test_an_error_at_the_end_of_a_long_start_is_reported_and_ends_the_server(log_path: Path) -> None:
    log = write_log(log_path, deposited("an-unknown-reservation"))
    with Server(log, program=held(0)).listen() as server:
        let_continue(log)
        assert server.wait() == 1
        assert "could not have been accepted" in server.stderr
        assert "Traceback" not in server.stderr


FAILED_FIRST = """
import time
from lockstream.core.errors import StartingUp
from lockstream.presentation.cli import main, serve

create_app = serve.create_app


def create_once_failed(start, *others):
    while True:
        try:
            start()
        except StartingUp:
            time.sleep(0.01)
        except Exception:
            return create_app(start, *others)


serve.create_app = create_once_failed
serve.START_SECONDS = 0
main.main()
"""


def test_an_error_just_before_the_server_listens_is_reported(log_path: Path) -> None:
    log = write_log(log_path, deposited("an-unknown-reservation"))
    with Server(log, program=("-c", FAILED_FIRST, "serve")) as server:
        server.launch()
        assert server.wait() == 1
        assert "could not have been accepted" in server.stderr
        assert [found for found in ("Traceback", "cannot listen") if found in server.stderr] == [], server.stderr

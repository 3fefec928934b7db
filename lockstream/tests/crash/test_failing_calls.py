"""The n-th system call by which a server changes its files fails, or the process is killed there: a restart recovers.

strace counts the calls of each thread, so the n-th call of each thread fails.
"""

import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count
from pathlib import Path

import pytest

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.crash.clients import ARRAY, LINES, SINGLE, Format
from lockstream.tests.crash.disk_image import LOG, DiskImage, restart_on
from lockstream.tests.crash.fault_report import CALLS, FULL, FaultOutcome, FaultReport
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.histories import history, record
from lockstream.tests.support.processes import Server, needs_strace, traced

NO_SPACE, IO_ERROR, KILLED = "error=ENOSPC", "error=EIO", "error=EIO:signal=KILL"

FAULTS = {NO_SPACE: "no space left (ENOSPC)", IO_ERROR: "I/O error (EIO)", KILLED: "the process is killed"}

EMPTY, USED = "an empty folder", "a folder with a log"

FEW: dict[tuple[str, str], dict[str, list[int]]] = {
    ("fdatasync", IO_ERROR): {USED: [4]},
    ("fdatasync", NO_SPACE): {},
    ("fdatasync", KILLED): {},
    ("write", IO_ERROR): {},
    ("write", NO_SPACE): {USED: [3]},
    ("write", KILLED): {},
    ("pwrite64", IO_ERROR): {},
    ("pwrite64", NO_SPACE): {EMPTY: [3]},
    ("pwrite64", KILLED): {},
    ("fstatfs", IO_ERROR): {USED: [3]},
    ("openat", IO_ERROR): {USED: [5]},
    ("openat", NO_SPACE): {},
    ("openat", KILLED): {},
    ("fsync", IO_ERROR): {},
    ("fsync", KILLED): {EMPTY: [2]},
    ("ftruncate", IO_ERROR): {USED: [1]},
    ("ftruncate", KILLED): {},
    ("/^rename", IO_ERROR): {EMPTY: [1]},
    ("/^rename", NO_SPACE): {},
    ("/^rename", KILLED): {},
    ("/^unlink", IO_ERROR): {USED: [1]},
    ("/^unlink", KILLED): {},
}
"""Kinds of calls with their faults, and the numbers of the calls that fail, unless every call is tried.

SQLite writes and commits by `pwrite64`."""

CASES = [(*kind, folder) for kind, few in FEW.items() for folder in (EMPTY, USED) if FULL or folder in few]


@dataclass
class Run:
    """The responses and failed calls of one server."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Positions by event id."""

    unavailable: int = 0
    """Responses with status 503."""

    failed_calls: int = 0
    """Calls that failed, or during which the process was killed."""


def requests() -> Iterator[tuple[Format, list[Body]]]:
    """Yield some dozens of requests: single events, each of which depends on those before, and batches."""
    yield from ((SINGLE, [body]) for body in history("single"))
    yield ARRAY, history("array")
    yield LINES, history("lines")
    yield from ((SINGLE, [body]) for body in history("last"))


def post(server: Server, form: Format, events: list[Body], run: Run) -> None:
    status, headers, body = server.request("POST", form.path, form.encode(*events), {"content-type": form.media_type})
    response = json.loads(body)
    if status == 503:
        run.unavailable += 1
        assert int(headers["retry-after"]) >= 1
        assert_is_sentence(response["detail"])
        return
    assert (status == 200) or form is SINGLE, response
    outcomes = [{"status": status, **response}] if form is SINGLE else response
    for event, outcome in zip(events, outcomes, strict=True):
        assert outcome["status"] in (200, 202, 409, 422), outcome
        if outcome["status"] in (200, 202):
            assert run.acknowledged.setdefault(event["event_id"], outcome["position"]) == outcome["position"]


def assert_reads_work(server: Server, run: Run) -> None:
    """Assert that a read works. The failing call may be one of its own; then the next read must work."""
    status, body = server.get("/lockers/single")
    if status == 503:
        assert_is_sentence(json.loads(body)["detail"])
        status, body = server.get("/lockers/single")
    assert status == 200 or (status == 404 and not run.acknowledged), body


def assert_readiness_is_true(server: Server, run: Run) -> None:
    """Assert that an event is accepted if, and only if, the server is ready.

    The call may fail between the two requests, so a second attempt counts as well.
    """

    def is_true() -> bool:
        is_ready, unavailable = server.get("/health/ready")[0] == 200, run.unavailable
        post(server, SINGLE, [registered(str(unavailable), locker="ready")], run)
        return is_ready == (run.unavailable == unavailable)

    assert is_true() or is_true()


def assert_is_sentence(text: str) -> None:
    assert text[0].isupper(), text
    assert text.endswith("."), text


def use(server: Server, run: Run) -> None:
    """Start, post, read and stop, as far as the server gets."""
    try:
        server.start()
    except AssertionError:
        assert server.wait() in (1, -signal.SIGKILL), server.stderr
        return
    for form, events in requests():
        post(server, form, events, run)
        assert_reads_work(server, run)
    assert_readiness_is_true(server, run)
    assert server.stop(signal.SIGTERM) in (0, -signal.SIGKILL), server.stderr


def run_with_fault(injected: str, log: Path) -> Run:
    """Run a server to its end while strace injects a fault into one call."""
    run, trace = Run(), log.with_name("trace.txt")
    projection, call = projection_path(log), injected.partition(":")[0]
    names = [log.parent, *(f"{projection}{suffix}" for suffix in ("", "-wal", "-shm", ".new"))]
    paths = [option for name in names for option in ("-P", str(name))]
    under = traced(trace, log, *paths, "-e", f"trace={call}", "-e", f"inject={injected}")
    isolated = ("-P", "-m", "lockstream", "serve")  # else Python looks for modules in the log's folder
    with Server(log, under=under, program=isolated) as server, suppress(ConnectionError, HTTPException):
        use(server, run)
    assert "Traceback" not in server.stderr, server.stderr
    calls = trace.read_text()
    run.failed_calls = calls.count("(INJECTED)") + calls.count("= ?")
    return run


@needs_strace
@pytest.mark.parametrize(("call", "fault", "folder"), CASES)
def test_a_restart_recovers_from_a_fault_in_any_call(
    call: str, fault: str, folder: str, tmp_path: Path, fault_report: FaultReport
) -> None:
    outcome, unavailable = FaultOutcome(), 0
    for number in count(1) if FULL else FEW[call, fault][folder]:
        # given a folder
        log = tmp_path / str(number) / LOG
        log.parent.mkdir()
        if folder == USED:
            record(log, history("used"))
        # when the n-th call of a server fails
        run = run_with_fault(f"{call}:{fault}:when={number}", log)
        if not run.failed_calls and FULL:
            break
        assert run.failed_calls, "there was no such call"
        # then a restart finds every acknowledged event
        outcome += restart_on(DiskImage(log.parent, run.acknowledged))
        unavailable += run.unavailable
    fault_report.add(CALLS, f"{call.removeprefix('/^')}: {FAULTS[fault]}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    if call in ("fdatasync", "fstatfs", "write") and fault != KILLED:
        assert unavailable, "an event that could not be written was acknowledged"

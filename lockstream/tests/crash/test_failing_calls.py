"""The n-th call by which a server changes its files fails, or is its last: a restart is all it takes.

Each thread's n-th call does, as the tracer counts.
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
from lockstream.tests.crash.clients import ALONE, LINES, LIST, Way
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
from lockstream.tests.crash.power import LOG, Cut, fate
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.histories import history, record
from lockstream.tests.support.processes import Server, needs_strace, traced

NO_SPACE, BROKEN, KILLED = "error=ENOSPC", "error=EIO", "error=EIO:signal=KILL"

EMPTY, USED = "an empty folder", "a used one"

MEANS = {NO_SPACE: "no room (ENOSPC)", BROKEN: "the disk is broken (EIO)", KILLED: "the process dies there"}

FEW: dict[tuple[str, str], dict[str, list[int]]] = {
    ("fdatasync", BROKEN): {USED: [4]},
    ("fdatasync", NO_SPACE): {},
    ("fdatasync", KILLED): {},
    ("write", BROKEN): {},
    ("write", NO_SPACE): {USED: [3]},
    ("write", KILLED): {},
    ("pwrite64", BROKEN): {},
    ("pwrite64", NO_SPACE): {EMPTY: [3]},
    ("pwrite64", KILLED): {},
    ("fstatfs", BROKEN): {USED: [3]},
    ("openat", BROKEN): {USED: [5]},
    ("openat", NO_SPACE): {},
    ("openat", KILLED): {},
    ("fsync", BROKEN): {},
    ("fsync", KILLED): {EMPTY: [2]},
    ("ftruncate", BROKEN): {},
    ("ftruncate", KILLED): {USED: [1]},
    ("/^rename", BROKEN): {EMPTY: [1]},
    ("/^rename", NO_SPACE): {},
    ("/^rename", KILLED): {},
    ("/^unlink", BROKEN): {},
    ("/^unlink", KILLED): {USED: [1]},
}
"""How a kind of call fails, and which of them do, unless each shall. SQLite writes and commits by `pwrite64`."""

CASES = [(*kind, given) for kind, few in FEW.items() for given in (EMPTY, USED) if FULL or given in few]


@dataclass
class Run:
    """What clients have heard."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    unavailable: int = 0
    failed: int = 0
    """Calls that failed, or were the last."""


def requests() -> Iterator[tuple[Way, list[Body]]]:
    """Some dozens, for one process: events alone, of which each builds on those before, and batches."""
    yield from ((ALONE, [body]) for body in history("alone"))
    yield LIST, history("list")
    yield LINES, history("lines")
    yield from ((ALONE, [body]) for body in history("again"))


def post(server: Server, way: Way, events: list[Body], run: Run) -> None:
    status, headers, answer = server.request("POST", way.path, way.write(*events), {"content-type": way.media_type})
    outcome = json.loads(answer)
    if status == 503:
        run.unavailable += 1
        assert int(headers["retry-after"]) >= 1
        assert_a_sentence(outcome["detail"])
        return
    assert (status == 200) or way is ALONE, outcome
    outcomes = [{"status": status, **outcome}] if way is ALONE else outcome
    for body, one in zip(events, outcomes, strict=True):
        assert one["status"] in (200, 202, 409, 422), one
        if one["status"] in (200, 202):
            assert run.acknowledged.setdefault(body["event_id"], one["position"]) == one["position"]


def assert_reads_go_on(server: Server, run: Run) -> None:
    """The call that fails may be one that a read needs; then the next read does without it."""
    status, answer = server.get("/lockers/alone")
    if status == 503:
        assert_a_sentence(json.loads(answer)["detail"])
        status, answer = server.get("/lockers/alone")
    assert status == 200 or (status == 404 and not run.acknowledged), answer


def assert_readiness_tells_the_truth(server: Server, run: Run) -> None:
    """The one call that fails may come between the question and the event; then both are tried again."""

    def tells_the_truth() -> bool:
        ready, unavailable = server.get("/health/ready")[0] == 200, run.unavailable
        post(server, ALONE, [registered(str(unavailable), locker="ready")], run)
        return ready == (run.unavailable == unavailable)

    assert tells_the_truth() or tells_the_truth()


def assert_a_sentence(said: str) -> None:
    assert said[0].isupper(), said
    assert said.endswith("."), said


def serve(server: Server, run: Run) -> None:
    """Start, post, read and stop, as far as it comes."""
    try:
        server.start()
    except AssertionError:
        assert server.wait() in (1, -signal.SIGKILL), server.stderr
        return
    for way, events in requests():
        post(server, way, events, run)
        assert_reads_go_on(server, run)
    assert_readiness_tells_the_truth(server, run)
    assert server.stop(signal.SIGTERM) in (0, -signal.SIGKILL), server.stderr


def run_with(injected: str, log: Path) -> Run:
    """A server's life, as far as it comes."""
    run, trace = Run(), log.with_name("trace.txt")
    projection, call = projection_path(log), injected.partition(":")[0]
    names = [log.parent, *(f"{projection}{suffix}" for suffix in ("", "-wal", "-shm", ".new"))]
    paths = [option for name in names for option in ("-P", str(name))]
    under = traced(trace, log, *paths, "-e", f"trace={call}", "-e", f"inject={injected}")
    isolated = ("-P", "-m", "lockstream", "serve")  # Python itself shall not look for modules in the log's folder
    with Server(log, under=under, program=isolated) as server, suppress(ConnectionError, HTTPException):
        serve(server, run)
    assert "Traceback" not in server.stderr, server.stderr
    done = trace.read_text()
    run.failed = done.count("(INJECTED)") + done.count("= ?")
    return run


@needs_strace
@pytest.mark.parametrize(("call", "how", "given"), CASES)
def test_a_restart_heals(call: str, how: str, given: str, tmp_path: Path, tally: Tally) -> None:
    found, unavailable = Fate(), 0
    for number in count(1) if FULL else FEW[call, how][given]:
        log = tmp_path / str(number) / LOG
        log.parent.mkdir()
        if given == USED:
            record(log, history("used"))
        run = run_with(f"{call}:{how}:when={number}", log)
        if not run.failed and FULL:
            break
        assert run.failed, "there is no such call"
        found += fate(Cut(log.parent, run.acknowledged))
        unavailable += run.unavailable
    tally("2", f"{call.removeprefix('/^')}: {MEANS[how]}", found)
    found.assert_none_lost_and_none_bricked()
    if call in ("fdatasync", "fstatfs", "write") and how != KILLED:
        assert unavailable, "what could not be written was acknowledged"

"""Lists, histories and past states of a network of a million compartments, beside a do-nothing FastAPI GET.

Fifty readers stand for operators with a browser, who read each page before the next request. So each reader sends two
requests a second. Readers without pauses would measure the rate of a saturated server. As with every fixed rate, a
latency counts from the time at which the request was due.

`lockstream import` makes the log of the network. The log of `bench.groups.big_log` has another shape: its lockers have
8 compartments, whose events follow each other closely.
"""

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from bench.errors import BenchFailure
from bench.figures import GroupResult, Series, ratios
from bench.goals import result
from bench.groups.plans import read_while_posting
from bench.load.network import Network
from bench.load.paging import find_pages
from bench.load.plan import WARM_UP_SECONDS, Plan, Reader, Result
from bench.load.process import run_load
from bench.load.readers import Kind, Targets, readers
from bench.processes import Lockstream, Peer, ServerProcess, projection_files, run
from bench.session import Contestant, Measurement, Session

READERS = 50

READER_RATE = 2
"""Requests a second of one reader."""

POST_RATE = 1_000
"""Single events a second that are posted during the reads."""

POST_CONNECTIONS = 32

_MEANWHILE = f"{READERS} readers, {POST_RATE:,} events/s"

PAGE_ITEMS = 100
"""Items of a page of reservations or of a history. Pages of lockers are smaller, so that there are as many."""

_PATH_READS = 50
"""Reads of a page, or of a past state, in each repetition. Their median is the figure."""

_GOALS = {
    Kind.SUBJECTS: "read-subjects",
    Kind.LISTS: "read-lists",
    Kind.HISTORIES: "read-histories",
    Kind.PAST: "read-past-states",
}
"""The goal of each kind of reader."""


def measure(session: Session) -> GroupResult:
    with session.folder() as folder:
        log = folder / "log.jsonl"
        targets = fill(session, log)
        on_disk = sum(512 * file.stat().st_blocks for file in projection_files(log)) / targets.events
        with Lockstream(log) as server:
            server.wait_for_reads()
            parts = [*_measure_pages(session, server, targets), _measure_readers(session, server, targets)]
            server.stop()
    projection = Series(f"projection of {targets.events:,} events, on disk", "bytes an event", [on_disk])
    return GroupResult.of([*parts, GroupResult([], [projection])])


def fill(session: Session, log: Path) -> Targets:
    """Import the events of a network into a new log."""
    network = Network(session.tag(), session.scale.listed_lockers)
    file = log.with_name("events.ndjson")
    events = _write_lines(file, network.events())
    session.tell(f"importing {events:,} events of {network.lockers:,} lockers")
    started = time.time()
    output = run("-m", "lockstream", "import", str(file), EVENT_LOG_PATH=str(log))
    ended = time.time()
    if not re.match(rf"{events:,} accepted, 0 duplicate, 0 refused", output):
        raise BenchFailure(f"The import did not accept {events:,} events: {output}")
    session.tell(f"  {events / (ended - started):,.0f} events/s")
    file.unlink()
    middle = datetime.fromtimestamp((started + ended) / 2, UTC)
    return Targets(network, events, f"{middle:%Y-%m-%dT%H:%M:%SZ}")


def _write_lines(file: Path, lines: Iterable[bytes]) -> int:
    """Write lines into a new file, and return their number."""
    number = 0
    with file.open("xb") as output:
        for line in lines:
            output.write(line + b"\n")
            number += 1
    return number


def _measure_pages(session: Session, server: Lockstream, targets: Targets) -> list[GroupResult]:
    """Measure pages of lists, and a past state, with one client on a quiet server."""
    busy = targets.network.busy_locker
    history = f"/lockers/{busy}/events?limit={PAGE_ITEMS}"
    lists = (
        ("lockers-page", "lockers", f"/lockers?limit={targets.network.lockers // session.scale.pages}"),
        ("reservations-page", "reservations", f"/reservations?limit={PAGE_ITEMS}"),
        ("history-page", "the busy locker's history", history),
    )
    pages = [_compare_pages(session, server, *names) for names in lists]
    (middle,) = find_pages(server.port, history, session.scale.pages // 2)
    past_state = f"/lockers/{busy}/state?at={middle.items[0]['position']}"
    title = "state of the busy locker in the middle of its history, one client, p50"
    (past,) = session.take_turns([_one_path(server, title, past_state)])
    return [*pages, GroupResult([result("past-state", past.figure, past.spread)], [past])]


def _compare_pages(session: Session, server: Lockstream, goal: str, title: str, path: str) -> GroupResult:
    """Measure the first and the last page of a list in turns."""
    last = session.scale.pages
    first_page, last_page = find_pages(server.port, path, 1, last)
    first, late = session.take_turns(
        [
            _one_path(server, f"first page of {title}, one client, p50", first_page.path),
            _one_path(server, f"page {last:,} of {title}, one client, p50", last_page.path),
        ]
    )
    return GroupResult([result(goal, late.figure, ratios(late, first))], [first, late])


def _one_path(server: Lockstream, title: str, path: str) -> Contestant:
    """Return the contestant that reads one path again and again."""
    reader = Reader(title, [path] * _PATH_READS)
    plan = Plan(tag="", kind="get", connections=1, readers=[reader], events=_PATH_READS)

    def measure_path() -> Measurement:
        load = run_load(plan, server)
        return load.p50 * 1e3, load.cpu

    return Contestant(title, "ms", measure_path)


def _measure_readers(session: Session, server: Lockstream, targets: Targets) -> GroupResult:
    """Measure the readers while events come in. In each repetition, both servers get the same GETs at the same rate."""
    ours, theirs = _series_of("Lockstream"), _series_of("FastAPI that does nothing")
    posted = Series(f"Lockstream, single events, p99, {_MEANWHILE}", "ms", [])

    def of_lockstream() -> Measurement:
        reads, posts = _read(session, server, targets, len(posted.values))
        posted.values.append(posts.p99 * 1e3)
        return _add_figures(reads, ours)

    def of_peer() -> Measurement:
        with Peer("asgi_apps", "reads") as peer:
            reads, _ = _read(session, peer, targets, len(theirs[Kind.LISTS].values))
            peer.stop()
        return _add_figures(reads, theirs)

    all_ours, all_theirs = session.take_turns(
        [
            Contestant(f"Lockstream, all GETs, p99, {_MEANWHILE}", "ms", of_lockstream),
            Contestant(f"FastAPI that does nothing, all GETs, p99, {_MEANWHILE}", "ms", of_peer),
        ]
    )
    goals = []
    for kind, goal in _GOALS.items():
        ratio = ratios(ours[kind], theirs[kind])
        goals.append(result(goal, f"{ours[kind].figure}, {ratio} × a do-nothing FastAPI GET", ours[kind].spread))
    return GroupResult(goals, [all_ours, *ours.values(), posted, all_theirs, *theirs.values()])


def _series_of(contestant: str) -> dict[Kind, Series]:
    return {kind: Series(f"{contestant}, {kind}, GET p99, {_MEANWHILE}", "ms", []) for kind in Kind}


def _add_figures(reads: Result, series: dict[Kind, Series]) -> Measurement:
    """Add the figure of each kind to its series, and return the figure of all reads."""
    for kind, one in series.items():
        one.values.append(reads.p99_by_kind[kind] * 1e3)
    return reads.p99 * 1e3, reads.cpu


def _read(session: Session, server: ServerProcess, targets: Targets, repetition: int) -> tuple[Result, Result]:
    """Return the results of the readers, and of the events that are posted meanwhile."""
    seconds = session.scale.lists_seconds
    requests = round(1.5 * READER_RATE * (WARM_UP_SECONDS + seconds)) + 10
    gets = Plan(
        tag="",
        kind="get",
        connections=READERS,
        readers=readers(targets, READERS, requests, Random(repetition)),
        seconds=seconds,
        rate=READERS * READER_RATE,
    )
    return read_while_posting(gets, posts(session, targets, repetition), server)


def posts(session: Session, targets: Targets, repetition: int) -> Plan:
    """Return a plan that posts single events of the network during the reads of a repetition."""
    return Plan(
        tag="",
        kind="event",
        connections=POST_CONNECTIONS,
        network=targets.network,
        turn=repetition,
        turns=session.scale.repetitions,
        seconds=session.scale.lists_seconds + 2,
        rate=POST_RATE,
    )

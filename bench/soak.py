"""A long life: mixed load at a fixed rate on one server, and whether it is at the end what it was at the beginning."""

import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection
from statistics import median
from typing import Annotated

import msgspec
import typer
from msgspec import Struct
from rich.console import Console

from bench.errors import BenchFailure
from bench.lives import Lives
from bench.load import Load, Plan, load
from bench.machine import describe
from bench.page import fill, markdown
from bench.processes import Lockstream, memory, run

MEMORY_BYTES_PER_EVENT = 40
"""What an event of history may keep in memory: its id is known for ever, by 25 bytes at most (docs/decisions/0012)."""

FULL_AT_EVENTS = 700_000
"""By then as many rows are in memory as may be (LOCKSTREAM_ROW_CACHE_ROWS): every third event makes a new one."""

SLOWER = 1.5
"""A median latency of the last third may be so many times that of the first: it is the disk's, which others use too."""

MORE_FILES = 4
"""Open when no client is there, than in the first third: connections of the projection are made when needed."""

MORE_THREADS = 1  # the one that merges ids, once there are enough of them

_RATES = {"events": 400.0, "batches": 10.0, "reads": 100.0}
"""Requests a second, well below what one core can do: what is looked for is change, not the limit."""

_PER_BATCH = 100
_COMPARTMENTS = 64
"""Of each connection, new ones in each window."""

_OPEN = "files", "threads"

_UNKNOWN = b"""{"event_id": "%b", "occurred_at": "2026-11-23T08:00:00Z", "locker_id": "visited",
"type": "ParcelPickedUp", "payload": {"reservation_id": "never"}}"""

_HEADS = "minute", "events", "memory, MB", "files", "threads", "event", "", "batch of 100", "", "read", ""
_UNITS = "", "", "", "", "", "p50, ms", "p99, ms", "p50, ms", "p99, ms", "p50, ms", "p99, ms"


class Window(Struct, frozen=True):
    """What was seen in a part of the run; the first three when no client was there any more."""

    rss: int
    files: int
    threads: int
    events: int
    """In the log, at the end of it."""
    latencies: dict[str, tuple[float, float]]
    """Seconds, p50 and p99, of each kind of request."""

    def cells(self, minute: float) -> tuple[str, ...]:
        times = [f"{seconds * 1e3:.1f}" for kind in _RATES for seconds in self.latencies[kind]]
        return f"{minute:g}", f"{self.events:,}", f"{self.rss / 1e6:.1f}", str(self.files), str(self.threads), *times


class Visitors(threading.Thread):
    """They come, say something that is known, refused, wrong or cut short, and go: each on a connection of its own."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.failure = ""
        self.seen = 0
        """The largest position that was answered."""
        self._port = port
        self._lives = Lives(f"visited-{uuid.uuid4().hex[:8]}", 8)
        self._gone = threading.Event()

    def run(self) -> None:
        try:
            while not self._gone.wait(0.1):
                self._visit()
        except (BenchFailure, OSError) as error:
            self.failure = f"a visitor: {error}"

    def leave(self) -> None:
        """Have no more come.

        Raises:
            BenchFailure: one was not answered as it must be.
        """
        self._gone.set()
        self.join()
        if self.failure:
            raise BenchFailure(self.failure)

    def _visit(self) -> None:
        (event,) = self._lives.take(1)
        unknown = _UNKNOWN % str(uuid.uuid4()).encode()
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            for body, wanted in ((event, 202), (event, 200), (unknown, 422), (b'{"type":', 422)):
                self._ask(connection, "POST", "/events", wanted, body)
            self._ask(connection, "POST", "/events/batch", 200, b"[%b]" % event)
            self._ask(connection, "GET", "/health/ready", 200)
            self._ask(connection, "GET", "/lockers/nobody-has-this-one", 404)
        with create_connection(("127.0.0.1", self._port)) as leaving:
            leaving.sendall(b"POST /events HTTP/1.1\r\nHost: soak\r\nContent-Length: 1000\r\n\r\n" + event[:50])

    def _ask(self, connection: HTTPConnection, method: str, path: str, wanted: int, body: bytes = b"") -> None:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != wanted:
            raise BenchFailure(f"{method} {path}: {answer.status} instead of {wanted}: {content[:300]!r}")
        if wanted in (200, 202) and path == "/events":
            self.seen = msgspec.json.decode(content)["position"]


def soak(server: Lockstream, windows: int, seconds: float, tell: Callable[[str], None]) -> list[Window]:
    """Put `windows` of mixed load on `server`.

    Raises:
        BenchFailure: an answer was not what it must be.
    """
    seen = []
    for number in range(1, windows + 1):
        began = time.monotonic()
        window = _window(server, f"soak-{uuid.uuid4().hex[:8]}-{number}", seconds)
        seen.append(window)
        tell(f"{number}/{windows}: " + "  ".join(window.cells(number * seconds / 60)))
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    return seen


def _window(server: Lockstream, tag: str, seconds: float) -> Window:
    lasting = max(seconds - 4, 1.0)  # clients get ready first, and leave
    visitors = Visitors(server.port)
    plans = {kind: _plan(kind, f"{tag}-{kind}", lasting) for kind in _RATES}
    for kind in _RATES:
        load(server, _registrations(plans[kind]))
    visitors.start()
    loads = {kind: Load(server, plan) for kind, plan in plans.items()}
    for one in loads.values():
        one.go()
    results = {kind: one.result() for kind, one in loads.items()}
    visitors.leave()
    time.sleep(0.5)  # the last connections are let go of, and the projection follows
    process = Path(f"/proc/{server.pid}")
    return Window(
        rss=memory(server.pid)["Rss"],
        files=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        events=visitors.seen,
        latencies={kind: (result.p50, result.p99) for kind, result in results.items()},
    )


def _plan(kind: str, tag: str, seconds: float) -> Plan:
    return Plan(
        tag=tag,
        kind="get" if kind == "reads" else "batch" if kind == "batches" else "event",
        connections=8,
        per_request=_PER_BATCH if kind == "batches" else 1,
        compartments=_COMPARTMENTS,
        registered=True,
        seconds=seconds,
        rate=_RATES[kind],
    )


def _registrations(plan: Plan) -> Plan:
    return Plan(
        tag=plan.tag,
        kind="batch",
        connections=plan.connections,
        per_request=plan.compartments,
        compartments=plan.compartments,
        events=plan.connections * plan.compartments,
    )


def judge(windows: Sequence[Window]) -> list[tuple[str, str, bool]]:
    """What was looked at, what was found, and whether it is as it must be: the last third beside the first."""
    third = max(1, len(windows) // 3)
    first, last = windows[:third], windows[-third:]
    files, threads = (max(getattr(one, of) for one in last) - max(getattr(one, of) for one in first) for of in _OPEN)
    said = [
        _memory(first[-1], last[-1]),
        ("open files", f"{files:+} in the last third", files <= MORE_FILES),
        ("threads", f"{threads:+} in the last third", threads <= MORE_THREADS),
    ]
    for kind in _RATES:
        for at, name in enumerate(("p50", "p99")):
            before, after = (median(one.latencies[kind][at] for one in part) for part in (first, last))
            figure = f"{after * 1e3:.1f} ms, {after / before:.2f} × the first third"
            said.append((f"{kind}, {name}", figure, after <= SLOWER * before))
    return said


def _memory(before: Window, after: Window) -> tuple[str, str, bool]:
    if before.events < FULL_AT_EVENTS:
        figure = f"{(after.rss - before.rss) / 1e6:+.1f} MB; the run is too short to tell: its rows still fill memory"
        return "memory", figure, True
    grown = (after.rss - before.rss) / (after.events - before.events)
    return "memory", f"{grown:.1f} bytes more for each event after the first third", grown <= MEMORY_BYTES_PER_EVENT


def main(
    seconds: Annotated[float, typer.Option(envvar="SOAK_SECONDS", help="How long.")] = 1_800,
    window: Annotated[float, typer.Option(help="Seconds of a row of the table.")] = 60,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where the log is written.")] = None,
    write: Annotated[Path | None, typer.Option(metavar="PAGE", help="Put the table there, between its marks.")] = None,
) -> None:
    """Have one server live long under mixed load, and see that nothing grows and nothing slows down."""
    console = Console(highlight=False, markup=False, width=160)
    window = min(window, max(6.0, seconds / 6))
    with tempfile.TemporaryDirectory(prefix="lockstream-soak-", dir=directory) as folder:
        log = Path(folder) / "event_log.jsonl"
        try:
            with Lockstream(log) as server:
                windows = soak(server, max(3, round(seconds / window)), window, console.print)
                server.stop()
            verified = run("-m", "lockstream", "verify", EVENT_LOG_PATH=str(log)).strip().splitlines()[-1]
        except BenchFailure as error:
            console.print(f"{error}")
            raise typer.Exit(1) from error
        machine = describe(Path(folder)) | {"command": f"`make soak SOAK_SECONDS={seconds:g}`", "at the end": verified}
    verdicts = judge(windows)
    table = [_UNITS, *(one.cells(number * window / 60) for number, one in enumerate(windows, 1))]
    found = [(what, figure, "flat" if fine else "NOT FLAT") for what, figure, fine in verdicts]
    for row in found:
        console.print("  ".join(row))
    console.print(verified)
    if write:
        heads = ("what", "found", "verdict")
        tables = (markdown(_HEADS, table), markdown(heads, found), markdown(("", ""), list(machine.items())))
        fill(write, "soak", "\n".join(tables))
    if not all(fine for *_, fine in verdicts):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

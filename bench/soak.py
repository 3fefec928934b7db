"""The soak: one server under mixed load at fixed rates for half an hour, and a verdict on changes of its figures.

Each window has single events, batches and reads at the rates in `_RATES`, and short connections with requests of every
other kind. The rates are well below the capacity of one core: the soak looks for changes, not limits. Meanwhile, a
program appends to a file of its own and flushes it, so that a slow disk can be told from a slow server.
"""

import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from bench.errors import BenchFailure
from bench.load.events import EventGenerator, compartments_of
from bench.load.plan import Plan, registrations
from bench.load.process import LoadGenerator, run_load
from bench.machine import describe
from bench.page import fill, markdown
from bench.peers.disk import Flushes
from bench.processes import Lockstream, run, run_peer
from bench.resources import busy_cores, memory
from bench.verdict import KINDS, Latency, Window, judge

_RATES = {"events": 400.0, "batches": 10.0, "reads": 100.0}
"""Requests a second."""

_CONNECTIONS = {"events": 32, "batches": 8, "reads": 8}
"""Number of connections, large enough to keep the rates if a flush takes 30 ms."""

_COMPARTMENTS = 512
"""Number of compartments of each kind of request. Each window has new ones."""

_PER_BATCH = 100

_FLUSH_RATE = 10
"""Flushes a second of the program that flushes the disk alone."""

_FLUSHES = "flush of the disk alone"

_UNKNOWN = b"""{"event_id": "%b", "occurred_at": "2026-11-23T08:00:00Z", "locker_id": "short",
"type": "ParcelPickedUp", "payload": {"reservation_id": "never"}}"""

_HEADS = (
    *("minute", "events", "memory, MB", "files", "threads"),
    *(f"{kind}, {name}, ms" for kind in (*KINDS, _FLUSHES) for name in Latency.__struct_fields__),
)


class ShortConnections(threading.Thread):
    """Opens connections one after the other: new, known, refused and malformed events, a read, and a hang-up."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.position = 0
        """Position of the last accepted event."""
        self._failure = ""
        self._port = port
        self._events = EventGenerator(compartments_of(f"short-{uuid.uuid4().hex[:8]}", 8))
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.wait(0.1):
                self._send_each_kind()
        except (BenchFailure, OSError) as error:
            self._failure = f"A short connection failed: {error}"

    def stop(self) -> None:
        """End the thread.

        Raises:
            BenchFailure: a response was unexpected.
        """
        self._stopping.set()
        self.join()
        if self._failure:
            raise BenchFailure(self._failure)

    def _send_each_kind(self) -> None:
        (event,) = self._events.take(1)
        refused = _UNKNOWN % str(uuid.uuid4()).encode()
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            for body, status in ((event, 202), (event, 200), (refused, 422), (b'{"type":', 422)):
                self._request(connection, "POST", "/events", status, body)
            self._request(connection, "POST", "/events/batch", 200, b"[%b]" % event)
            self._request(connection, "GET", "/health/ready", 200)
            self._request(connection, "GET", "/lockers/unknown", 404)
        with create_connection(("127.0.0.1", self._port)) as incomplete:
            incomplete.sendall(b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + event[:50])

    def _request(self, connection: HTTPConnection, method: str, path: str, status: int, body: bytes = b"") -> None:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status != status:
            raise BenchFailure(f"{method} {path}: {response.status} instead of {status}: {content[:300]!r}.")
        if path == "/events" and status in (200, 202):
            self.position = msgspec.json.decode(content)["position"]


def soak(server: Lockstream, windows: int, seconds: float, tell: Callable[[str], None]) -> list[Window]:
    """Put mixed load on `server` for a number of windows, each of the given seconds.

    Raises:
        BenchFailure: a response was unexpected.
    """
    done = []
    for number in range(1, windows + 1):
        started = time.monotonic()
        done.append(_measure(server, f"soak-{uuid.uuid4().hex[:8]}-{number}", seconds))
        tell("  ".join(_cells(done[-1], number * seconds / 60)))
        time.sleep(max(0.0, seconds - (time.monotonic() - started)))
    return done


def _measure(server: Lockstream, tag: str, seconds: float) -> Window:
    load_seconds = max(seconds - 4, 1.0)  # the rest is for preparing clients, and for closing their connections
    plans = {kind: _plan(kind, f"{tag}-{kind}", load_seconds) for kind in KINDS}
    for plan in plans.values():
        run_load(registrations(plan.tag, plan.connections, plan.compartments), server)
    short = ShortConnections(server.port)
    short.start()
    generators = {kind: LoadGenerator(plan, server) for kind, plan in plans.items()}
    with ThreadPoolExecutor(1) as thread:
        flushing = thread.submit(_flush_disk, server.log, load_seconds)
        for generator in generators.values():
            generator.start()
        results = {kind: generator.result() for kind, generator in generators.items()}
        flushes = flushing.result()
    short.stop()
    time.sleep(0.5)  # the last connections are closed, and the projection catches up
    process = Path(f"/proc/{server.pid}")
    return Window(
        events=short.position,
        rss=memory(server.pid).rss,
        files=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        latencies={
            **{kind: Latency(result.p50, result.p99) for kind, result in results.items()},
            _FLUSHES: Latency(flushes.p50, flushes.p99),
        },
    )


def _flush_disk(log: Path, seconds: float) -> Flushes:
    return run_peer(Flushes, "disk", log, log.with_name("disk-alone"), 1, seconds, _FLUSH_RATE)


def _plan(kind: str, tag: str, seconds: float) -> Plan:
    return Plan(
        tag=tag,
        kind="get" if kind == "reads" else "batch" if kind == "batches" else "event",
        connections=_CONNECTIONS[kind],
        per_request=_PER_BATCH if kind == "batches" else 1,
        compartments=_COMPARTMENTS // _CONNECTIONS[kind],
        registered=True,
        seconds=seconds,
        rate=_RATES[kind],
    )


def _cells(window: Window, minute: float) -> tuple[str, ...]:
    """Return the row of a window, with the minute at its end."""
    latencies = [window.latencies[kind] for kind in (*KINDS, _FLUSHES)]
    times = [f"{seconds * 1e3:.1f}" for latency in latencies for seconds in (latency.p50, latency.p99)]
    counts = f"{window.events:,}", f"{window.rss / 1e6:.1f}", str(window.files), str(window.threads)
    return f"{minute:.3g}", *counts, *times


def main(
    seconds: Annotated[float, typer.Option(envvar="SOAK_SECONDS", help="Length of the run.")] = 1_800,
    directory: Annotated[Path | None, typer.Option("--dir", help="Folder for the log.")] = None,
    write: Annotated[Path | None, typer.Option(metavar="PAGE", help="Write the tables into PAGE.")] = None,
) -> None:
    """Run one server under mixed load, and judge whether anything grows or slows down."""
    console = Console(highlight=False, markup=False, width=160)
    window_seconds = min(60.0, max(6.0, seconds / 6))
    other_work = f"{busy_cores():.0%} of a core, before the run"
    with tempfile.TemporaryDirectory(prefix="lockstream-soak-", dir=directory) as folder:
        log = Path(folder) / "event_log.jsonl"
        console.print("  ".join(_HEADS))
        try:
            with Lockstream(log) as server:
                windows = soak(server, max(3, round(seconds / window_seconds)), window_seconds, console.print)
                server.stop()
            verified = run("-m", "lockstream", "verify", EVENT_LOG_PATH=str(log)).strip().splitlines()[-1]
        except BenchFailure as error:
            console.print(f"{error}")
            raise typer.Exit(1) from error
        machine = describe(Path(folder)) | {
            "command": f"`make soak SOAK_SECONDS={seconds:g}`",
            "other work": other_work,
            "`lockstream verify` at the end": verified,
        }
    verdicts = judge(windows, window_seconds)
    for verdict in verdicts:
        console.print("  ".join(verdict.row()))
    console.print(verified)
    if write:
        rows = [_cells(window, number * window_seconds / 60) for number, window in enumerate(windows, 1)]
        tables = (
            markdown(_HEADS, rows),
            markdown(("figure", "last third", "verdict"), [verdict.row() for verdict in verdicts]),
            markdown(("", ""), list(machine.items())),
        )
        fill(write, "soak", "\n".join(tables))
    if any(verdict.is_flat is False for verdict in verdicts):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

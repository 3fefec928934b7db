"""The cost of metrics for events, while a monitoring system scrapes once a second."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from bench.figures import GroupResult
from bench.groups.plans import compare
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.processes import Lockstream
from bench.session import Measurement, Session

SCRAPE_SECONDS = 1.0
"""Interval of scrapes. Prometheus usually scrapes every 15 seconds, so the benchmark scrapes 15 times as often."""


def measure(session: Session) -> GroupResult:
    """Measure servers with and without the recording of metrics in turns."""

    def rate(plan: Plan) -> Measurement:
        with session.lockstream() as server, _scrapes(server):
            return run_load(plan, server).measurement

    def rate_unmetered(plan: Plan) -> Measurement:
        with (
            session.folder() as folder,
            Lockstream(folder / "log.jsonl", program=("-m", "bench.peers.unmetered", "serve")) as server,
        ):
            measurement = run_load(plan, server).measurement
            server.stop()
            return measurement

    return compare(session, "metrics", rate, rate_unmetered)


@contextmanager
def _scrapes(server: Lockstream) -> Iterator[None]:
    """Scrape a server in a thread until the end of the block."""
    stopping = Event()

    def scrape() -> None:
        while not stopping.wait(SCRAPE_SECONDS):
            server.get("/metrics")

    thread = Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()

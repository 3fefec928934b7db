"""One, two and four nodes on one PostgreSQL, beside the embedded engine and two who write into a database alone."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.errors import BenchFailure
from bench.figures import Outcome, Told, ratios
from bench.goals import row
from bench.groups.sustained import PER_SAVE
from bench.groups.throughput import hundreds, singles
from bench.load import Plan, load
from bench.postgres import Postgres
from bench.processes import Lockstream, run
from bench.session import Contestant, Measured, Session

WRITERS = 32
"""Connections that insert: as many as there are clients with single events."""

_BATCHES, _SINGLES = "batches of 100, 8 connections in all", "single events, 32 connections in all"

_PATIENCE_SECONDS = 60
"""For a node to be ready, once it listens."""


class Fleet(Struct, frozen=True):
    """Nodes that a load is put on together."""

    nodes: Sequence[Lockstream]
    database_pids: Sequence[int]

    @property
    def ports(self) -> Sequence[int]:
        return [node.port for node in self.nodes]

    @property
    def pids(self) -> Sequence[int]:
        return [node.pid for node in self.nodes]


@contextmanager
def fleet(count: int, postgres: Postgres, url: str, folder: Path) -> Iterator[Fleet]:
    """So many nodes on the database at `url`, which start at the same time. All are ready.

    Raises:
        BenchFailure: one did not start, or did not stop.
    """
    with ExitStack() as running:
        nodes = []
        for number in range(count):
            nodes.append(Lockstream(folder / f"no-log-{number}", DATABASE_URL=url))
            running.callback(nodes[-1].kill)
        for node in nodes:
            _wait_for(running.enter_context(node))
        yield Fleet(nodes, [postgres.pid])
        for node in nodes:
            node.stop()


def measure(session: Session) -> Outcome:
    """A load has as many connections to any number of nodes."""
    with session.postgres() as postgres:
        contest = Contest(session, postgres)
        one, two, inserts, *others = session.take_turns(
            [
                contest.nodes(1, _BATCHES, hundreds),
                contest.nodes(2, _BATCHES, hundreds),
                contest.inserts(),
                contest.nodes(4, _BATCHES, hundreds),
                contest.embedded(_BATCHES, hundreds),
                contest.nodes(1, _SINGLES, singles),
                contest.nodes(2, _SINGLES, singles),
                contest.embedded(_SINGLES, singles),
                contest.package(),
            ]
        )
    figure = f"{two.spread().show()} events/s"
    return Outcome(
        [row("two-nodes", figure, two.spread()), row("two-nodes-inserts", figure, ratios(two, inserts))],
        [one, two, *others, inserts],
    )


class Contest:
    """The contestants: each measurement has a new database on one server, or a new log."""

    def __init__(self, session: Session, postgres: Postgres) -> None:
        self._session = session
        self._postgres = postgres

    def nodes(self, count: int, how: str, plan: Callable[[Session], Plan]) -> Contestant:
        def measured() -> Measured:
            with (
                self._database() as url,
                self._session.folder() as folder,
                fleet(count, self._postgres, url, folder) as nodes,
            ):
                result = load(nodes, plan(self._session))
            return result.rate, result.cpu

        return Contestant(f"{count} {'node' if count == 1 else 'nodes'} on PostgreSQL, {how}", "events/s", measured)

    def embedded(self, how: str, plan: Callable[[Session], Plan]) -> Contestant:
        def measured() -> Measured:
            with self._session.lockstream() as server:
                result = load(server, plan(self._session))
            return result.rate, result.cpu

        return Contestant(f"Lockstream, embedded, {how}", "events/s", measured)

    def inserts(self) -> Contestant:
        what = f"one INSERT and commit for each event on PostgreSQL, {WRITERS} connections, no HTTP"
        return Contestant(
            what, "events/s", lambda: self._peer("inserts", f"{WRITERS}", f"{self._session.scale.seconds}")
        )

    def package(self) -> Contestant:
        what = f"eventsourcing on PostgreSQL, {PER_SAVE:,} events a save, no HTTP"
        events = self._session.scale.saved_events
        return Contestant(what, "events/s", lambda: self._peer("eventsourced", f"{events}", f"{PER_SAVE}"))

    def _peer(self, name: str, *arguments: str) -> Measured:
        with self._database() as url:
            said = run("-m", f"bench.peers.{name}", url, *arguments, f"{self._postgres.pid}")
        told = msgspec.json.decode(said, type=Told)
        return told.events_a_second, told.cpu

    def _database(self) -> AbstractContextManager[str]:
        return self._postgres.database(self._session.tag())


def _wait_for(node: Lockstream) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (status := node.get("/lockers/nobody-has-this-one")) == 503 and time.monotonic() < deadline:
        time.sleep(0.01)
    if status != 404:
        raise BenchFailure(f"GET of a locker that is not there was answered with {status}")

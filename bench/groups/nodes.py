"""One, two and four nodes on one PostgreSQL, beside the embedded engine and two programs that only insert rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.figures import GroupResult, PeerResult, ratios
from bench.goals import result
from bench.groups.plans import hundreds, singles
from bench.groups.sustained import PER_SAVE
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.processes import Lockstream, run_peer
from bench.session import Contestant, Measurement, Session

WRITERS = 32
"""Connections that insert: as many as the clients that post single events."""

_BATCHES, _SINGLES = "batches of 100, 8 connections in all", "single events, 32 connections in all"


@contextmanager
def running_nodes(count: int, url: str, folder: Path) -> Iterator[list[Lockstream]]:
    """Start nodes on the database at `url`, all at the same time, and yield them once each answers reads.

    Raises:
        BenchFailure: a node did not start, or did not stop.
    """
    with ExitStack() as stack:
        nodes = []
        for number in range(count):
            nodes.append(Lockstream(folder / f"no-log-{number}", DATABASE_URL=url))
            stack.callback(nodes[-1].kill)
        for node in nodes:
            stack.enter_context(node)
            node.wait_for_reads()
        yield nodes
        for node in nodes:
            node.stop()


def measure(session: Session) -> GroupResult:
    """Put loads on nodes. A load has the same number of connections for any number of nodes."""
    with session.postgres() as postgres:

        def nodes(count: int, load: str, plan: Callable[[Session], Plan]) -> Contestant:
            def rate() -> Measurement:
                with (
                    postgres.database(session.tag()) as url,
                    session.folder() as folder,
                    running_nodes(count, url, folder) as running,
                ):
                    return run_load(plan(session), *running, database_pids=[postgres.pid]).measurement

            return Contestant(f"{count} {'node' if count == 1 else 'nodes'} on PostgreSQL, {load}", "events/s", rate)

        def embedded(load: str, plan: Callable[[Session], Plan]) -> Contestant:
            def rate() -> Measurement:
                with session.lockstream() as server:
                    return run_load(plan(session), server).measurement

            return Contestant(f"Lockstream, embedded, {load}", "events/s", rate)

        def peer(name: str, module: str, *arguments: object) -> Contestant:
            def rate() -> Measurement:
                with postgres.database(session.tag()) as url:
                    return run_peer(PeerResult, module, url, *arguments, postgres.pid).measurement

            return Contestant(name, "events/s", rate)

        insert = f"one INSERT and commit per event on PostgreSQL, {WRITERS} connections, no HTTP"
        package = f"eventsourcing on PostgreSQL, {PER_SAVE:,} events a save, no HTTP"
        one, two, inserts, *others = session.take_turns(
            [
                nodes(1, _BATCHES, hundreds),
                nodes(2, _BATCHES, hundreds),
                peer(insert, "postgres_inserts", WRITERS, session.scale.seconds),
                nodes(4, _BATCHES, hundreds),
                embedded(_BATCHES, hundreds),
                nodes(1, _SINGLES, singles),
                nodes(2, _SINGLES, singles),
                embedded(_SINGLES, singles),
                peer(package, "eventsourcing_package", session.scale.saved_events, PER_SAVE),
            ]
        )
    return GroupResult(
        [
            result("two-nodes", two.figure, two.spread),
            result("two-nodes-inserts", two.figure, ratios(two, inserts)),
        ],
        [one, two, *others, inserts],
    )

"""The 99th percentile of GETs, idle and while events are posted, beside a FastAPI GET under the same load."""

from msgspec import Struct

from bench.figures import GroupResult, Series, ratios
from bench.goals import result
from bench.groups.plans import read_while_posting
from bench.load.events import PER_LOCKER
from bench.load.plan import Plan, Result, registrations
from bench.load.process import run_load
from bench.processes import Peer, ServerProcess
from bench.session import Contestant, Measurement, Session

_READERS = 8

_LOCKERS = 10_000
"""Lockers in the network. As in a real one, few of them have an unflushed event when they are read."""


class _Posts(Struct, frozen=True):
    """The posts during which GETs are measured. With 0 connections, nothing is posted."""

    title: str
    goal: str
    connections: int = 0
    per_request: int = 1
    max_rate: int = 60_000

    @property
    def compartments(self) -> int:
        """Compartments per connection, or per reader if nothing is posted."""
        return _LOCKERS * PER_LOCKER // (self.connections or _READERS)


_LOADS = (
    _Posts("idle", "get-idle"),
    _Posts("while 32 clients post", "get-posts", connections=32),
    _Posts("while 8 clients post batches of 1,000", "get-batches", 8, per_request=1_000, max_rate=250),
)


def measure(session: Session) -> GroupResult:
    return GroupResult.of(_measure(session, posts) for posts in _LOADS)


def _measure(session: Session, posts: _Posts) -> GroupResult:
    """Measure GETs under one load. Lockstream's clients post as fast as they can, and the peer gets the same rate."""
    rates: list[float] = []

    def of_lockstream() -> Measurement:
        tag = session.tag()
        with session.lockstream() as server:
            run_load(registrations(tag, posts.connections or _READERS, posts.compartments), server)
            gets, posted = _read(session, posts, server, tag)
            if posted:
                rates.append(posted.requests / posted.seconds)
        return gets.p99 * 1e3, gets.cpu

    def of_peer() -> Measurement:
        with Peer("asgi_apps", "reads") as server:
            gets, _ = _read(session, posts, server, session.tag(), rates[-1] if rates else 0)
            server.stop()
        return gets.p99 * 1e3, gets.cpu

    lockstream, peer = session.take_turns(
        [
            Contestant(f"Lockstream, GET p99, {posts.title}", "ms", of_lockstream),
            Contestant(f"FastAPI that does nothing, GET p99, {posts.title}", "ms", of_peer),
        ]
    )
    posted = [Series(f"posts to either server, {posts.title}", "requests/s", rates)] if rates else []
    return GroupResult([result(posts.goal, lockstream.figure, ratios(lockstream, peer))], [lockstream, peer, *posted])


def _read(
    session: Session, posts: _Posts, server: ServerProcess, tag: str, rate: float = 0
) -> tuple[Result, Result | None]:
    """Return the results of GETs and of simultaneous posts, if there are any.

    Posts follow each other as fast as possible, or at a `rate` a second if it is not 0.
    """
    scale = session.scale
    gets = Plan(
        tag=tag,
        kind="get",
        connections=_READERS,
        compartments=posts.compartments,
        seconds=scale.reads_seconds,
        rate=scale.reads_rate,
    )
    if not posts.connections:
        return run_load(gets, server), None
    plan = Plan(
        tag=tag,
        kind="batch" if posts.per_request > 1 else "event",
        connections=posts.connections,
        per_request=posts.per_request,
        compartments=posts.compartments,
        registered=True,
        itemised=not rate,
        seconds=scale.reads_seconds + 2,
        rate=rate,
        max_rate=posts.max_rate,
    )
    return read_while_posting(gets, plan, server)

"""The tail of GETs, on an idle server and under load, beside a FastAPI GET that does nothing under the same load."""

import time

from msgspec import Struct

from bench.errors import BenchFailure
from bench.figures import Outcome, Series, ratios
from bench.goals import row
from bench.lives import PER_LOCKER
from bench.load import Load, Plan, Result, load
from bench.processes import Peer, Service
from bench.session import Contestant, Measured, Session

_AHEAD_SECONDS = 0.5
"""The load is on before the GETs begin, and for as long after they end."""

_READERS = 8

_LOCKERS = 10_000
"""In the network that is posted to: few of a real one's have an event on its way to the disk when they are read."""


class _Load(Struct, frozen=True):
    """Posts that come in while GETs are answered; no connections are no load."""

    name: str
    goal: str
    connections: int = 0
    per_request: int = 1
    at_most: int = 60_000

    @property
    def compartments(self) -> int:
        """Of each connection, or of each reader where there is no load."""
        return _LOCKERS * PER_LOCKER // (self.connections or _READERS)


_LOADS = (
    _Load("idle", "get-idle"),
    _Load("while 32 clients post", "get-posts", connections=32),
    _Load("while 8 clients post batches of 1,000", "get-batches", 8, per_request=1_000, at_most=250),
)


def measure(session: Session) -> Outcome:
    outcome = Outcome()
    for posted in _LOADS:
        group = _Reads(session, posted)
        lockstream, peer = session.take_turns(
            [
                Contestant(f"Lockstream, GET p99, {posted.name}", "ms", group.of_lockstream),
                Contestant(f"FastAPI that does nothing, GET p99, {posted.name}", "ms", group.of_peer),
            ]
        )
        outcome.rows.append(row(posted.goal, f"{lockstream.spread().show()} ms", ratios(lockstream, peer)))
        outcome.series += [lockstream, peer]
        if posted.connections:
            outcome.series.append(Series(f"posts then, {posted.name}, either server", "requests/s", group.rates))
    return outcome


class _Reads:
    """One load, on Lockstream first: its clients post as fast as they are answered, the peer gets the same rate."""

    def __init__(self, session: Session, posted: _Load) -> None:
        self.rates: list[float] = []
        """Of the posts, repetition by repetition."""
        self._session = session
        self._posted = posted

    def of_lockstream(self) -> Measured:
        with self._session.lockstream() as server:
            tag = self._session.tag()
            load(server, self._registrations(tag))
            posts = self._posts(tag) if self._posted.connections else None
            reads, loaded = self._read(server, tag, posts)
            if loaded:
                self.rates.append(loaded.requests / loaded.seconds)
        return reads.p99 * 1e3, reads.cpu

    def of_peer(self) -> Measured:
        with Peer("reads") as server:
            tag = self._session.tag()
            posts = self._posts(tag, self.rates[-1]) if self._posted.connections else None
            reads, _ = self._read(server, tag, posts)
            server.stop()
        return reads.p99 * 1e3, reads.cpu

    def _read(self, server: Service, tag: str, posts: Plan | None) -> tuple[Result, Result | None]:
        scale = self._session.scale
        gets = Plan(
            tag=tag,
            kind="get",
            connections=_READERS,
            compartments=self._posted.compartments,
            seconds=scale.reads_seconds,
            rate=scale.reads_rate,
        )
        loading = Load(server, posts).go() if posts else None
        time.sleep(_AHEAD_SECONDS)
        reads = load(server, gets)
        loaded = loading.result() if loading else None
        if posts and loaded and loaded.seconds < posts.seconds - _AHEAD_SECONDS:
            raise BenchFailure(f"the posts had ended after {loaded.seconds:.1f} seconds, before the GETs")
        return reads, loaded

    def _registrations(self, tag: str) -> Plan:
        connections = self._posted.connections or _READERS
        return Plan(
            tag=tag,
            kind="batch",
            connections=connections,
            per_request=self._posted.compartments,
            compartments=self._posted.compartments,
            events=connections * self._posted.compartments,
        )

    def _posts(self, tag: str, rate: float = 0) -> Plan:
        return Plan(
            tag=tag,
            kind="batch" if self._posted.per_request > 1 else "event",
            connections=self._posted.connections,
            per_request=self._posted.per_request,
            compartments=self._posted.compartments,
            registered=True,
            itemised=not rate,
            seconds=self._session.scale.reads_seconds + 2,
            rate=rate,
            at_most=self._posted.at_most,
        )

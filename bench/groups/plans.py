"""Loads that several groups put on servers, and the comparison of servers with a feature and without it."""

import time
from collections.abc import Callable

from bench.errors import BenchFailure
from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.load.plan import Plan, Result
from bench.load.process import LoadGenerator, run_load
from bench.processes import ServerProcess
from bench.session import Contestant, Measurement, Session

LEAD_SECONDS = 0.5
"""Time between the begin of posts and of GETs, and between the end of GETs and of posts."""


def singles(session: Session) -> Plan:
    """Return a plan of single events over 32 connections."""
    return Plan(tag=session.tag(), kind="event", connections=32, seconds=session.scale.seconds)


def hundreds(session: Session) -> Plan:
    """Return a plan of batches of 100 over 8 connections."""
    return Plan(
        tag=session.tag(),
        kind="batch",
        connections=8,
        per_request=100,
        compartments=128,
        seconds=session.scale.seconds,
        max_rate=2_000,
    )


def compare(
    session: Session,
    feature: str,
    rate_with: Callable[[Plan], Measurement],
    rate_without: Callable[[Plan], Measurement],
) -> GroupResult:
    """Measure single events and batches of 100 with a feature and without it, in turns.

    The names of its goals begin with the name of the feature, such as `keys-single` and `keys-batch`.
    """
    series = session.take_turns(
        [
            Contestant(f"single events, with {feature}", "events/s", lambda: rate_with(singles(session))),
            Contestant(f"batches of 100, with {feature}", "events/s", lambda: rate_with(hundreds(session))),
            Contestant(f"single events, without {feature}", "events/s", lambda: rate_without(singles(session))),
            Contestant(f"batches of 100, without {feature}", "events/s", lambda: rate_without(hundreds(session))),
        ]
    )
    results = [
        result(f"{feature}-{kind}", with_it.figure, ratios(with_it, without))
        for kind, with_it, without in zip(("single", "batch"), series[:2], series[2:], strict=True)
    ]
    return GroupResult(results, series)


def thousands(session: Session, events: int, connections: int = 8, projection: str = "") -> Plan:
    """Return a plan of batches of 1,000.

    If the path of a `projection` is given, then its log must be empty, and the load ends once the projection has
    caught up with the log.
    """
    return Plan(
        tag=session.tag(),
        kind="batch",
        connections=connections,
        per_request=1_000,
        compartments=1_250,
        events=events,
        projection=projection,
    )


def read_while_posting(gets: Plan, posts: Plan, server: ServerProcess) -> tuple[Result, Result]:
    """Return the results of GETs, and of posts that begin before them.

    Raises:
        BenchFailure: a response was unexpected, or the posts ended too soon.
    """
    posting = LoadGenerator(posts, server).start()
    time.sleep(LEAD_SECONDS)
    reads = run_load(gets, server)
    posted = posting.result()
    if posted.seconds < posts.seconds - LEAD_SECONDS:
        raise BenchFailure(f"The posts ended after {posted.seconds:.1f} seconds, before the GETs.")
    return reads, posted

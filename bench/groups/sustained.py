"""Millions of events in batches of 1,000, beside the eventsourcing package."""

from bench.figures import GroupResult, PeerResult, Series, ratios
from bench.goals import result
from bench.groups.plans import thousands
from bench.groups.throughput import bare
from bench.load.process import run_load
from bench.processes import run_peer
from bench.session import Contestant, Measurement, Session

PER_SAVE = 1_000
"""Events that the eventsourcing package saves in one transaction."""


def measure(session: Session) -> GroupResult:
    caught_up = Series("Lockstream, batches of 1,000 until the projection has caught up", "events/s", [])

    def sustained() -> Measurement:
        events = session.scale.sustained_events
        with session.lockstream() as server:
            load = run_load(thousands(session, events, projection=server.projection), server)
        caught_up.values.append(load.events / load.caught_up_seconds)
        return load.measurement

    def saved() -> Measurement:
        with session.folder() as folder:
            arguments = folder / "events.db", session.scale.saved_events, PER_SAVE
            return run_peer(PeerResult, "eventsourcing_package", *arguments).measurement

    ceiling, acknowledged, package = session.take_turns(
        [
            bare(session),
            Contestant("Lockstream, batches of 1,000, 8 connections", "events/s", sustained),
            Contestant(f"eventsourcing on SQLite, {PER_SAVE:,} events a save, no HTTP", "events/s", saved),
        ]
    )
    return GroupResult(
        [
            result("batch-1000", acknowledged.figure, ratios(acknowledged, ceiling)),
            result("caught-up", caught_up.figure, ratios(caught_up, ceiling)),
            result("eventsourcing", acknowledged.figure, ratios(acknowledged, package)),
        ],
        [ceiling, acknowledged, caught_up, package],
    )

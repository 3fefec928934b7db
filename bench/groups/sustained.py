"""Batches of 1,000, for as long as millions of events last, beside the eventsourcing package."""

import msgspec

from bench.figures import Outcome, Series, Told, ratios
from bench.goals import row
from bench.groups.throughput import bare
from bench.load import Plan, load
from bench.processes import run
from bench.session import Contestant, Measured, Session

PER_SAVE = 1_000


def thousands(tag: str, events: int, connections: int = 8, projection: str = "") -> Plan:
    """Each connection has 1,250 compartments. A `projection` is waited for, on a log that was empty."""
    return Plan(
        tag=tag,
        kind="batch",
        connections=connections,
        per_request=1_000,
        compartments=1_250,
        events=events,
        then_settled=projection,
    )


def measure(session: Session) -> Outcome:
    caught_up = Series("the same, with the projection caught up", "events/s", [])

    def sustained() -> Measured:
        with session.lockstream() as server:
            result = load(
                server, thousands(session.tag(), session.scale.sustained_events, projection=server.projection)
            )
        caught_up.values.append(result.events / result.caught_up_seconds)
        return result.rate, result.cpu

    def saved() -> Measured:
        events = session.scale.saved_events
        with session.folder() as folder:
            said = run("-m", "bench.peers.eventsourced", str(folder / "events.db"), f"{events}", f"{PER_SAVE}")
        told = msgspec.json.decode(said, type=Told)
        return told.events_a_second, told.cpu

    ceiling, acknowledged, package = session.take_turns(
        [
            bare(session),
            Contestant("Lockstream, batches of 1,000, 8 connections", "events/s", sustained),
            Contestant("eventsourcing on SQLite, 1,000 events a save, no HTTP", "events/s", saved),
        ]
    )
    figure = f"{acknowledged.spread().show()} events/s"
    return Outcome(
        [
            row("batch-1000", figure, ratios(acknowledged, ceiling)),
            row("caught-up", f"{caught_up.spread().show()} events/s", ratios(caught_up, ceiling)),
            row("eventsourcing", figure, ratios(acknowledged, package)),
        ],
        [ceiling, acknowledged, caught_up, package],
    )

"""Loads that several groups put on servers."""

from bench.load.plan import Plan
from bench.session import Session


def singles(session: Session) -> Plan:
    """Single events over 32 connections."""
    return Plan(tag=session.tag(), kind="event", connections=32, seconds=session.scale.seconds)


def hundreds(session: Session) -> Plan:
    """Batches of 100 over 8 connections."""
    return Plan(
        tag=session.tag(),
        kind="batch",
        connections=8,
        per_request=100,
        compartments=128,
        seconds=session.scale.seconds,
        max_rate=2_000,
    )


def thousands(session: Session, events: int, connections: int = 8, projection: str = "") -> Plan:
    """Batches of 1,000. If a `projection` is given, its log must be empty, and the load ends when it has caught up."""
    return Plan(
        tag=session.tag(),
        kind="batch",
        connections=connections,
        per_request=1_000,
        compartments=1_250,
        events=events,
        projection=projection,
    )

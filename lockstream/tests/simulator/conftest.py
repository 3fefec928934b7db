"""The fixtures of the simulator's tests."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from lockstream.simulator.simulation import Simulation

MONDAY = 1_767_571_200
"""Monday, 2026-01-05, at midnight UTC, in seconds since 1970-01-01."""

DAY = 24 * 3600
LOCKERS, DAYS = 40, 28


class Seen(NamedTuple):
    """An event as a server sees it."""

    arrival: int
    occurred: datetime
    """Time by the locker's clock, in its own time zone."""
    locker: str
    type: str
    event_id: str
    payload: dict[str, Any]

    @property
    def delay(self) -> timedelta:
        return timedelta(seconds=self.arrival - self.occurred.timestamp())


@pytest.fixture(scope="session")
def texts() -> Sequence[tuple[int, bytes]]:
    """The arrivals of four weeks."""
    return list(Simulation(LOCKERS, 1, MONDAY).arrivals(MONDAY + DAYS * DAY))


@pytest.fixture(scope="session")
def seen(texts: Sequence[tuple[int, bytes]]) -> Sequence[Seen]:
    """The events of four weeks, in the order of their arrival."""
    events = [(arrival, msgspec.json.decode(text)) for arrival, text in texts]
    return [
        Seen(
            arrival,
            datetime.fromisoformat(event["occurred_at"]),
            event["locker_id"],
            event["type"],
            event["event_id"],
            event["payload"],
        )
        for arrival, event in events
    ]

"""Four weeks of simulated lockers: nights and Sundays raise no alarm, and long outages are found within a day."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from lockstream.core.entities.listings import LockerQuery
from lockstream.core.entities.log import SECOND, recorded_at_of
from lockstream.core.entities.silence import SilenceLimits
from lockstream.core.use_cases.ingest import ingest
from lockstream.core.use_cases.silent_lockers import silence_at
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.infrastructure.stores import unit_of_work
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.simulator.simulation import Simulation
from lockstream.tests.simulator.conftest import DAY, MONDAY

LOCKERS, DAYS, LEARNING_DAYS = 40, 28, 7
HOUR = 3600
LONG_HOURS = 24

ALARM_HOURS = 26
"""Longest time after which a long outage is found. A locker with 12 events a day has quiet nights anyway."""


class Hour(NamedTuple):
    """The network at the end of an hour."""

    number: int
    silent: set[str]
    offline: set[str]


@pytest.fixture(scope="module")
def hours() -> list[Hour]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return list(_lived(monkeypatch))


def _lived(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hour]:
    simulation, store = Simulation(LOCKERS, 1, MONDAY), MemoryStore()
    for number in range(DAYS * 24):
        end = MONDAY + (number + 1) * HOUR
        monkeypatch.setattr(unit_of_work, "utc_now", lambda end=end: recorded_at_of((end - HOUR // 2) * SECOND))
        events = decode_events([text for _, text in simulation.arrivals(end)])
        ingest(events, store.unit_of_work())  # type: ignore[arg-type]  # none is malformed
        silence = silence_at(store.listings, end * SECOND, SilenceLimits())
        silent = store.listings.lockers(LockerQuery(silent=True, silence=silence), None, LOCKERS)
        connected = simulation.example().locker.outbox
        offline = {locker.name for locker in simulation.lockers if locker.outbox is not connected}
        yield Hour(number, {row.locker_id for row in silent}, offline)


def test_a_locker_that_is_connected_is_hardly_ever_silent(hours: list[Hour]) -> None:
    """One false alarm in a month of forty lockers is one in three years of a locker."""
    learned = hours[LEARNING_DAYS * 24 :]
    alarms = {
        (now.number, locker)
        for before, now in itertools.pairwise(learned)
        for locker in now.silent - before.silent - now.offline
    }
    assert len(alarms) <= 1


def test_a_long_outage_is_found_within_a_day(hours: list[Hour]) -> None:
    began: dict[str, int] = {}
    found: dict[str, int] = {}
    delays: list[int | None] = []
    for hour in hours[LEARNING_DAYS * 24 :]:
        for locker in hour.offline:
            began.setdefault(locker, hour.number)
        for locker in hour.silent & began.keys():
            found.setdefault(locker, hour.number - began[locker])
        for locker in began.keys() - hour.offline:
            delay = found.pop(locker, None)
            if hour.number - began.pop(locker) >= LONG_HOURS + 6:
                delays.append(delay)
    assert len(delays) >= 2
    assert all(delay is not None and delay <= ALARM_HOURS for delay in delays), delays


def test_the_first_night_makes_no_locker_silent(hours: list[Hour]) -> None:
    """No locker has a rhythm yet, and all of them have just opened."""
    assert not any(hour.silent - hour.offline for hour in hours[: DAY // HOUR])

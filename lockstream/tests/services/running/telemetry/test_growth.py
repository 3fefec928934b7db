"""The growth of a log follows from its recorded times, and so is the same after a restart."""

import pytest

from lockstream.core.entities.log import recorded_at_of
from lockstream.infrastructure.stores.memory import MemoryLog, MemoryStore
from lockstream.services.running.telemetry import growth
from lockstream.services.running.telemetry.growth import DAY, days_left, events_a_day, lag_seconds
from lockstream.tests.support.builders import event, registered

NOW = 1_800_000_000_000_000
HOUR = DAY // 24


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "present_time", lambda: NOW)


def rate(*times: int) -> float | None:
    """Return the rate of a log whose events were recorded at these times."""
    log = MemoryLog()
    for number, time in enumerate(times):
        log.append([event(registered(str(number)))], recorded_at_of(time))
    log.flush()
    return events_a_day(MemoryStore(log).listings)


def test_the_rate_is_that_of_the_last_day() -> None:
    assert rate(NOW - 3 * DAY, NOW - 2 * DAY, NOW - 2 * HOUR, NOW - HOUR) == 2.0


def test_a_log_without_events_in_the_last_day_does_not_grow() -> None:
    assert rate(NOW - 3 * DAY) == 0.0
    assert rate() == 0.0


def test_the_rate_of_a_young_log_is_that_since_its_first_event() -> None:
    assert rate(NOW - 6 * HOUR, NOW - HOUR) == 8.0
    assert rate(NOW - HOUR + 1, NOW) is None


def test_the_days_left_follow_from_the_bytes_of_an_event() -> None:
    assert days_left(1_000, used_bytes=200, events=10, rate=5.0) == 10.0
    assert days_left(-1, used_bytes=200, events=10, rate=5.0) == 0.0


@pytest.mark.parametrize(("events", "rate"), [(0, 5.0), (10, 0.0), (10, None)])
def test_a_log_that_does_not_grow_lasts_for_ever(events: int, rate: float | None) -> None:
    assert days_left(1_000, 200, events, rate) is None


def test_a_lag_begins_at_the_first_missing_event() -> None:
    assert lag_seconds(None) == 0.0
    assert lag_seconds(NOW - 1_500_000) == 1.5
    assert lag_seconds(NOW + 1) == 0.0  # another machine's clock

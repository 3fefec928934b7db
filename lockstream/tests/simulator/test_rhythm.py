"""The rhythm of a week, and random values by their quantiles."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from lockstream.simulator.distribution import Distribution
from lockstream.simulator.rhythm import COURIERS, CUSTOMERS, SHOPS, TECHNICIANS, Rhythm
from lockstream.tests.simulator.conftest import DAY, MONDAY, Seen

HOUR = 3600
EVEN = Rhythm([1.0] * 24, saturday=1, sunday=1)


def share(found: Iterable[datetime], hours: range) -> float:
    """Return the share of times in `hours` of the day."""
    times = list(found)
    return sum(time.hour in hours for time in times) / len(times)


def times(seen: Sequence[Seen], event_type: str) -> list[datetime]:
    return [event.occurred for event in seen if event.type == event_type]


def test_couriers_come_in_the_morning_and_customers_in_the_evening(seen: Sequence[Seen]) -> None:
    deposits, pick_ups = times(seen, "ParcelDeposited"), times(seen, "ParcelPickedUp")
    assert share(deposits, range(8, 13)) > 0.5
    assert share(deposits, range(22)) > 0.98
    assert share(pick_ups, range(16, 21)) > 0.4
    assert share(pick_ups, range(6)) < 0.06


def test_saturdays_are_quieter_and_sundays_quiet(seen: Sequence[Seen]) -> None:
    deposits = Counter(time.weekday() for time in times(seen, "ParcelDeposited"))
    workday = sum(deposits[day] for day in range(5)) / 5
    assert 0.3 < deposits[5] / workday < 0.8
    assert deposits[6] / workday < 0.15


def test_a_locker_lives_by_the_time_of_its_city(seen: Sequence[Seen]) -> None:
    offsets = {event.locker[:3]: event.occurred.strftime("%z") for event in seen}
    assert len(offsets) > 3
    assert offsets["BER"] == "+0100"
    assert set(offsets.values()) <= {"+0000", "+0100", "+0200"}


@pytest.mark.parametrize("rhythm", [EVEN, SHOPS, COURIERS, CUSTOMERS, TECHNICIANS])
def test_a_week_has_168_average_hours(rhythm: Rhythm) -> None:
    for hour in range(0, 168, 5):
        start = MONDAY + hour * HOUR
        assert rhythm.after(start, 168) == pytest.approx(start + 7 * DAY, abs=1)
        assert rhythm.after(start, 5 * 168) == pytest.approx(start + 35 * DAY, abs=1)


def test_an_even_rhythm_is_plain_time() -> None:
    for hours in (0, 0.25, 30, 400):
        assert EVEN.after(MONDAY + 100, hours) == pytest.approx(MONDAY + 100 + hours * HOUR, abs=1)


def test_time_passes_fast_in_busy_hours_and_slowly_in_quiet_ones() -> None:
    rhythm = Rhythm([*[0.5] * 12, *[1.5] * 12], saturday=1, sunday=1)
    assert rhythm.after(MONDAY, 3) == MONDAY + 6 * HOUR
    assert rhythm.after(MONDAY + 12 * HOUR, 3) == MONDAY + 14 * HOUR


def test_time_never_goes_back() -> None:
    for rhythm in (SHOPS, COURIERS, CUSTOMERS, TECHNICIANS):
        assert [second for second in range(MONDAY, MONDAY + 7 * DAY, 97) if rhythm.after(second, 0) < second] == []


def test_the_rhythm_also_holds_before_1970() -> None:
    early = int(datetime(1960, 1, 4, tzinfo=UTC).timestamp())  # a Monday
    assert COURIERS.after(early, 10) - early == COURIERS.after(MONDAY, 10) - MONDAY


def test_a_distribution_is_linear_between_its_quantiles() -> None:
    hours = Distribution((0, 2), (0.5, 4), (1, 10))
    assert [hours.at(share) for share in (0, 0.25, 0.5, 0.75)] == [2, 3, 4, 7]
    assert hours.at(1 - 2**-53) == pytest.approx(10)

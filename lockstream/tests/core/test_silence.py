"""The usual gap of a locker is learned from its events, and a locker is silent after several usual gaps."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstream.core.entities.silence import (
    LEARNED_EVENTS,
    MAX_GAP,
    NO_SILENCE,
    SILENT_FACTOR,
    Silence,
    SilenceLimits,
    longest_gap,
    min_others_heard,
)
from lockstream.core.entities.state import Compartment, Fault, LockerTotals
from lockstream.core.evolve import evolve
from lockstream.tests.core.states import State
from lockstream.tests.support.builders import COMPARTMENT, LOCKER, event, fault_reported, registered
from lockstream.tests.support.gaps import gap_sums

SLIGHT, REGISTRATION = event(fault_reported(1)), event(registered())


def after(gaps: Iterable[int], totals: LockerTotals | None = None) -> LockerTotals:
    """Return the totals of a locker that was registered and then had an event after each gap."""
    rows = State(locker=totals).rows()
    if totals is None:
        rows.save(evolve(rows, REGISTRATION, 1))
    else:
        rows.compartments[LOCKER, COMPARTMENT] = REGISTERED
    for gap in gaps:
        rows.save(evolve(rows, SLIGHT, rows.lockers[LOCKER].last_position + gap))  # type: ignore[union-attr]
        rows.changed[Fault].clear()
    found = rows.lockers[LOCKER]
    assert found is not None
    return found


def _registered() -> Compartment | None:
    rows = State().rows()
    rows.save(evolve(rows, REGISTRATION, 1))
    return rows.compartments[LOCKER, COMPARTMENT]


REGISTERED = _registered()
REGULAR = after([100] * 500)
"""A locker that has an event after each 100 events of the network."""


def exponential(mean: float, count: int, seed: int) -> list[int]:
    random = Random(seed)
    return [1 + round(random.expovariate(1 / mean)) for _ in range(count)]


@given(st.lists(st.integers(1, 10**9) | st.integers(1, 300), max_size=400))
def test_the_sums_are_those_of_an_independent_model_and_fit_a_column(gaps: list[int]) -> None:
    totals = after(gaps)
    positions = [1]
    for gap in gaps:
        positions.append(positions[-1] + gap)
    assert {"gap_sum": totals.gap_sum, "gap_squares": totals.gap_squares} == gap_sums(
        (position, position == 1) for position in positions
    )
    assert totals.gap_squares >= totals.gap_sum >= 1
    assert totals.gap_squares * SILENT_FACTOR < 2**63


def test_the_slowest_locker_fits_a_column() -> None:
    totals = after([2**62] * 3_000)
    assert totals.usual_gap <= MAX_GAP
    assert totals.gap_squares * SILENT_FACTOR < 2**63


def test_the_usual_gap_of_a_regular_locker_is_its_gap() -> None:
    assert 95 <= REGULAR.usual_gap <= 100
    assert longest_gap(REGULAR) == SILENT_FACTOR * REGULAR.usual_gap


@pytest.mark.parametrize("seed", range(5))
def test_the_usual_gap_of_random_events_is_twice_their_average(seed: int) -> None:
    """A random moment is more often in a long gap than in a short one."""
    assert 140 <= after(exponential(100, 3_000, seed)).usual_gap <= 270


def test_a_burst_is_not_taken_for_a_rhythm() -> None:
    """A locker that was offline sends everything at once."""
    assert after([1] * 200, REGULAR).usual_gap >= 95


def test_registrations_are_no_rhythm() -> None:
    rows = State(locker=REGULAR).rows()
    for number in range(100):
        rows.save(evolve(rows, event(registered(f"new-{number}")), REGULAR.last_position + number + 1))
    totals = rows.lockers[LOCKER]
    assert totals is not None
    assert (totals.gap_sum, totals.gap_squares) == (REGULAR.gap_sum, REGULAR.gap_squares)
    assert totals.last_position == REGULAR.last_position + 100


def test_an_outage_makes_a_locker_little_less_watched() -> None:
    """A gap counts as no more than the longest that is not silence."""
    assert after([1_000_000], REGULAR).usual_gap <= 1.15 * REGULAR.usual_gap


def test_a_locker_that_becomes_slower_is_silent_a_few_times_and_then_usual() -> None:
    totals, alarms = REGULAR, 0
    for _ in range(200):
        alarms += longest_gap(totals) <= 1_000
        totals = after([1_000], totals)
    assert 5 <= alarms <= 20
    assert longest_gap(totals) > 1_000


def test_rare_long_gaps_are_usual_if_they_come_again() -> None:
    """A locker in an office that is closed from the evening to the morning."""
    totals = after(([20] * 40 + [1_200]) * 20)
    assert longest_gap(totals) > 1_200


QUIET = Silence(position=100_000, quiet_through=90_000, young_through=70_000, gone_through=20_000, event_seconds=0.5)


def locker(last: int, events: int = LEARNED_EVENTS + 3, usual: int = 1_000) -> LockerTotals:
    return LockerTotals("l", events, last, compartments=3, gap_sum=10, gap_squares=10 * usual + 9)


@pytest.mark.parametrize(
    ("row", "is_silent", "is_gone"),
    [
        (locker(90_000), True, False),
        (locker(90_001), False, False),
        (locker(90_000, usual=1_666), True, False),
        (locker(90_000, usual=1_667), False, False),
        (locker(89_998, usual=1_667), True, False),
        (locker(20_001), True, False),
        (locker(20_000), False, True),
        (locker(20_000, usual=13_333), False, True),
        (locker(20_000, usual=13_334), False, False),
        (locker(1), False, True),
        (locker(90_000, LEARNED_EVENTS + 2), False, False),
        (locker(70_000, LEARNED_EVENTS + 2), True, False),
        (locker(70_001, LEARNED_EVENTS + 2), False, False),
        (locker(20_000, 3), False, True),
    ],
)
def test_a_locker_is_silent_after_several_usual_gaps(row: LockerTotals, is_silent: bool, is_gone: bool) -> None:
    assert (QUIET.is_silent(row), QUIET.is_gone(row)) == (is_silent, is_gone)
    assert not NO_SILENCE.is_silent(row)
    assert not NO_SILENCE.is_gone(row)


def test_the_usual_silence_is_a_time_by_the_pace_of_the_network() -> None:
    assert QUIET.usual_seconds(locker(1, usual=1_000)) == 500
    assert QUIET.usual_seconds(locker(1, LEARNED_EVENTS + 2)) is None


POSITIONS = st.integers(0, 1_000)


@given(
    row=st.builds(locker, st.integers(1, 1_000), st.integers(40, 60), st.integers(1, 100)),
    silence=st.builds(Silence, POSITIONS, POSITIONS, POSITIONS, POSITIONS),
    later=st.tuples(POSITIONS, POSITIONS, POSITIONS, POSITIONS),
)
def test_only_an_event_ends_silence(row: LockerTotals, silence: Silence, later: tuple[int, int, int, int]) -> None:
    now = Silence(
        silence.position + later[0],
        silence.quiet_through + later[1],
        silence.young_through + later[2],
        silence.gone_through + later[3],
    )
    if silence.is_silent(row) or silence.is_gone(row):
        assert now.is_silent(row) or now.is_gone(row)
        assert not (silence.is_gone(row) and now.is_silent(row))
    heard = replace(row, last_position=now.quiet_through + 1)
    assert not now.is_silent(heard)
    assert not now.is_gone(heard)


@pytest.mark.parametrize(
    ("lockers", "expected"),
    [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (10, 3), (30, 3), (31, 4), (200, 20), (330_000, 33_000)],
)
def test_some_of_the_others_must_have_been_heard_of(lockers: int, expected: int) -> None:
    assert min_others_heard(lockers) == expected


def test_limits_are_in_microseconds() -> None:
    limits = SilenceLimits.of(60, 30)
    assert limits == SilenceLimits() == SilenceLimits(3_600_000_000, 2_592_000_000_000, 604_800_000_000)

"""Percentiles, spreads, ratios and goals."""

import pytest

from bench.figures import Goal, GoalResult, Series, Spread, percentile, ratios
from bench.goals import GOALS, result

AT_LEAST = Goal("rate", "group", "events", "of the ceiling", 0.4)
AT_MOST = Goal("tail", "group", "p99", "× the peer's", 4.0, at_most=True)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.01, 1), (0.07, 7), (0.5, 50), (0.501, 51), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_a_percentile_is_the_smallest_value_that_its_share_does_not_exceed(share: float, value: int) -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert percentile(hundred, share) == value


def test_every_percentile_of_one_value_is_that_value() -> None:
    assert {percentile([7.0], share) for share in (0, 0.5, 0.99, 1)} == {7.0}


def test_a_spread_has_the_median_and_the_extremes() -> None:
    assert Spread.of([3, 1, 5, 2, 9]) == Spread(3, 1, 9)


def test_ratios_compare_each_repetition_with_the_same_one_of_the_reference() -> None:
    ours, theirs = Series("ours", "events/s", [10, 40, 90]), Series("theirs", "events/s", [10, 20, 30])
    assert ratios(ours, theirs) == Spread(2, 1, 3)


def test_ratios_need_the_same_number_of_repetitions() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios(Series("ours", "events/s", [1, 2]), Series("theirs", "events/s", [1]))


@pytest.mark.parametrize(
    ("goal", "ratio", "is_met", "achieved"),
    [
        (AT_LEAST, 0.4, True, 1.0),
        (AT_LEAST, 0.2, False, 0.5),
        (AT_LEAST, 0.8, True, 2.0),
        (AT_MOST, 4.0, True, 1.0),
        (AT_MOST, 8.0, False, 0.5),
        (AT_MOST, 2.0, True, 2.0),
    ],
)
def test_the_median_meets_a_goal_or_misses_it(goal: Goal, ratio: float, is_met: bool, achieved: float) -> None:
    reached = GoalResult(goal, "", Spread(ratio, 0, 100))
    assert reached.is_met is is_met
    assert reached.achieved == pytest.approx(achieved)


def test_memory_that_has_shrunk_meets_its_goal() -> None:
    assert result("per-event", "", Spread(-3, -5, 1)).is_met
    assert result("per-event", "", Spread(-3, -5, 1)).achieved > 1


def test_each_goal_has_a_name_of_its_own() -> None:
    names = [goal.name for goal in GOALS]
    assert len(set(names)) == len(names)

"""Histograms count each observation in the first bucket whose bound it does not exceed."""

from lockstream.infrastructure.telemetry.histogram import Histogram, Observations


def test_an_observation_is_in_its_bucket_and_in_all_after_it() -> None:
    histogram = Histogram((1.0, 5.0))
    for value in (0.5, 1.0, 1.1, 5.0, 5.1):
        histogram.observe(value)
    assert histogram.read() == Observations((1.0, 5.0), [2, 4, 5], 12.7)


def test_equal_observations_are_counted_together() -> None:
    histogram = Histogram((1.0, 5.0))
    histogram.observe(2.0, 3)
    assert histogram.read() == Observations((1.0, 5.0), [0, 3, 3], 6.0)


def test_a_new_histogram_is_empty() -> None:
    assert Histogram((1.0,)).read() == Observations((1.0,), [0, 0], 0.0)

"""Histograms of observations in fixed buckets."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

DISK_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
"""Bounds of buckets for the time of a flush or a commit, in seconds."""

WORK_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Bounds of buckets for the time of a checkpoint, in seconds."""


class Observations(NamedTuple):
    """The observations of a histogram up to a moment."""

    bounds: Sequence[float]
    """Highest value of each bucket but the last one, which has none."""

    cumulative: list[int]
    """For each bucket, the number of observations in it and in all buckets before it."""

    sum: float


class Histogram:
    """Counts observations by buckets. One thread observes; any thread may read."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the highest values of all buckets but the last one, in ascending order."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count an observation, or several equal ones."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def read(self) -> Observations:
        """Return the observations so far."""
        return Observations(self.bounds, list(accumulate(self.counts)), self.sum)

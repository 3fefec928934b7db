"""Distributions of random values, given by their quantiles.

The code uses arithmetic only, and no function of a mathematical library: the last digit of such a function may differ
between systems, so that a seed would no longer give the same events.
"""

from bisect import bisect_right


class Distribution:
    """A distribution that is linear between its given quantiles."""

    def __init__(self, *quantiles: tuple[float, float]) -> None:
        """`quantiles` are pairs of a share and the value below which this share lies, from share 0 to share 1."""
        self._shares = [share for share, _ in quantiles]
        self._values = [value for _, value in quantiles]

    def at(self, share: float) -> float:
        """Return the value below which `share` of all values lie. A random share from [0, 1) gives a random value."""
        index = bisect_right(self._shares, share)
        low, high = self._shares[index - 1], self._shares[index]
        first, last = self._values[index - 1], self._values[index]
        return first + (last - first) * (share - low) / (high - low)

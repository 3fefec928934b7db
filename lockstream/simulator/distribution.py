"""Random values by their quantiles.

Only arithmetic is used, and no function of a mathematical library: such a function may differ in its last digit
between systems, and a seed would no longer stand for the same events.
"""

from bisect import bisect_right


class Distribution:
    """A distribution that is linear between given quantiles."""

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

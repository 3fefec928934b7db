"""The rhythm of a week: the busy and quiet hours of couriers, customers, shops and technicians."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

HOUR = 3600
DAY = 24 * HOUR
WEEK = 7 * DAY

_FIRST_MONDAY = 4 * DAY
"""Monday, 1970-01-05, in seconds since 1970-01-01."""

_HOURS_OF_WEEK = 168


class Rhythm:
    """A weight for each hour of a week. The weights have the mean 1, so a busy hour counts as several average ones."""

    def __init__(self, workday: Sequence[float], saturday: float, sunday: float) -> None:
        """`workday` has 24 weights. `saturday` and `sunday` are their activity compared with a workday's."""
        weights = [weight * day for day in (1, 1, 1, 1, 1, saturday, sunday) for weight in workday]
        mean = sum(weights) / _HOURS_OF_WEEK
        self._weights = [weight / mean for weight in weights]
        self._before = [0.0, *accumulate(self._weights)][:-1]
        """Activity of the week before each hour of it."""

    def after(self, time: int, hours: float) -> int:
        """Return the time at which the activity of `hours` average hours has passed since `time`.

        Times are in seconds of local time since 1970-01-01.
        """
        weeks, second = divmod(time - _FIRST_MONDAY, WEEK)
        hour, second = divmod(second, HOUR)
        wanted = self._before[hour] + self._weights[hour] * second / HOUR + hours
        more_weeks, wanted = divmod(wanted, _HOURS_OF_WEEK)
        hour = bisect_right(self._before, wanted) - 1
        part = (wanted - self._before[hour]) / self._weights[hour]
        found = _FIRST_MONDAY + (weeks + int(more_weeks)) * WEEK + hour * HOUR + int(part * HOUR)
        return max(found, time)  # rounding may lead to the second before


_QUIET = 0.05

SHOPS = Rhythm(
    (*[0.2] * 5, 1, 3, 4, 4, 3, 2, 2, 2, 2, 2, 2, 1.5, 1.5, 1, 1, 1, 0.5, 0.3, 0.2), saturday=0.6, sunday=0.15
)
"""Reservations are made from the early morning on, when carriers plan their tours."""

COURIERS = Rhythm(
    (*[_QUIET] * 7, 0.5, 3, 6, 7, 6, 3, 1.5, 1.5, 2.5, 2.5, 1.5, 0.5, *[_QUIET] * 5), saturday=0.5, sunday=0.02
)
"""Couriers deposit parcels in a wave in the morning, and in a smaller one in the afternoon."""

CUSTOMERS = Rhythm(
    (*[0.1] * 6, 0.5, 1.5, 1.5, 1, 1, 1.2, 1.8, 1.5, 1.2, 1.5, 2.5, 5, 6, 5, 3, 1.5, 0.6, 0.2), saturday=0.9, sunday=0.4
)
"""Customers pick up parcels in the evening, and some before work and at noon."""

TECHNICIANS = Rhythm((*[_QUIET] * 7, 1, *[3] * 4, 2, *[3] * 4, 1, *[_QUIET] * 6), saturday=0.2, sunday=0.05)
"""Technicians repair during office hours."""

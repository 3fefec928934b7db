"""The growth of a log and the lag behind it, computed from its recorded times, so that a restart changes neither."""

from lockstream.core.entities.log import SECOND, present_time
from lockstream.core.ports import Listings

DAY = 86_400 * SECOND
"""Microseconds of a day."""

SHORTEST_AGE = 3_600 * SECOND
"""Age of a log, in microseconds, below which it is too young to have a rate."""


def events_a_day(listings: Listings) -> float | None:
    """Return the rate of accepted events in the last 24 hours, or since the first event if that is later.

    None means that the log is too young to tell.
    """
    now = present_time()
    before = listings.position_at(now - DAY)
    if before or not listings.position:
        return float(listings.position - before)
    age = now - listings.times([1])[1]
    return listings.position * DAY / age if age >= SHORTEST_AGE else None


def days_left(free_bytes: int, used_bytes: int, events: int, rate: float | None) -> float | None:
    """Return the days until `free_bytes` are used, if the `events` so far take `used_bytes` and `rate` come a day.

    None means that nothing grows, or that the rate is unknown.
    """
    growth = used_bytes / events * rate if events and rate else 0.0
    return max(0, free_bytes) / growth if growth else None


def lag_seconds(since: int | None) -> float:
    """Return the seconds since a recorded time, which is that of the first missing event. None: none is missing."""
    return 0.0 if since is None else max(0, present_time() - since) / SECOND

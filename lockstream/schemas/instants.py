"""A time with an offset, as clients write it, and the positions that it stands for."""

import re
from datetime import datetime
from typing import NamedTuple

from lockstream.core.entities.log import LAST_TIME, microseconds_of, recorded_at_of
from lockstream.core.ports import Listings
from lockstream.infrastructure.codec.event_json import is_timestamp

_LEAP_SECOND = re.compile(r"(?<=:)60(\.[0-9]+)?(?=[Z+-])")
_NANOSECONDS = re.compile(r"\.[0-9]{6}[0-9]*[1-9]")


class Instant(NamedTuple):
    """A time, which may lie between two microseconds. A leap second lies behind the second before it."""

    microsecond: int
    """The last microsecond since 1970, in UTC, that is not later than the time."""

    is_exact: bool
    """Whether the time is that microsecond."""

    @property
    def last_before(self) -> int:
        """The last microsecond that is earlier than the time."""
        return self.microsecond - self.is_exact


def instant_of(text: str) -> Instant:
    """Return the time of an RFC 3339 date-time with an offset.

    Raises:
        ValueError: the text is not one.
    """
    if not is_timestamp(text):
        raise ValueError("not an RFC 3339 date-time with an offset")
    upper = text.upper()
    without_leap_second, leap_seconds = _LEAP_SECOND.subn("59.999999", upper, count=1)
    time = datetime.fromisoformat(without_leap_second)
    return Instant(microseconds_of(time), not leap_seconds and not _NANOSECONDS.search(upper))


def position_of(listings: Listings, at: int | Instant) -> int:
    """Return a position itself, or the position of the last event recorded at a time or before, or 0 without one."""
    return listings.position_at(at.microsecond) if isinstance(at, Instant) else at


def positions_between(listings: Listings, after: Instant | None, before: Instant | None) -> tuple[int, int | None]:
    """Return the positions of the first and last event recorded after one time and before another.

    Without a first time, the first position is 0. Without a second time, the last position is None.
    """
    first = position_of(listings, after) + 1 if after else 0
    return first, listings.position_at(before.last_before) if before else None


def recorded_text(instant: Instant | None) -> str:
    """Return the first time that is not before `instant`, as a log line contains it. None is an empty text."""
    return recorded_at_of(min(max(instant.last_before + 1, 0), LAST_TIME)) if instant else ""

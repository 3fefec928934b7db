"""A time with an offset, as clients write it, compared with the recorded times of events."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from lockstream.infrastructure.codec.event_json import is_timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    return Instant((time - _EPOCH) // timedelta(microseconds=1), not leap_seconds and not _NANOSECONDS.search(upper))

"""The log as the core sees it: records in order of acceptance, and cursors between them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import time_ns
from typing import NamedTuple

from msgspec import Struct

from lockstream.core.entities.events import Event


class Cursor(Struct, frozen=True, gc=False):
    """A place in the log: the end of the record at `position`, or the start of the log."""

    position: int = 0
    """Position of the record that ends here. The first record has position 1."""

    offset: int = 0
    """Offset of the next record, in bytes, if the log is a file."""

    chain: str = "0" * 64
    """Chain value of the record, in hexadecimal. Logs with equal chain values have equal records up to here."""


START = Cursor()
"""The start of every log."""


class Record(Struct, frozen=True, gc=False):
    """An accepted event as the log holds it."""

    event: Event
    recorded_at: str
    """Time of acceptance by this machine's clock: RFC 3339 in UTC."""

    end: Cursor
    """The end of this record."""

    @property
    def locker_id(self) -> str:
        return self.event.locker_id


class Moment(NamedTuple):
    """The recorded time of the events from `position` on, up to the next moment. All events of a batch share one."""

    position: int
    time: int
    """Microseconds since 1970, in UTC."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


SECOND = 1_000_000
"""Microseconds in a second."""

LAST_TIME = 253_402_300_799_999_999
"""Highest recorded time, in microseconds since 1970: the end of the year 9999, as RFC 3339 has four digits."""


def present_time() -> int:
    """Return the present time by this machine's clock, in microseconds since 1970."""
    return time_ns() // 1_000


def microseconds_of(moment: datetime) -> int:
    """Return a time with an offset in whole microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@lru_cache(256)
def time_of(recorded_at: str) -> int:
    """Return a recorded time in microseconds since 1970, or 0 if the text in the log is not a time."""
    try:
        return microseconds_of(datetime.fromisoformat(recorded_at))
    except (ValueError, TypeError):
        return 0


def recorded_at_of(time: int) -> str:
    """Return a time in microseconds since 1970 as a log line contains it."""
    return (_EPOCH + timedelta(microseconds=time)).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"

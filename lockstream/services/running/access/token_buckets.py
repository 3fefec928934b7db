"""Token buckets by the generic cell rate algorithm (GCRA).

A bucket is one number: the time at which it is full again.
"""

from math import ceil

from msgspec import Struct

_ROUNDING = 1e-9
"""Tolerance for rounding errors of calculated times and tokens, which must not cost a token."""


class Rate(Struct, frozen=True):
    """A limit: tokens a second, and the size of the bucket."""

    name: str
    """Name of the limit in header fields and error texts, such as `requests`."""

    per_second: float
    burst_seconds: float
    """The bucket holds the tokens of so many seconds, and at least one."""

    @property
    def full_seconds(self) -> float:
        """Seconds in which an empty bucket fills."""
        return max(self.burst_seconds, 1 / self.per_second)

    @property
    def full_tokens(self) -> int:
        """Tokens of a full bucket."""
        return int(self.full_seconds * self.per_second + _ROUNDING)


class Bucket:
    """A bucket of tokens. It may owe tokens, so that a request may need more of them than the bucket holds."""

    __slots__ = ("_full_seconds", "_full_tokens", "_most_missing", "_per_second", "full_at", "rate")

    def __init__(self, rate: Rate, full_at: float = 0.0) -> None:
        self.rate, self.full_at = rate, full_at
        self._per_second, self._full_seconds = rate.per_second, rate.full_seconds
        self._full_tokens = rate.full_tokens
        self._most_missing = rate.full_seconds - 1 / rate.per_second + _ROUNDING
        """Most seconds until the bucket is full with which a token is still left."""

    def take(self, count: int, now: float, debt: int = 0) -> bool:
        """Take `count` tokens if at least one is left, and otherwise none; return whether they were taken.

        Tokens beyond the tokens that are left are owed. With `debt`, tokens are taken as long as fewer tokens than
        `debt` are owed. Rounded to whole tokens, the rate holds in the long run.
        """
        missing = self.full_at - now
        if missing < 0:
            missing = 0.0
        if missing > self._most_missing and missing > self._most_missing + debt / self._per_second:
            return False
        self.full_at = now + missing + count / self._per_second
        return True

    def state(self, now: float) -> tuple[int, int]:
        """Return the tokens that are left, and the whole seconds until the bucket is full."""
        missing = self.full_at - now
        if missing <= _ROUNDING:
            return self._full_tokens, 0
        left = int((self._full_seconds - missing) * self._per_second + _ROUNDING)
        return max(0, left), ceil(missing - _ROUNDING)

    def wait_seconds(self, now: float) -> int:
        """Return the whole seconds until a token is left, and at least 1."""
        return max(1, ceil(self.full_at - now - self._most_missing))

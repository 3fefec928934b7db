"""API keys: their scopes, the lockers that they are bound to, and the caller of a request."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from msgspec import Struct

from lockstream.core.entities.events import NO_KEY, KeyId

WILDCARD = "*"
"""Last character of a pattern that stands for all locker ids with the same beginning."""


class Scope(StrEnum):
    """A group of operations that a key may call. No scope includes another one."""

    EVENTS_WRITE = "events:write"
    """Report events."""

    READ = "read"
    """Read the present state, the past and histories."""

    FEED = "feed"
    """Follow the feed."""

    QUARANTINE = "quarantine"
    """Read the quarantine, and resubmit or discard its entries."""

    ADMIN = "admin"
    """Create, rotate and revoke keys, and read the audit log."""


class Lockers(Struct, frozen=True):
    """The lockers that a key is bound to: whole ids, and beginnings of ids."""

    ids: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """Return the lockers of patterns: each is a locker id, or the beginning of ids followed by `*`."""
        patterns = sorted(set(patterns))
        prefixes = tuple(pattern.removesuffix(WILDCARD) for pattern in patterns if pattern.endswith(WILDCARD))
        return cls(frozenset(pattern for pattern in patterns if not pattern.endswith(WILDCARD)), prefixes)

    def allow(self, locker_id: str) -> bool:
        """Return whether the key may report and read events of this locker."""
        return locker_id in self.ids or locker_id.startswith(self.prefixes)


class Limits(Struct, frozen=True):
    """The rate limits of a key. None stands for the limit in the server's settings."""

    requests_per_second: float | None = None
    events_per_second: float | None = None
    burst_seconds: float | None = None
    """Size of a burst: as many requests and events as the rates allow in this number of seconds."""


NO_LIMITS = Limits()
"""The limits of a key that has none of its own."""


class Caller(Struct, frozen=True):
    """The key of a request, and what it allows."""

    key_id: KeyId = NO_KEY
    """The public part of the key: 8 characters. Empty if the server runs without keys."""

    scopes: frozenset[Scope] = frozenset(Scope)
    lockers: Lockers | None = None
    """None allows all lockers."""

    limits: Limits | None = None
    """None: the key has no limits of its own."""

    def may_use(self, locker_id: str) -> bool:
        """Return whether the caller may report and read events of this locker."""
        return self.lockers is None or self.lockers.allow(locker_id)


ANYONE = Caller()
"""The caller of every request to a server that runs without keys."""

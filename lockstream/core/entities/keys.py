"""API keys as they are stored, and the entries of the audit log. Neither contains the secret of a key."""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from lockstream.core.entities.access import NO_LIMITS, Caller, Limits, Lockers, Scope
from lockstream.core.entities.events import KeyId

NAME_MAX = 100
"""Longest name of a key, in characters."""


class KeyStatus(StrEnum):
    """Whether a key is accepted."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Key(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An API key. Times are in microseconds since 1970."""

    key_id: str
    """The public part of the key, which identifies it."""

    name: str
    """A name for people. Several keys may share it."""

    digest: str
    """SHA-256 of the whole text of the key, in hexadecimal."""

    scopes: tuple[Scope, ...]
    lockers: tuple[str, ...] = ()
    """Patterns of the lockers that the key is bound to: ids, and beginnings of ids followed by `*`. Empty: all."""

    created_at: int
    created_by: str
    """The key, or the user of the command line, that created this key."""

    expires_at: int | None = None
    """The time from which the key is not accepted. `revoked` moves it for a rotated key."""

    revoked_at: int | None = None
    """The time of the revocation, or the end of the overlap of a rotation: `is_revoked` tells which."""

    replaced_by: str = ""
    """Id of the key that a rotation has put in the place of this one, or an empty text."""

    replaces: str = ""
    """Id of the key that this one replaces, or an empty text."""

    requests_per_second: float | None = None
    """The key's own limit of requests, or None for that of the settings."""

    events_per_second: float | None = None
    """The key's own limit of events, or None for that of the settings."""

    burst_seconds: int | None = None
    """Size of a burst, in seconds: see `Limits.burst_seconds`. None stands for that of the settings."""

    @property
    def ends_at(self) -> int | None:
        """The time from which the key is not accepted, or None."""
        ends = [time for time in (self.expires_at, self.revoked_at) if time is not None]
        return min(ends, default=None)

    @property
    def is_revoked(self) -> bool:
        """Whether the key was revoked, so that it is not accepted whatever a clock says.

        The overlap of a rotation waits for its end instead. A rotated key that was revoked has that time as its expiry
        as well: earlier versions of Lockstream refuse a key with a member that they do not know.
        """
        return self.revoked_at is not None and (not self.replaced_by or self.revoked_at == self.expires_at)

    def revoked(self, at: int) -> "Key":
        """Return this key, revoked at time `at`, or at the end of an overlap that was earlier."""
        revoked_at = at if self.revoked_at is None else min(at, self.revoked_at)
        return replace(self, revoked_at=revoked_at, expires_at=revoked_at if self.replaced_by else self.expires_at)

    def status(self, now: int) -> KeyStatus:
        """Return whether the key is accepted at time `now`. One that is both revoked and expired is revoked."""
        if self.is_revoked or (self.revoked_at is not None and self.revoked_at <= now):
            return KeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyStatus.EXPIRED
        return KeyStatus.ACTIVE

    def caller(self) -> Caller:
        """Return the caller of a request with this key."""
        lockers = Lockers.of(self.lockers) if self.lockers else None
        limits = Limits(self.requests_per_second, self.events_per_second, self.burst_seconds)
        return Caller(KeyId(self.key_id), frozenset(self.scopes), lockers, None if limits == NO_LIMITS else limits)


class AuditAction(StrEnum):
    """An action that the audit log notes."""

    CREATED = "created"
    ROTATED = "rotated"
    REVOKED = "revoked"
    REFUSED = "refused"


class AuditEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the audit log. Texts that do not apply are empty."""

    at: str
    """Time of the action, or of the last of several refusals: RFC 3339 in UTC."""

    action: AuditAction
    key_id: str = ""
    """The key that was created, rotated or revoked, or with which a request was refused."""

    name: str = ""
    """Name of the key that was created, rotated or revoked."""

    by: str = ""
    """The key, or the user of the command line, that has created, rotated or revoked the key."""

    replaced_by: str = ""
    """The new key of a rotation."""

    address: str = ""
    """Remote address of the request."""

    operation: str = ""
    """Operation that was refused."""

    code: str = ""
    """Code of the refusal."""

    count: int = 1
    """Number of equal refusals until `at` that this entry sums up."""


class AuditQuery(Struct, frozen=True):
    """Filter of the audit log."""

    key_id: str | None = None
    """Entries about this key, or by it."""

    action: AuditAction | None = None
    since: str = ""
    """Entries of this time or later: RFC 3339 in UTC, as entries have it."""

    def matches(self, entry: AuditEntry) -> bool:
        """Return whether an entry passes the filter."""
        return (
            self.key_id in (None, entry.key_id, entry.by, entry.replaced_by)
            and self.action in (None, entry.action)
            and entry.at >= self.since
        )


class NumberedEntry(Struct, frozen=True):
    """An entry of the audit log, and its number: a later entry has a higher one."""

    number: int
    entry: AuditEntry

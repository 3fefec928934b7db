"""Create, rotate and revoke API keys: pure functions from the present keys to a change."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from lockstream.core.entities.access import WILDCARD, Scope
from lockstream.core.entities.fields import IDENTIFIER_FORM, is_identifier
from lockstream.core.entities.key_text import digest_of, new_key_text
from lockstream.core.entities.keys import NAME_MAX, AuditAction, AuditEntry, Key, KeyStatus
from lockstream.core.entities.log import SECOND, recorded_at_of
from lockstream.core.errors import InvalidKey, KeyEnded, UnknownKey
from lockstream.core.key_store import KeyChange, Keys
from lockstream.core.wording import quoted

DEFAULT_OVERLAP_SECONDS = 24 * 60 * 60
"""Seconds for which both keys of a rotation are accepted, unless a request names another time."""

MAX_SECONDS = 100 * 366 * 24 * 60 * 60
"""Longest lifetime of a key, and longest overlap of a rotation, in seconds: some 100 years."""

MAX_PATTERNS = 1_000
"""Most lockers, or beginnings of their ids, that one key may be bound to."""

MIN_RATE, MAX_RATE = 0.001, 1_000_000_000
"""Lowest and highest limit of a key, in requests or events a second."""

MAX_BURST_SECONDS = 86_400


class KeyRequest(Struct, frozen=True, kw_only=True):
    """The values of a key that is to be created."""

    name: str
    scopes: Sequence[Scope]
    lockers: Sequence[str] = ()
    expires_seconds: int | None = None
    """Lifetime of the key in seconds, or None."""

    requests_per_second: float | None = None
    events_per_second: float | None = None
    burst_seconds: int | None = None


class Operator(Struct, frozen=True):
    """The person or program that changes keys."""

    by: str
    """A key id, or the user of the command line."""

    address: str = ""
    """Remote address of the request, or an empty text."""


class NewKey(KeyChange, frozen=True, kw_only=True):
    """A new key with its whole text, which is not stored and not shown again."""

    key: Key
    text: str


class ChangedKey(KeyChange, frozen=True, kw_only=True):
    """The result of a change to an existing key, with the changed key."""

    key: Key


def create(keys: Keys, request: KeyRequest, operator: Operator, now: int) -> NewKey:
    """Return a new key.

    Raises:
        InvalidKey: a value of the request is wrong.
    """
    _check(request)
    expires_at = None if request.expires_seconds is None else now + request.expires_seconds * SECOND
    key, text = _new_key(
        keys,
        Key(
            key_id="",
            digest="",
            name=request.name,
            scopes=tuple(scope for scope in Scope if scope in request.scopes),
            lockers=tuple(sorted(set(request.lockers))),
            created_at=now,
            created_by=operator.by,
            expires_at=expires_at,
            requests_per_second=request.requests_per_second,
            events_per_second=request.events_per_second,
            burst_seconds=request.burst_seconds,
        ),
    )
    return NewKey(key=key, text=text, keys=[key], audit=[_entry(AuditAction.CREATED, key, operator, now)])


def rotate(keys: Keys, key_id: str, overlap_seconds: int, operator: Operator, now: int) -> NewKey:
    """Return a new key that replaces the key `key_id`, which is revoked after the overlap.

    The new key has the same name, scopes, lockers and limits, and the same lifetime, counted from now.

    Raises:
        UnknownKey: there is no such key.
        KeyEnded: the key is revoked or has expired, or was rotated already.
        InvalidKey: the overlap is negative or too long.
    """
    old = _existing(keys, key_id)
    if old.status(now) is not KeyStatus.ACTIVE:
        raise KeyEnded(f"The key {key_id} is {old.status(now)}, so it cannot be rotated. Create a new key.")
    if old.replaced_by:
        raise KeyEnded(f"The key {key_id} was rotated already. Rotate the key {old.replaced_by}, which replaces it.")
    if not 0 <= overlap_seconds <= MAX_SECONDS:
        raise InvalidKey(f"The overlap is {overlap_seconds:,} seconds. Give 0 to {MAX_SECONDS:,}.")
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    draft = replace(
        old,
        created_at=now,
        created_by=operator.by,
        expires_at=None if lifetime is None else now + lifetime,
        revoked_at=None,
        replaces=key_id,
    )
    new, text = _new_key(keys, draft)
    old = replace(old, replaced_by=new.key_id)
    if overlap_seconds:
        ends_at = now + overlap_seconds * SECOND
        old = replace(old, revoked_at=ends_at + (ends_at == old.expires_at))  # two equal times mean `is_revoked`
    else:
        old = old.revoked(now)
    entry = replace(_entry(AuditAction.ROTATED, old, operator, now), replaced_by=new.key_id)
    return NewKey(key=new, text=text, keys=[old, new], audit=[entry])


def revoke(keys: Keys, key_id: str, operator: Operator, now: int) -> ChangedKey:
    """Return the change that revokes a key. A key that is revoked already is not changed.

    Raises:
        UnknownKey: there is no such key.
    """
    key = _existing(keys, key_id)
    if key.is_revoked:
        return ChangedKey(key=key)
    revoked = key.revoked(now)
    return ChangedKey(key=revoked, keys=[revoked], audit=[_entry(AuditAction.REVOKED, revoked, operator, now)])


def _existing(keys: Keys, key_id: str) -> Key:
    if key_id not in keys:
        raise UnknownKey(key_id)
    return keys[key_id]


def _new_key(keys: Keys, draft: Key) -> tuple[Key, str]:
    """Return `draft` with a new id and digest, and its text."""
    while True:
        key_id, text = new_key_text()
        if key_id not in keys:
            return replace(draft, key_id=str(key_id), digest=digest_of(text)), text


def _entry(action: AuditAction, key: Key, operator: Operator, now: int) -> AuditEntry:
    return AuditEntry(
        at=recorded_at_of(now),
        action=action,
        key_id=key.key_id,
        name=key.name,
        by=operator.by,
        address=operator.address,
    )


def _check(request: KeyRequest) -> None:
    if not request.name.isprintable() or not 1 <= len(request.name.strip()) <= len(request.name) <= NAME_MAX:
        raise InvalidKey(f"The name is {quoted(request.name)}. Give 1 to {NAME_MAX} printable characters.")
    if not request.scopes:
        raise InvalidKey(f"The key has no scope. Give some of {', '.join(Scope)}.")
    if request.lockers and Scope.ADMIN in request.scopes:
        raise InvalidKey(
            "A key with the scope admin can create keys without lockers, so it cannot be bound to lockers itself. "
            "Leave out the scope or the lockers."
        )
    if len(request.lockers) > MAX_PATTERNS:
        raise InvalidKey(f"The key names {len(request.lockers):,} lockers. Give {MAX_PATTERNS:,} at most.")
    for pattern in request.lockers:
        if not is_identifier(pattern.removesuffix(WILDCARD)):
            raise InvalidKey(
                f"The locker is {quoted(pattern)}. Give a locker id ({IDENTIFIER_FORM}), or the beginning of ids "
                f"followed by {WILDCARD}."
            )
    if request.expires_seconds is not None and not 0 < request.expires_seconds <= MAX_SECONDS:
        raise InvalidKey(f"The key expires after {request.expires_seconds:,} seconds. Give 1 to {MAX_SECONDS:,}.")
    if request.burst_seconds is not None and not 0 < request.burst_seconds <= MAX_BURST_SECONDS:
        raise InvalidKey(f"The burst is {request.burst_seconds} seconds. Give 1 to {MAX_BURST_SECONDS:,} seconds.")
    for name in ("requests_per_second", "events_per_second"):
        value = getattr(request, name)
        if value is not None and not MIN_RATE <= value <= MAX_RATE:
            raise InvalidKey(f"The limit {name} is {value}. Give a number from {MIN_RATE} to {MAX_RATE:,}.")

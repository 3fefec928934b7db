"""The bodies of the operations of API keys and of the audit log."""

from typing import Annotated

from msgspec import Meta, Struct

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import PUBLIC_ID_LENGTH
from lockstream.core.entities.keys import NAME_MAX, AuditAction, AuditEntry, Key, KeyStatus
from lockstream.core.entities.log import SECOND, recorded_at_of
from lockstream.core.use_cases.manage_keys import (
    DEFAULT_OVERLAP_SECONDS,
    MAX_BURST_SECONDS,
    MAX_PATTERNS,
    MAX_RATE,
    MAX_SECONDS,
    MIN_RATE,
)
from lockstream.schemas.listings import Next, Time

_MINUTE = 60 * SECOND
"""Microseconds of a minute."""

_KeyId = Annotated[str, Meta(description="The public part of the key.", pattern=f"^[0-9A-Za-z]{{{PUBLIC_ID_LENGTH}}}$")]
_Rate = Annotated[float, Meta(ge=MIN_RATE, le=MAX_RATE)]
_OwnLimit = Annotated[float | None, Meta(description="The key's own limit. Null: that of the settings.")]
_Scopes = Annotated[list[Scope], Meta(description="The operations that the key may call.")]
_Lockers = Annotated[
    list[str], Meta(description="Locker ids, and beginnings of ids followed by `*`. Empty: the key may use all.")
]


class KeyItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key, without its secret."""

    key_id: _KeyId
    name: str
    status: KeyStatus
    scopes: _Scopes
    lockers: _Lockers
    created_at: Time
    created_by: Annotated[str, Meta(description="The key, or the user of the command line, that created it.")]
    expires_at: Annotated[Time | None, Meta(description="The time from which it is not accepted.")]
    revoked_at: Annotated[
        Time | None,
        Meta(description="The time from which it is not accepted. It may lie in the future, by a rotation."),
    ]
    ends_at: Annotated[
        Time | None,
        Meta(description="The earlier of `expires_at` and `revoked_at`. Of a rotated key: the end of the overlap."),
    ]
    last_used_at: Annotated[Time | None, Meta(description="The minute of its last use, which may lag by a minute.")]
    replaces: Annotated[str | None, Meta(description="The key in whose place it came.")]
    replaced_by: Annotated[str | None, Meta(description="The key that came in its place.")]
    requests_per_second: _OwnLimit
    events_per_second: _OwnLimit
    burst_seconds: Annotated[
        int | None, Meta(description="Seconds whose requests and events may come at once. Null: as the settings say.")
    ]

    @classmethod
    def of(cls, key: Key, used_minute: int | None, now: int) -> "KeyItem":
        """Return the item of a key, with its status at time `now`."""
        return cls(
            key_id=key.key_id,
            name=key.name,
            status=key.status(now),
            scopes=list(key.scopes),
            lockers=list(key.lockers),
            created_at=recorded_at_of(key.created_at),
            created_by=key.created_by,
            expires_at=_time(key.expires_at),
            revoked_at=_time(key.revoked_at),
            ends_at=_time(key.ends_at),
            last_used_at=None if used_minute is None else _time(used_minute * _MINUTE),
            replaces=key.replaces or None,
            replaced_by=key.replaced_by or None,
            requests_per_second=key.requests_per_second,
            events_per_second=key.events_per_second,
            burst_seconds=key.burst_seconds,
        )


class KeyPage(Struct, frozen=True, forbid_unknown_fields=True):
    """API keys, sorted by id."""

    items: list[KeyItem]
    next: Next


class NewKeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A new API key. This is the only response that contains its text."""

    key: KeyItem
    text: Annotated[str, Meta(description="The whole key, for the header `Authorization: Bearer …`. Keep it secret.")]


class CreateKeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key to create."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX, description="A name for people.")]
    scopes: Annotated[_Scopes, Meta(min_length=1)]
    lockers: Annotated[
        Annotated[list[str], Meta(min_length=1, max_length=MAX_PATTERNS)] | None,
        Meta(description="Locker ids, and beginnings of ids followed by `*`. Null: the key may use all."),
    ] = None
    expires_seconds: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_SECONDS)] | None, Meta(description="Lifetime in seconds. Null: for ever.")
    ] = None
    requests_per_second: _Rate | None = None
    events_per_second: _Rate | None = None
    burst_seconds: Annotated[int, Meta(ge=1, le=MAX_BURST_SECONDS)] | None = None


class RotateKeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The rotation of an API key."""

    overlap_seconds: Annotated[
        int, Meta(ge=0, le=MAX_SECONDS, description="Seconds for which both keys are accepted.")
    ] = DEFAULT_OVERLAP_SECONDS


class AuditItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the audit log. A member that does not apply is null."""

    at: Annotated[
        Time,
        Meta(
            description="The time of the action, or of the last of several refusals. The first may be a minute older."
        ),
    ]
    action: AuditAction
    key_id: Annotated[str | None, Meta(description="The key that was changed, or whose request was refused.")]
    name: Annotated[str | None, Meta(description="Name of the key that was changed.")]
    by: Annotated[str | None, Meta(description="The key, or the user of the command line, that changed the key.")]
    replaced_by: Annotated[str | None, Meta(description="The new key of a rotation.")]
    address: Annotated[str | None, Meta(description="Remote address of the request.")]
    operation: Annotated[
        str | None,
        Meta(
            description="The operation that was refused: its `operationId`, `report` if events of other lockers were "
            "refused, or `other` for a path of no operation."
        ),
    ]
    code: Annotated[str | None, Meta(description="The code of the refusal.")]
    count: Annotated[int, Meta(ge=1, description="Number of equal refusals that the entry sums up.")]

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditItem":
        return cls(
            at=entry.at,
            action=entry.action,
            key_id=entry.key_id or None,
            name=entry.name or None,
            by=entry.by or None,
            replaced_by=entry.replaced_by or None,
            address=entry.address or None,
            operation=entry.operation or None,
            code=entry.code or None,
            count=entry.count,
        )


class AuditPage(Struct, frozen=True, forbid_unknown_fields=True):
    """Entries of the audit log, the newest first."""

    items: list[AuditItem]
    next: Next


BODIES = KeyPage, NewKeyBody, CreateKeyRequest, RotateKeyRequest, AuditPage
"""The bodies of these operations, for the contract."""


def _time(time: int | None) -> str | None:
    return None if time is None else recorded_at_of(time)

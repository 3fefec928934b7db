"""The keys in memory, by which requests are authenticated. Most of the time of a check is one SHA-256."""

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from math import inf
from typing import NoReturn

from msgspec import Struct

from lockstream.core.entities.access import Caller
from lockstream.core.entities.key_text import PUBLIC_ID, TEXT_LENGTH, is_key_text
from lockstream.core.entities.keys import Key, KeyStatus
from lockstream.core.entities.log import SECOND, recorded_at_of
from lockstream.core.errors import NotAuthenticated

SCHEME = b"Bearer "
_SECRET = slice(len(SCHEME), None)
_KEY_ID = slice(len(SCHEME) + PUBLIC_ID.start, len(SCHEME) + PUBLIC_ID.stop)

NO_KEY_SENT = "The request has no API key."

HOW_TO_SEND = "Send the header `Authorization: Bearer lsk_…` with an API key."

KEY_MISSING, KEY_MALFORMED, KEY_UNKNOWN = "key_missing", "key_malformed", "key_unknown"
KEY_EXPIRED, KEY_REVOKED = "key_expired", "key_revoked"


class _LiveKey(Struct):
    """A key, and when it was last used."""

    digest: bytes
    caller: Caller
    ends_at: float
    """The time from which the key is not accepted, in seconds since 1970; for a revoked key, before any time."""

    key: Key
    used_at: float = 0


class LiveKeys:
    """All keys by id. One thread replaces them; any thread may check a key meanwhile."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_id: dict[bytes, _LiveKey] = {}
        self.replace(keys)

    def __bool__(self) -> bool:
        """Return whether there is any key, even one that was revoked or has expired."""
        return bool(self._by_id)

    def replace(self, keys: Iterable[Key]) -> None:
        """Use these keys from now on."""
        live: dict[bytes, _LiveKey] = {}
        for key in keys:
            one = _LiveKey(bytes.fromhex(key.digest), key.caller(), _end_of(key), key)
            if before := self._by_id.get(key.key_id.encode()):
                one.used_at = before.used_at
            live[key.key_id.encode()] = one
        self._by_id = live

    def authenticate(self, header: bytes | None, now: float) -> Caller:
        """Return the caller of a request, from its header `Authorization`. `now` is in seconds since 1970.

        Raises:
            NotAuthenticated: the header has no key, or a key that is not accepted.
        """
        if header is None:
            raise NotAuthenticated(f"{NO_KEY_SENT} {HOW_TO_SEND}", KEY_MISSING)
        if not header.startswith(SCHEME):
            header = _with_scheme(header)
        found = self._by_id.get(header[_KEY_ID])
        if found is None or not compare_digest(sha256(header[_SECRET]).digest(), found.digest) or found.ends_at <= now:
            _explain(header[_SECRET], found, now)
        found.used_at = now
        return found.caller

    def require_accepted(self, key_id: str, now: float) -> None:
        """Require that requests with this key are accepted. `now` is in seconds since 1970.

        Raises:
            NotAuthenticated: requests with this key are not accepted, or `key_id` is empty although there are keys.
        """
        if self.accepts(key_id, now):
            return
        found = self._by_id.get(key_id.encode())
        if found is None:
            code = KEY_UNKNOWN if key_id else KEY_MISSING
            raise NotAuthenticated(
                f"The key {key_id} is gone. {HOW_TO_SEND}" if key_id else f"{NO_KEY_SENT} {HOW_TO_SEND}", code
            )
        _raise_ended(found, now)

    def accepts(self, key_id: str, now: float) -> bool:
        """Return whether requests with this key are accepted. A server without keys accepts requests without a key."""
        if not self._by_id:
            return not key_id
        found = self._by_id.get(key_id.encode())
        return found is not None and now < found.ends_at

    def used_since(self, time: float) -> dict[str, int]:
        """Return the last use of each key that was used at `time` or later, in minutes since 1970, by key id."""
        return {one.key.key_id: int(one.used_at // 60) for one in self._by_id.values() if one.used_at >= time > 0}


def _end_of(key: Key) -> float:
    """Return the time from which a key is not accepted, in seconds since 1970."""
    if key.is_revoked:
        return -inf
    return inf if key.ends_at is None else key.ends_at / SECOND


def _with_scheme(header: bytes) -> bytes:
    """Return a header with the scheme in its usual form, followed by a single space.

    Raises:
        NotAuthenticated: the header has another scheme.
    """
    scheme, _, text = header.strip().partition(b" ")
    if scheme.lower() != SCHEME.strip().lower():
        raise NotAuthenticated(f"The header Authorization has another scheme than Bearer. {HOW_TO_SEND}", KEY_MALFORMED)
    return SCHEME + text.strip()


def _explain(secret: bytes, found: _LiveKey | None, now: float) -> NoReturn:
    """Raise the error about a key that is not accepted. Only the right secret reveals that the key has ended."""
    if len(secret) != TEXT_LENGTH or not is_key_text(secret.decode("latin-1")):
        raise NotAuthenticated(
            "The API key is not complete, or has a typing error: its checksum is wrong. Copy it again.", KEY_MALFORMED
        )
    if found is None or not compare_digest(sha256(secret).digest(), found.digest):
        raise NotAuthenticated(
            "This server does not know the API key. Create one with `lockstream keys create`, which needs the server's "
            "EVENT_LOG_PATH, or on PostgreSQL its DATABASE_URL.",
            KEY_UNKNOWN,
        )
    _raise_ended(found, now)


def _raise_ended(found: _LiveKey, now: float) -> NoReturn:
    key = found.key
    is_revoked = key.status(int(now * SECOND)) is KeyStatus.REVOKED
    done, code = ("was revoked", KEY_REVOKED) if is_revoked else ("has expired", KEY_EXPIRED)
    remedy = f"Use the key {key.replaced_by}, which replaces it." if key.replaced_by else "Ask for a new key."
    raise NotAuthenticated(
        f"The API key {key.key_id} {done} at {recorded_at_of(key.ends_at or 0)}. {remedy}", code, found.caller.key_id
    )

"""API keys for tests."""

from collections.abc import Sequence

from lockstream.core.entities.access import Scope
from lockstream.core.key_store import KeyStore
from lockstream.core.use_cases.manage_keys import KeyRequest, NewKey, Operator, create
from lockstream.services.running.access.rate_limits import FailureLimits

NOW = 1_790_000_000_000_000
"""A time in 2026, in microseconds since 1970."""

OPERATOR = Operator("the command line (tester)")


def request(*scopes: Scope, lockers: Sequence[str] = (), expires_seconds: int | None = None) -> KeyRequest:
    """Return the request of a key, by default with the scope read."""
    return KeyRequest(name="test", scopes=scopes or (Scope.READ,), lockers=lockers, expires_seconds=expires_seconds)


def created(store: KeyStore, asked: KeyRequest | None = None, now: int = NOW) -> NewKey:
    """Create a key in a store."""
    return store.change(lambda keys: create(keys, asked or request(), OPERATOR, now))


def bearer(text: str) -> dict[str, str]:
    """Return the header that sends a key."""
    return {"Authorization": f"Bearer {text}"}


class NoFailureLimits(FailureLimits):
    """Lets tests share a server, although nearly all of their requests fail."""

    def note(self, address: str, now: float) -> None:
        """Count nothing."""

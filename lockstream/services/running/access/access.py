"""Access: authenticates requests, and follows changes of the keys by this process or another."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread

from msgspec import Struct

from lockstream.core.entities.access import ANYONE, Caller
from lockstream.core.entities.keys import AuditQuery, Key, NumberedEntry
from lockstream.core.entities.log import present_time
from lockstream.core.errors import KeysMissing, LockstreamError, StoreUnavailable
from lockstream.core.key_store import KeyChange, Keys, KeyStore
from lockstream.core.use_cases.manage_keys import ChangedKey, KeyRequest, NewKey, Operator, create, revoke, rotate
from lockstream.services.running.access.live_keys import LiveKeys
from lockstream.services.running.access.open_requests import OpenRequests
from lockstream.services.running.access.rate_limits import FailureLimits
from lockstream.services.running.access.refusals import Refusal, Refusals

POLL_SECONDS = 0.25
"""Interval at which the store is asked whether the keys have changed."""

USE_SECONDS = 60
"""Interval at which the last use of keys is written."""

STOP_SECONDS = 1
"""Time that `close` waits for a thread. A database that does not answer may hold a thread up for longer."""

logger = logging.getLogger(__name__)


class KnownKey(Struct, frozen=True):
    """A key, and the minute since 1970 in which it was last used, if that is known."""

    key: Key
    used_minute: int | None


class Access:
    """The check of API keys. Any thread may use it.

    A thread looks for changes of the keys, and ends the open requests of keys that have ended. Another thread writes
    the audit entries of refused requests and the last use of keys, so that a slow write delays no revocation.
    """

    def __init__(self, store: KeyStore | None = None, *, is_enforced: bool = True) -> None:
        """Read the keys, and follow them until `close`. Without a store there are no keys, and every request is served.

        Unless keys are enforced, every request is served as well.

        Raises:
            KeysDamaged, KeysMissing: the keys cannot be trusted; the text names the next step.
            StoreUnavailable: the keys cannot be read.
        """
        self.is_enforced = is_enforced and store is not None
        self.open_requests = OpenRequests()
        self.failure_limits = FailureLimits()
        self._store = store
        self._live = LiveKeys()
        self._version: object = None
        self._refusals = Refusals()
        self._count_lock = Lock()
        self.refused = Counter[str]()
        """Refused requests and events since the start, by the code of the refusal."""

        self._used_written_at = time.time()
        self._reload_lock = Lock()
        self._failing: set[str] = set()
        """Steps whose last attempt has failed."""

        self._stopping = Event()
        self._threads: list[Thread] = []
        self.is_open = True
        """Whether requests need no key."""

        if store and self.is_enforced:
            self._version = store.version()
            self._replace_keys(store.keys())
            for name, work in (("lockstream-access", self._poll_keys), ("lockstream-audit", self._write_periodically)):
                self._threads.append(Thread(target=work, args=(store,), name=name, daemon=True))
                self._threads[-1].start()

    @property
    def failing(self) -> tuple[str, ...]:
        """The steps whose last attempt has failed, such as "read the keys"."""
        return tuple(sorted(self._failing))

    def authenticate(self, header: bytes | None) -> Caller:
        """Return the caller of a request, from its header `Authorization`.

        Raises:
            NotAuthenticated: a key is needed, and the header has none that is accepted.
        """
        return ANYONE if self.is_open else self._live.authenticate(header, time.time())

    def require_accepted(self, caller: Caller) -> None:
        """Require that the key of a request that is being served is still accepted.

        Raises:
            NotAuthenticated: the key was revoked or has expired since, or keys are needed by now.
        """
        if not self.is_open:
            self._live.require_accepted(caller.key_id, time.time())

    def note_refusal(self, key_id: str, address: str, operation: str, code: str, count: int = 1) -> None:
        """Count a refused request, or `count` equal ones. Their sum is in the audit log within a minute.

        `key_id` is the key of the request if its secret was right, else empty.
        """
        with self._count_lock:
            self.refused[code] += count
        if self._threads:
            self._refusals.note(Refusal(str(key_id), address, operation, code), time.time(), count)

    def create(self, request: KeyRequest, operator: Operator) -> NewKey:
        """Create a key, and return it with its text. Blocks.

        Raises:
            InvalidKey: the request asks for a key that cannot exist, such as one without a scope.
            KeysDamaged, KeysMissing, StoreUnavailable: the keys cannot be read or written.
        """
        now = present_time()
        return self._change(lambda keys: create(keys, request, operator, now))

    def rotate(self, key_id: str, overlap_seconds: int, operator: Operator) -> NewKey:
        """Replace a key by a new one, and return that one with its text. Both are accepted in the overlap. Blocks.

        Raises:
            UnknownKey, KeyEnded, InvalidKey: as `manage_keys.rotate`.
            KeysDamaged, KeysMissing, StoreUnavailable: the keys cannot be read or written.
        """
        now = present_time()
        return self._change(lambda keys: rotate(keys, key_id, overlap_seconds, operator, now))

    def revoke(self, key_id: str, operator: Operator) -> ChangedKey:
        """Revoke a key. Blocks.

        Raises:
            UnknownKey: there is no such key.
            KeysDamaged, KeysMissing, StoreUnavailable: the keys cannot be read or written.
        """
        now = present_time()
        return self._change(lambda keys: revoke(keys, key_id, operator, now))

    def known_keys(self) -> list[KnownKey]:
        """Return all keys, sorted by id. Blocks.

        Raises:
            KeysDamaged, KeysMissing, StoreUnavailable: the keys cannot be read.
        """
        store = self._required_store()
        used = store.last_used() | self._live.used_since(self._used_written_at)
        return [KnownKey(key, used.get(key_id)) for key_id, key in sorted(store.keys().items())]

    def audit(self, query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
        """Return up to `limit` entries of the audit log with numbers below `before`, the newest first. Blocks.

        Raises:
            StoreUnavailable: the audit log cannot be read.
        """
        return self._required_store().audit(query, before, limit)

    def close(self) -> None:
        """Write the audit entries that are due, and stop following the keys. Blocks."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        if self._store and not any(thread.is_alive() for thread in self._threads):
            self._store.close()

    def _change[ChangeT: KeyChange](self, decide: Callable[[Keys], ChangeT]) -> ChangeT:
        store = self._required_store()
        changed = store.change(decide)
        if self.is_enforced:
            with suppress(StoreUnavailable):  # the polling thread tries again
                self._reload(store)
            self._end_requests()
        return changed

    def _required_store(self) -> KeyStore:
        if self._store is None:
            raise StoreUnavailable("This system keeps no API keys.")
        return self._store

    def _poll_keys(self, store: KeyStore) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._attempt("read the keys", lambda: self._reload(store))
            self._end_requests()

    def _write_periodically(self, store: KeyStore) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._write(store, time.time())
        self._write(store, time.time(), is_last=True)

    def _attempt(self, name: str, step: Callable[[], object]) -> None:
        """Call `step`. The first of several failures is logged, and the keys in memory stay as they are."""
        try:
            step()
        except Exception as error:
            if name not in self._failing:
                known = isinstance(error, LockstreamError)
                logger.error(  # noqa: TRY400  # a LockstreamError needs no traceback
                    "%s This server goes on with the keys that it has read before.",
                    error if known else "The API keys cannot be followed.",
                    exc_info=None if known else error,
                    extra={"event_name": "keys_unavailable"},
                )
            self._failing.add(name)
        else:
            if name in self._failing:
                logger.info("The API keys can be used again (%s).", name, extra={"event_name": "keys_available"})
            self._failing.discard(name)

    def _reload(self, store: KeyStore) -> None:
        with self._reload_lock:
            version = store.version()
            if version == self._version:
                return
            keys = store.keys()
            if self._live and not keys:
                raise KeysMissing(
                    f"The API keys in {store.name} and their audit log are gone. If that is intended, restart this "
                    "server; else restore them from a backup."
                )
            self._replace_keys(keys)
            self._version = version

    def _end_requests(self) -> None:
        now = time.time()
        self.open_requests.end_unless(lambda key_id: self._live.accepts(key_id, now))

    def _replace_keys(self, keys: Keys) -> None:
        self._live.replace(keys.values())
        self.is_open = not self._live

    def _write(self, store: KeyStore, now: float, *, is_last: bool = False) -> None:
        self._attempt("note the use of keys", lambda: self._write_used(store, now, is_last=is_last))
        self._attempt("write the audit log", lambda: self._write_audit(store, now, is_last=is_last))

    def _write_used(self, store: KeyStore, now: float, *, is_last: bool) -> None:
        if now - self._used_written_at >= USE_SECONDS or is_last:
            used = self._live.used_since(self._used_written_at)
            self._used_written_at = now
            if used:
                store.note_used(used)

    def _write_audit(self, store: KeyStore, now: float, *, is_last: bool) -> None:
        if entries := self._refusals.due(now, is_last=is_last):
            try:
                store.append_audit(entries)
            except BaseException:
                self._refusals.restore(entries, now)
                raise

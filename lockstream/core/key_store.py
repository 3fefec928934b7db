"""The port of the key store: API keys and the audit log, which a file or a database keeps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from lockstream.core.entities.keys import AuditEntry, AuditQuery, Key, NumberedEntry

type Keys = Mapping[str, Key]
"""All keys by id, also those that were revoked or have expired."""


class KeyChange(Struct, frozen=True):
    """New and changed keys, and the entries of the audit log about them."""

    keys: Sequence[Key] = ()
    audit: Sequence[AuditEntry] = ()


class AuditLimits(Struct, frozen=True):
    """Bounds of an audit log. Changes of keys and refusals are bounded each on its own, so neither displaces the other.

    Beyond a bound, the oldest entries are dropped.
    """

    max_bytes: int | None = None
    """Largest size of the refusals, and of the changes of keys, in bytes. None: no bound."""

    min_free_bytes: int = 0
    """Free space that the disk of a file must have for a refusal to be written."""


NO_AUDIT_LIMITS = AuditLimits()


class KeyStore(Protocol):
    """Keeps API keys and the audit log. For any thread; other processes may change the same store.

    Each method but `close` raises StoreUnavailable if the store cannot be read or written.
    """

    @property
    def name(self) -> str:
        """File or database of the keys, for messages."""

    def version(self) -> object:
        """Return a value that differs after each change of the keys, by any process."""

    def keys(self) -> Keys:
        """Return all keys.

        Raises:
            KeysDamaged: the keys differ from what was written.
            KeysMissing: there is no key, and the audit log says that keys were created.
        """

    def change[ChangeT: KeyChange](self, decide: Callable[[Keys], ChangeT]) -> ChangeT:
        """Call `decide` with the present keys, and store and return its change. Nobody else changes the keys meanwhile.

        Entries of the audit log are on disk before the keys that they are about.

        Raises:
            KeysDamaged, KeysMissing: as `keys`; nothing was changed.
        """

    def append_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries to the audit log, and flush them to disk. The oldest entries beyond the bounds are dropped."""

    def audit(self, query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
        """Return up to `limit` entries that pass the filter, the newest first, with numbers below `before`."""

    def last_used(self) -> dict[str, int]:
        """Return the time of the last use of each key, in minutes since 1970. Keys without a noted use are left out."""

    def note_used(self, used: Mapping[str, int]) -> None:
        """Note when keys were last used, in minutes since 1970. A crash may lose these times."""

    def close(self) -> None: ...

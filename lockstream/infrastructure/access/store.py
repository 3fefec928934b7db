"""The key store of a log file: keys, audit log and last use, in private files beside it."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lockstream.core.entities.keys import AuditAction, AuditEntry, AuditQuery, NumberedEntry
from lockstream.core.errors import KeysMissing, StoreUnavailable
from lockstream.core.key_store import KeyChange, Keys
from lockstream.infrastructure.access.audit_file import append_entries, audit_path, newest_entries, read_backwards
from lockstream.infrastructure.access.key_file import (
    PRIVATE,
    give_to_owner,
    keys_path,
    read_keys,
    replace_file,
    write_keys,
)

_decode_used = msgspec.json.Decoder(dict[str, int]).decode


class FileKeyStore:
    """Implements `core.key_store.KeyStore` beside a log file. Servers and commands may change it at the same time."""

    def __init__(self, log_path: Path) -> None:
        """Touch no file yet."""
        self._keys, self._audit = keys_path(log_path), audit_path(log_path)
        self._used, self._lock = Path(f"{self._keys}.used"), Path(f"{self._keys}.lock")

    @property
    def name(self) -> str:
        return str(self._keys)

    def version(self) -> object:
        with self._errors("read"):
            try:
                found = self._keys.stat()
            except FileNotFoundError:
                return None
            return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def keys(self) -> Keys:
        with self._errors("read"):
            keys = read_keys(self._keys)
            if not keys and self._were_created(keys is None):
                raise KeysMissing(
                    f"The API keys in {self._keys} are gone, and the audit log {self._audit} says that keys were "
                    "created. Nothing was changed. Restore the file from a backup. If the "
                    "keys are meant to be gone, move the audit log away as well."
                )
            return keys or {}

    def change[ChangeT: KeyChange](self, decide: Callable[[Keys], ChangeT]) -> ChangeT:
        with self._errors("written"), self._locked():
            keys = dict(self.keys())
            change = decide(keys)
            if change.audit:
                if not self._keys.exists():  # so that a missing file always means that somebody has removed it
                    write_keys(self._keys, {})
                append_entries(self._audit, change.audit)
            if change.keys:
                write_keys(self._keys, keys | {key.key_id: key for key in change.keys})
            return change

    def append_audit(self, entries: Sequence[AuditEntry]) -> None:
        with self._errors("written"), self._locked():
            append_entries(self._audit, entries)

    def audit(self, query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
        with self._errors("read"):
            return newest_entries(self._audit, query, before, limit)

    def last_used(self) -> dict[str, int]:
        try:
            return _decode_used(self._used.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):  # a crash may have taken it
            return {}

    def note_used(self, used: Mapping[str, int]) -> None:
        with self._errors("written"), self._locked():
            before = self.last_used()
            latest = {key_id: max(minute, before.get(key_id, 0)) for key_id, minute in used.items()}
            replace_file(self._used, msgspec.json.encode(before | latest), is_lasting=False)

    def close(self) -> None:
        pass

    def _were_created(self, is_missing: bool) -> bool:
        """Return whether the audit log says that keys were created.

        A crash while the first key was created may leave a file without keys. A missing file is never left.
        """
        if not is_missing:
            return False
        return any(entry and entry.action is AuditAction.CREATED for _, entry in read_backwards(self._audit))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers away, in this process and in others, for the time of the block."""
        is_new = not self._lock.exists()
        file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            if is_new:
                give_to_owner(file, self._lock.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """Raise errors of the file system as StoreUnavailable."""
        try:
            yield
        except OSError as error:
            named = error.filename or self._keys
            raise StoreUnavailable(
                f"The API keys cannot be {done}: {named}: {error.strerror or error}. Give the user of Lockstream "
                "access to the files of the log and to their folder, or free space on its disk."
            ) from error

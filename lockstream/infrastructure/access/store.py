"""The key store of a log file: keys, audit log and last use, in private files beside it."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from lockstream.core.entities.keys import AuditAction, AuditEntry, AuditQuery, NumberedEntry
from lockstream.core.entities.log import time_of
from lockstream.core.errors import KeysMissing, StoreUnavailable
from lockstream.core.key_store import NO_AUDIT_LIMITS, AuditLimits, KeyChange, Keys
from lockstream.infrastructure.access.audit_file import (
    AuditLine,
    append_entries,
    audit_path,
    drop_oldest,
    newest_entries,
    next_number,
    read_backwards,
    refusals_path,
)
from lockstream.infrastructure.access.key_file import (
    PRIVATE,
    give_to_owner,
    keys_path,
    read_keys,
    replace_file,
    write_keys,
)

_decode_used = msgspec.json.Decoder(dict[str, int]).decode


class _Revocations(NamedTuple):
    """The revocations in the part of the audit log that was read so far."""

    last: AuditLine | None
    """The newest line that was read. Its number makes its text unique."""

    times: Mapping[str, int]
    """The earliest time at which each key was revoked, in microseconds since 1970."""


class FileKeyStore:
    """Implements `core.key_store.KeyStore` beside a log file. Servers and commands may change it at the same time."""

    def __init__(self, log_path: Path, limits: AuditLimits = NO_AUDIT_LIMITS) -> None:
        """No file is read or created yet."""
        self._limits = limits
        self._keys, self._audit, self._refusals = keys_path(log_path), audit_path(log_path), refusals_path(log_path)
        self._used, self._lock = Path(f"{self._keys}.used"), Path(f"{self._keys}.lock")
        self._revocations = _Revocations(None, {})

    @property
    def name(self) -> str:
        return str(self._keys.absolute())

    def version(self) -> object:
        """Return the identities of the keys and of their audit log, which revokes as well."""
        with self._errors_as_unavailable("read"):
            return _identity_of(self._keys), _identity_of(self._audit)

    def keys(self) -> Keys:
        with self._errors_as_unavailable("read"):
            keys = read_keys(self._keys)
            if keys is None and any(self._changes()):
                keys = read_keys(self._keys)  # the first key may have been created between the two reads
                if keys is None:
                    raise KeysMissing(
                        f"The API keys in {self._keys} are gone, and the audit log {self._audit} says that keys were "
                        "created. Nothing was changed. Restore the file from a backup. If the "
                        "keys are meant to be gone, move the audit log away as well."
                    )
            return self._with_revocations(keys) if keys else {}

    def change[ChangeT: KeyChange](self, decide: Callable[[Keys], ChangeT]) -> ChangeT:
        with self._errors_as_unavailable("written"), self._locked():
            keys = self.keys()
            change = decide(keys)
            if change.audit:
                if not self._keys.exists():  # a missing file must mean that somebody has removed it
                    write_keys(self._keys, {})
                self._append(self._audit, change.audit)
            changed = {**keys, **{key.key_id: key for key in change.keys}}
            if changed != (read_keys(self._keys) or {}):  # a write that failed may have left a revocation out
                write_keys(self._keys, changed)
            return change

    def append_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries. If the disk has too little free space, refusals are not kept: the space is for events."""
        with self._errors_as_unavailable("written"), self._locked():
            changes = [entry for entry in entries if entry.action is not AuditAction.REFUSED]
            refusals = [entry for entry in entries if entry.action is AuditAction.REFUSED]
            if changes:
                self._append(self._audit, changes)
            if refusals:
                if shutil.disk_usage(self._refusals.parent).free < self._limits.min_free_bytes:
                    reason = "the disk has less free space than LOCKSTREAM_MIN_FREE_BYTES"
                    raise OSError(errno.ENOSPC, reason, str(self._refusals))
                self._append(self._refusals, refusals)

    def audit(self, query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
        with self._errors_as_unavailable("read"):
            return newest_entries([self._audit, self._refusals], query, before, limit)

    def last_used(self) -> dict[str, int]:
        try:
            return _decode_used(self._used.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):  # a crash may have lost or damaged the file
            return {}

    def note_used(self, used: Mapping[str, int]) -> None:
        with self._errors_as_unavailable("written"), self._locked():
            before = self.last_used()
            latest = {key_id: max(minute, before.get(key_id, 0)) for key_id, minute in used.items()}
            replace_file(self._used, [msgspec.json.encode(before | latest)], is_lasting=False)

    def close(self) -> None:
        pass

    def _append(self, path: Path, entries: Sequence[AuditEntry]) -> None:
        """Append entries to a file of the audit log, and shorten the file if it is too large.

        If shortening fails, the file grows until the next attempt: a revocation must not wait for space.
        """
        append_entries(path, entries, next_number([self._audit, self._refusals]))
        if self._limits.max_bytes is not None:
            with suppress(OSError):
                drop_oldest(path, self._limits.max_bytes)

    def _changes(self) -> Iterator[AuditEntry]:
        """Yield the changes of keys in the audit log, the newest first.

        A crash during the creation of the first key may leave an entry and a file without keys. It never leaves an
        entry without a file of keys.
        """
        for line in read_backwards(self._audit):
            if line.entry and line.entry.action is not AuditAction.REFUSED:
                yield line.entry

    def _with_revocations(self, keys: Keys) -> Keys:
        """Return `keys`, revoked if the audit log contains their revocations.

        The file of keys lacks a revocation if it was restored from an older backup. It also lacks one after a crash
        between the write of the audit log and the write of the keys.
        """
        found = dict(keys)
        for key_id, at in self._revoked().items():
            if key_id in found:
                found[key_id] = found[key_id].revoked(at)
        return found

    def _revoked(self) -> Mapping[str, int]:
        """Return the revocations in the audit log. Only lines that were appended since the last call are read."""
        known, new = self._revocations, list[AuditEntry]()
        last, times = None, dict[str, int]()
        for line in read_backwards(self._audit):
            last = last or line
            if line == known.last:
                times = dict(known.times)
                break
            if line.entry and line.entry.action is AuditAction.REVOKED:
                new.append(line.entry)
        for entry in new:
            at = time_of(entry.at)
            times[entry.key_id] = min(at, times.get(entry.key_id, at))
        self._revocations = _Revocations(last, times)
        return times

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
    def _errors_as_unavailable(self, done: str) -> Iterator[None]:
        """Raise errors of the file system as StoreUnavailable. `done` is a participle such as "read"."""
        try:
            yield
        except OSError as error:
            named = error.filename or self._keys
            raise StoreUnavailable(
                f"The API keys cannot be {done}: {named}: {error.strerror or error}. Give the user of Lockstream "
                "access to the files of the log and to their folder, or free space on its disk."
            ) from error


def _identity_of(path: Path) -> tuple[int, ...] | None:
    """Return numbers that differ after each change of a file, or None if there is no file. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

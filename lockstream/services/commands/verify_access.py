"""Verify the files of the API keys and of the audit log beside a log. May run beside a server."""

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lockstream.core.entities.keys import AuditAction
from lockstream.core.errors import KeysDamaged, KeysMissing, StoreUnavailable
from lockstream.core.key_store import Keys
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.access.audit_file import audit_path, read_backwards, refusals_path
from lockstream.infrastructure.access.key_file import PRIVATE, keys_path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.services.commands.verify import Verification, explain_unreadable

SHOWN_KEYS = 5
"""Most keys that a note names."""


def verify_access(log: Path, found: Verification) -> None:
    """Add notes and problems of the keys and the audit log beside `log` to a verification."""
    audit_files = audit_path(log), refusals_path(log)
    try:
        keys = FileKeyStore(log).keys()
    except (KeysDamaged, KeysMissing, StoreUnavailable) as error:
        found.problems.append(str(error))
    else:
        if keys:
            found.notes.append(f"There {agreeing(len(keys), 'is', 'are')} {counted(len(keys), 'API key')}.")
        with suppress(OSError):  # a problem of the audit log, which is found below
            found.notes += _notes_on_older_keys(log, keys)
    for path in keys_path(log), *audit_files:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & ~PRIVATE:
            found.problems.append(f"Other users may read or write {path}. Run `chmod 600 {path}`.")
    for path in audit_files:
        try:
            damaged = sum(1 for line in read_backwards(path) if line.entry is None)
        except OSError as error:
            found.problems.append(explain_unreadable(path, error))
            continue
        if damaged:
            found.notes.append(
                f"{counted(damaged, 'line')} of the audit log {path} cannot be read, such as after a crash. The "
                "others are not concerned."
            )


def _notes_on_older_keys(log: Path, keys: Keys) -> Iterator[str]:
    """Yield a note if the audit log names keys that the file of keys lacks, as after a restore of an older file."""
    entries = [line.entry for line in read_backwards(audit_path(log)) if line.entry]
    named = {entry.key_id for entry in entries if entry.action is not AuditAction.REFUSED}
    named |= {entry.replaced_by for entry in entries if entry.replaced_by}
    if missing := sorted(named - set(keys)):
        shown = ", ".join(missing[:SHOWN_KEYS]) + ", …" * (len(missing) > SHOWN_KEYS)
        yield (
            f"The audit log {audit_path(log)} names {counted(len(missing), 'key')} that {keys_path(log)} lacks "
            f"({shown}): the file of keys is older, or a crash has interrupted a change. Keys that the audit log says "
            "are revoked are not accepted. Compare `lockstream keys list` with `lockstream audit`, and revoke keys "
            "that were rotated."
        )

"""Verify the files of the API keys and of the audit log beside a log. May run beside a server."""

import stat
from pathlib import Path

from lockstream.core.errors import KeysDamaged, KeysMissing
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.access.audit_file import audit_path, read_backwards
from lockstream.infrastructure.access.key_file import PRIVATE, keys_path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.services.commands.verify import Verification


def verify_access(log: Path, found: Verification) -> None:
    """Add notes and problems of the keys and the audit log beside `log` to a verification.

    Raises:
        OSError: a file cannot be read.
        StoreUnavailable: the keys cannot be read.
    """
    keys, audit = keys_path(log), audit_path(log)
    try:
        number = len(FileKeyStore(log).keys())
    except (KeysDamaged, KeysMissing) as error:
        found.problems.append(str(error))
    else:
        if number:
            found.notes.append(f"There {agreeing(number, 'is', 'are')} {counted(number, 'API key')}.")
    for path in keys, audit:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & ~PRIVATE:
            found.problems.append(f"Other users may read or write {path}. Run `chmod 600 {path}`.")
    damaged = sum(1 for _, entry in read_backwards(audit) if entry is None)
    if damaged:
        found.notes.append(
            f"{counted(damaged, 'line')} of the audit log {audit} cannot be read, such as after a crash. The others "
            "are not concerned."
        )

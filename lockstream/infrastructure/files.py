"""Files as the operating system has them: opened, locked, written and flushed."""

import fcntl
import os
import stat
from collections.abc import Buffer
from pathlib import Path

from lockstream.core.errors import StartRefused, StoreInUse


def open_for_append(path: Path) -> int:
    """Open a regular file, made if need be.

    Raises:
        StartRefused: no such file can be there.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
        reason = "It is no regular file"
    except OSError as error:
        reason = str(error.strerror)
    raise StartRefused(
        f"The log {path} cannot be used: {reason}. EVENT_LOG_PATH must name a file, there already or not, in a folder "
        "that is there and that Lockstream may write to."
    )


def lock(file: int, path: Path) -> None:
    """Keep every other process from `file` until this one closes it or ends.

    Raises:
        StoreInUse: another process has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreInUse(path) from error


def write_all(file: int, content: Buffer) -> None:
    """Write all of `content`; a file system may take it in pieces, as when it is nearly full."""
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_directory(path: Path) -> None:
    """Flush a directory, so that a file made or renamed in it is there after a power failure."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

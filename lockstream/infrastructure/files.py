"""Files as the operating system has them: opened, locked, written and flushed."""

import errno
import fcntl
import os
import stat
from collections.abc import Buffer
from pathlib import Path

from lockstream.core.errors import StartRefused, StoreInUse

BLOCK = 1024 * 1024
"""Bytes that are copied at a time."""

type Identity = tuple[int, int]
"""Which file it is, whatever its name: the device's number and the file's on it."""


def take(path: Path) -> int:
    """Open a regular file, made if need be, and keep every other process from it until this one closes it or ends.

    Raises:
        StartRefused: no such file can be there.
        StoreInUse: another process has it.
        OSError: it was moved or replaced meanwhile.
    """
    file = open_for_append(path)
    try:
        lock(file, path)
        require_in_place(str(path), identity(os.fstat(file)))
    except BaseException:
        os.close(file)
        raise
    return file


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


def identity(file: os.stat_result) -> Identity:
    return file.st_dev, file.st_ino


def require_in_place(name: str, opened: Identity, shortest: int = 0, longest: float = float("inf")) -> None:
    """The file that is open must be the one that the path leads to, of no other size than it was left with.

    Raises:
        OSError: it is not.
    """
    found = os.stat(name)  # noqa: PTH116  # twice as fast, before each batch
    if identity(found) != opened:
        raise OSError(errno.ESTALE, "it was moved or replaced", name)
    if not shortest <= found.st_size <= longest:
        raise OSError(errno.ESTALE, "it was shortened, or somebody else has written to it", name)


def write_all(file: int, content: Buffer) -> None:
    """Write all of `content`; a file system may take it in pieces, as when it is nearly full."""
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(file, rest) :]


def copy_bytes(source: int, target: int, start: int, end: int) -> None:
    """Write the bytes of `source` from offset `start` up to `end`, or to where it ends, to `target`."""
    while start < end and (block := os.pread(source, min(BLOCK, end - start), start)):
        write_all(target, block)
        start += len(block)


def sync_directory(path: Path) -> None:
    """Flush a directory, so that a file made or renamed in it is there after a power failure."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

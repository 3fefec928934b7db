"""File system calls: open, lock, write and flush. The bottom of infrastructure; may import `core.errors`."""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Buffer
from pathlib import Path

from lockstream.core.errors import LogLocked, StartRefused

COPY_BYTES = 1024 * 1024
"""Bytes that are copied at a time."""

type FileIdentity = tuple[int, int]
"""Device number and inode number, which identify a file under any name."""


def is_missing(path: Path) -> bool:
    """Return whether there is no file at `path`. A file that cannot be examined is not missing: opening it says why."""
    try:
        path.stat()
    except OSError as error:
        return error.errno in {errno.ENOENT, errno.ENOTDIR}
    return False


def open_locked(path: Path) -> int:
    """Open a regular file, create it if it is missing, and lock it until this process closes it or ends.

    Raises:
        StartRefused: the file cannot be opened or created, or is not a regular file.
        LogLocked: another process has the file locked.
        OSError: the file was moved or replaced meanwhile.
    """
    file = open_for_append(path)
    try:
        lock(file, path)
        check_same_file(str(path), identity_of(file))
    except BaseException:
        os.close(file)
        raise
    return file


def open_for_append(path: Path) -> int:
    """Open a regular file, and create it if it is missing.

    Raises:
        StartRefused: the file cannot be opened or created, or is not a regular file.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
        reason = "It is not a regular file"
    except OSError as error:
        reason = str(error.strerror)
    raise StartRefused(
        f"The log {path} cannot be used: {reason}. Set EVENT_LOG_PATH to a file in an existing folder that Lockstream "
        "may write to. The file itself may be missing."
    )


def lock(file: int, path: Path) -> None:
    """Lock `file` against every other process until this process closes it or ends.

    Raises:
        LogLocked: another process has the file locked.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LogLocked(path) from error


def identity_of(file: int) -> FileIdentity:
    """Return the identity of an open file."""
    found = os.fstat(file)
    return found.st_dev, found.st_ino


def check_same_file(name: str, opened: FileIdentity, min_size: int = 0, max_size: float = float("inf")) -> None:
    """Check that `name` leads to the file that is open, and that its size in bytes is within the limits.

    Raises:
        OSError: `name` leads to another file or to none, or another program changed the file's size.
    """
    found = os.stat(name)  # noqa: PTH116  # half the time of Path.stat, before each batch
    if (found.st_dev, found.st_ino) != opened:
        raise OSError(errno.ESTALE, "the file was moved or replaced", name)
    if not min_size <= found.st_size <= max_size:
        raise OSError(errno.ESTALE, "the file was shortened, or another program has written to it", name)


def write_all(file: int, content: Buffer) -> None:
    """Write all of `content`. A file system that is nearly full may accept the bytes in pieces."""
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(file, rest) :]


def copy_bytes(source: int, target: int, start: int, end: int) -> None:
    """Append the bytes of `source` from offset `start` to offset `end` to `target`. `source` may end earlier."""
    while start < end and (block := os.pread(source, min(COPY_BYTES, end - start), start)):
        write_all(target, block)
        start += len(block)


if sys.platform == "darwin":

    def sync_data(file: int) -> None:
        """Flush a file's bytes and length to disk. On macOS, fsync stops short of the disk."""
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)

else:
    sync_data = os.fdatasync
    """Flush a file's bytes and length to disk."""


def sync_directory(path: Path) -> None:
    """Flush a directory, so that files created or renamed in it survive a power failure."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

"""What the kernel says on /dev/fuse, and wants to hear: a part of version 7.31 of <linux/fuse.h>, without libfuse."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory
from typing import NamedTuple

DEVICE = Path("/dev/fuse")
VERSION = 7, 31
ROOT = 1
"""The number of the folder; a file's is another."""

MOST_WRITTEN = 128 * 1024
"""Bytes in one message; each is read with room for its head."""

FOR_LONG = 3600
"""Seconds for which the kernel may believe what it was told: nobody else changes this disk."""

SIZE_IS_SET = 1 << 3
KEEPS_CACHE = 1 << 1
"""Files that are mapped into memory, as SQLite's index of its write-ahead log is, stay what they are when opened."""

_BIG_WRITES = 1 << 5
_NOSUID, _NODEV, _DETACH = 2, 4, 2


class Op(IntEnum):
    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    UNLINK = 10
    RENAME = 12
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    BATCH_FORGET = 42


UNANSWERED = {Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT}

RENAME_IN = Struct("<Q")
"""The new folder's number; the two names follow, each with a zero behind it."""

SIZE_IN = Struct("<IIQQ")
"""What is set, padding, handle, size: the beginning of `fuse_setattr_in`."""

READ_IN = WRITE_IN = Struct("<QQIIQII")
"""Handle, offset, size, flags, lock owner, flags, padding."""

CREATE_IN = Struct("<IIII")
"""Flags, mode, umask, flags; the name follows."""

_IN = Struct("<IIQQIIIHH")
_OUT = Struct("<IiQ")
_INIT_OUT = Struct("<IIIIHHIIHHI28x")
_ATTRIBUTES = Struct("<6Q10I")
_ENTRY_OUT = Struct("<QQQQII")
_ATTRIBUTES_OUT = Struct("<QII")
_OPEN_OUT = Struct("<QII")
_STATFS_OUT = Struct("<5Q4I24x")
_WRITE_OUT = Struct("<II")
_DIRECTORY_ENTRY = Struct("<QQII")


class Request(NamedTuple):
    op: int
    unique: int
    node: int
    body: bytes


def received(device: int) -> Request | None:
    """The next request, or None where it was taken back.

    Raises:
        OSError: with ENODEV, when nothing is mounted any more.
    """
    try:
        message = os.read(device, MOST_WRITTEN + 4096)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return None
        raise
    _, op, unique, node, *_ = _IN.unpack_from(message)
    return Request(op, unique, node, message[_IN.size :])


def answer(device: int, unique: int, body: bytes = b"", error: int = 0) -> None:
    try:
        os.write(device, _OUT.pack(_OUT.size + len(body), -error, unique) + body)
    except OSError as failed:
        if failed.errno != errno.ENOENT:  # whoever asked was killed meanwhile
            raise


def initial() -> bytes:
    """Writes come at once and whole; locks are the kernel's own; there is no cache that holds writes back."""
    return _INIT_OUT.pack(*VERSION, MOST_WRITTEN, _BIG_WRITES, 16, 12, MOST_WRITTEN, 1, 0, 0, 0)


def room() -> bytes:
    """There is always some left: 1,048,576 blocks of 4,096 bytes."""
    blocks, block = 1 << 20, 4096
    return _STATFS_OUT.pack(blocks, blocks, blocks, blocks, blocks, block, 255, block, 0)


def attributes(node: int, size: int) -> bytes:
    return _ATTRIBUTES_OUT.pack(FOR_LONG, 0, 0) + _attributes(node, size)


def entry(node: int, size: int) -> bytes:
    return _ENTRY_OUT.pack(node, 0, FOR_LONG, FOR_LONG, 0, 0) + _attributes(node, size)


def opened() -> bytes:
    return _OPEN_OUT.pack(0, KEEPS_CACHE, 0)


def written(size: int) -> bytes:
    return _WRITE_OUT.pack(size, 0)


def directory_entry(node: int, following: int, name: bytes) -> bytes:
    padding = bytes(-len(name) % 8)
    return _DIRECTORY_ENTRY.pack(node, following, len(name), stat.S_IFREG >> 12) + name + padding


def names(body: bytes) -> list[bytes]:
    return body.split(b"\0")[:-1]


def mount(device: int, folder: Path) -> None:
    """Have the kernel ask `device` about all that is in `folder`.

    Raises:
        OSError: we may not.
    """
    options = f"fd={device},rootmode={stat.S_IFDIR:o},user_id={os.getuid()},group_id={os.getgid()}"
    called = _libc().mount(b"forgetful", bytes(folder), b"fuse", _NOSUID | _NODEV, options.encode())
    if called != 0:
        raise OSError(ctypes.get_errno(), "A file system cannot be mounted", str(folder))


def unmount(folder: Path) -> None:
    """Its last writes still come: somebody must answer them meanwhile."""
    _libc().umount2(bytes(folder), _DETACH)


@contextmanager
def connected() -> Iterator[int]:
    device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield device
    finally:
        os.close(device)


def can_mount() -> bool:
    try:
        with TemporaryDirectory() as folder, connected() as device:
            mount(device, Path(folder))
            unmount(Path(folder))
    except (OSError, AttributeError):  # another system's C library has no such function
        return False
    return True


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _attributes(node: int, size: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
    times = 0, 0, 0
    blocks = -(-size // 512)
    return _ATTRIBUTES.pack(node, size, blocks, *times, *times, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)

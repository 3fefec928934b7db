"""Messages of the kernel on /dev/fuse, and the responses to them: a part of <linux/fuse.h> 7.31, without libfuse."""

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
"""Node number of the folder. Files have other numbers."""

MAX_WRITE = 128 * 1024
"""Most bytes that one message writes."""

HEAD_BYTES = 4096
"""Room for the head of a message."""

CACHE_SECONDS = 3600
"""Time for which the kernel may cache names and attributes: nobody else changes this disk."""

SIZE_IS_VALID = 1 << 3
"""FATTR_SIZE: a request to set attributes sets the size."""

KEEP_CACHE = 1 << 1
"""FOPEN_KEEP_CACHE: opening a file again keeps its pages. SQLite maps the index of its write-ahead log into memory."""

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


WITHOUT_RESPONSE = {Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT}

RENAME_IN = Struct("<Q")
"""Node number of the new folder. The two names follow, each ended by a zero byte."""

SETATTR_IN = Struct("<IIQQ")
"""Valid fields, padding, handle, size: the beginning of `fuse_setattr_in`."""

READ_IN = WRITE_IN = Struct("<QQIIQII")
"""Handle, offset, size, flags, lock owner, flags, padding."""

CREATE_IN = Struct("<IIII")
"""Flags, mode, umask, flags. The name follows, ended by a zero byte."""

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


def next_request(device: int) -> Request | None:
    """Return the next request, or None if the kernel has withdrawn it.

    Raises:
        OSError: with ENODEV, once the disk is unmounted.
    """
    try:
        message = os.read(device, MAX_WRITE + HEAD_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return None
        raise
    _, op, unique, node, *_ = _IN.unpack_from(message)
    return Request(op, unique, node, message[_IN.size :])


def respond(device: int, unique: int, body: bytes = b"", error: int = 0) -> None:
    """Send the response to the request numbered `unique`."""
    try:
        os.write(device, _OUT.pack(_OUT.size + len(body), -error, unique) + body)
    except OSError as failed:
        if failed.errno != errno.ENOENT:  # the process that waited was killed meanwhile
            raise


def initial_response() -> bytes:
    """Return the response to INIT: each write arrives at once, uncached, and the kernel itself keeps the locks."""
    return _INIT_OUT.pack(*VERSION, MAX_WRITE, _BIG_WRITES, 16, 12, MAX_WRITE, 1, 0, 0, 0)


def statfs_response() -> bytes:
    """Return the response to STATFS: 1,048,576 blocks of 4,096 bytes, all of them free."""
    blocks, block = 1 << 20, 4096
    return _STATFS_OUT.pack(blocks, blocks, blocks, blocks, blocks, block, 255, block, 0)


def attributes_response(node: int, size: int) -> bytes:
    return _ATTRIBUTES_OUT.pack(CACHE_SECONDS, 0, 0) + _attributes(node, size)


def entry_response(node: int, size: int) -> bytes:
    return _ENTRY_OUT.pack(node, 0, CACHE_SECONDS, CACHE_SECONDS, 0, 0) + _attributes(node, size)


def open_response() -> bytes:
    return _OPEN_OUT.pack(0, KEEP_CACHE, 0)


def write_response(size: int) -> bytes:
    return _WRITE_OUT.pack(size, 0)


def directory_entry(node: int, following: int, name: bytes) -> bytes:
    padding = bytes(-len(name) % 8)
    return _DIRECTORY_ENTRY.pack(node, following, len(name), stat.S_IFREG >> 12) + name + padding


def names(body: bytes) -> list[bytes]:
    return body.split(b"\0")[:-1]


def mount(device: int, folder: Path) -> None:
    """Mount the file system that `device` serves at `folder`.

    Raises:
        OSError: this user may not mount.
    """
    options = f"fd={device},rootmode={stat.S_IFDIR:o},user_id={os.getuid()},group_id={os.getgid()}"
    called = _libc().mount(b"lossy", bytes(folder), b"fuse", _NOSUID | _NODEV, options.encode())
    if called != 0:
        raise OSError(ctypes.get_errno(), "A file system cannot be mounted", str(folder))


def unmount(folder: Path) -> None:
    """Unmount the disk. Its last writes still arrive, so its process must respond meanwhile."""
    _libc().umount2(bytes(folder), _DETACH)


@contextmanager
def opened_device() -> Iterator[int]:
    """Open /dev/fuse for one file system."""
    device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield device
    finally:
        os.close(device)


def can_mount() -> bool:
    """Return whether this user may mount a file system here."""
    try:
        with TemporaryDirectory() as folder, opened_device() as device:
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

"""The file of a sorted run: its hashes, its prefixes and the number of hashes, as little-endian integers of 8 bytes.

A written file is never changed.
"""

import errno
import os
from collections.abc import Iterable
from glob import escape
from mmap import ACCESS_READ, mmap
from pathlib import Path
from weakref import finalize
from zlib import crc32

import numpy as np
from msgspec import Struct

from lockstream.core.errors import ProjectionInvalid
from lockstream.infrastructure.fs import sync_directory, write_all
from lockstream.infrastructure.id_index.index import EMPTY_RUN, Entries, SortedRun

READ_BYTES = 1024 * 1024
"""Bytes that are read at a time to compute a checksum."""

_ENTRY = np.dtype("<u8")


class RunRef(Struct, frozen=True):
    """Names the run file that holds all ids used up to `position`. Position 0 is the empty run, without a file."""

    position: int = 0
    checksum: int = 0
    """CRC-32 of the file."""


NO_RUN = RunRef()


def run_path(projection: Path, position: int) -> Path:
    """Return the path of the run file beside `projection` that holds the ids used up to `position`."""
    return projection.with_name(f"{projection.name}.keys-{position}")


def write_run(
    projection: Path, sections: tuple[Iterable[Entries], Iterable[Entries]], position: int
) -> tuple[SortedRun, RunRef]:
    """Write hashes and prefixes to disk, part by part, and return the run, opened from its file, with its reference.

    May be called on any thread.

    Raises:
        OSError: the file cannot be written.
    """
    path = run_path(projection, position)
    path.unlink(missing_ok=True)  # not truncated: a process that reads the old file has it open
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        hashes, checksum = _write(file, sections[0], 0)
        _, checksum = _write(file, sections[1], checksum)
        _, checksum = _write(file, [np.array([hashes], np.uint64)], checksum)
        os.fsync(file)
    finally:
        os.close(file)
    sync_directory(path.parent)
    ref = RunRef(position, checksum)
    return open_run(projection, ref), ref


def read_run(projection: Path, ref: RunRef) -> SortedRun:
    """Return the run that `ref` names, opened from its file.

    Raises:
        ProjectionInvalid: the file is missing or was altered.
    """
    path = run_path(projection, ref.position)
    try:
        if ref != NO_RUN and _checksum(path) != ref.checksum:
            raise ProjectionInvalid(f"{path} was altered.")
        return open_run(projection, ref)
    except (OSError, ValueError) as error:
        raise ProjectionInvalid(f"{path} cannot be read ({error}).") from error


def open_run(projection: Path, ref: RunRef) -> SortedRun:
    """Return the run that `ref` names, without computing its checksum. For any thread.

    The hashes are mapped into memory, and the operating system can free their pages. The prefixes stay in the file,
    which is open as long as they are referenced.

    Raises:
        FileNotFoundError: the file is missing.
        OSError, ValueError: the file cannot be read, or was altered.
    """
    if ref == NO_RUN:
        return EMPTY_RUN
    file = os.open(run_path(projection, ref.position), os.O_RDONLY | os.O_CLOEXEC)
    try:
        entries = os.fstat(file).st_size // _ENTRY.itemsize - 1
        [hashes] = _entries_at(file, entries, 1).tolist()
        if not 0 < hashes <= entries:
            raise ValueError("its size is wrong")
        mapped = np.frombuffer(mmap(file, hashes * _ENTRY.itemsize, access=ACCESS_READ), _ENTRY)
    except BaseException:
        os.close(file)
        raise
    return SortedRun(mapped, _FileSection(file, hashes, entries - hashes))


def remove_runs(projection: Path, *kept: RunRef) -> None:
    """Remove all run files beside `projection` except those that `kept` names."""
    kept_paths = {run_path(projection, ref.position) for ref in kept}
    for path in projection.parent.glob(f"{escape(projection.name)}.keys-*"):
        if path not in kept_paths:
            path.unlink(missing_ok=True)


class _FileSection:
    """Entries in an open file, which is closed when nothing references them any more. For any thread."""

    def __init__(self, file: int, first: int, size: int) -> None:
        self._file, self._first, self._size = file, first, size
        finalize(self, os.close, file)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> Entries:
        first, end, _ = part.indices(self._size)
        return _entries_at(self._file, self._first + first, max(0, end - first))


def _entries_at(file: int, first: int, count: int) -> Entries:
    """Return entries of an open file. Raises OSError if they cannot be read."""
    content = os.pread(file, count * _ENTRY.itemsize, first * _ENTRY.itemsize)
    if len(content) < count * _ENTRY.itemsize:
        raise OSError(errno.EIO, "the file is too short")
    return np.frombuffer(content, _ENTRY)


def _write(file: int, parts: Iterable[Entries], checksum: int) -> tuple[int, int]:
    """Write entries, and return their number and the CRC-32 of the file so far. `checksum` is the CRC-32 before."""
    entries = 0
    for part in parts:
        content = part.astype(_ENTRY, copy=False).view(np.uint8).data
        write_all(file, content)
        checksum = crc32(content, checksum)
        entries += part.size
    return entries, checksum


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file, by reading it: a mapped page that cannot be read would kill the process."""
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            checksum = crc32(piece, checksum)
    return checksum

"""The file of a sorted run: the array's entries, little-endian, and nothing else. A written file is never changed."""

import os
from pathlib import Path
from zlib import crc32

import numpy as np
from msgspec import Struct

from lockstream.core.errors import ProjectionInvalid
from lockstream.infrastructure.fs import sync_directory, write_all
from lockstream.infrastructure.id_index.index import EMPTY_RUN, SortedRun

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


def write_run(projection: Path, run: SortedRun, position: int) -> tuple[SortedRun, RunRef]:
    """Write `run` to disk, and return it mapped from its file, with its reference. May be called on any thread.

    The operating system can take back the memory of a mapped run.

    Raises:
        OSError: the file cannot be written.
    """
    path = run_path(projection, position)
    content = memoryview(run.astype(_ENTRY, copy=False)).cast("B")
    path.unlink(missing_ok=True)  # not truncated: a process that reads the old file has it mapped
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    sync_directory(path.parent)
    return _mapped(path), RunRef(position, crc32(content))


def read_run(projection: Path, ref: RunRef) -> SortedRun:
    """Return the run that `ref` names, mapped from its file.

    Raises:
        ProjectionInvalid: the file is missing or was altered.
    """
    if ref == NO_RUN:
        return EMPTY_RUN
    path = run_path(projection, ref.position)
    try:
        if _checksum(path) != ref.checksum:
            raise ProjectionInvalid(f"{path} was altered.")
        return _mapped(path)
    except (OSError, ValueError) as error:
        raise ProjectionInvalid(f"{path} cannot be read ({error}).") from error


def remove_runs(projection: Path, *kept: RunRef) -> None:
    """Remove all run files beside `projection` except those that `kept` names."""
    kept_paths = {run_path(projection, ref.position) for ref in kept}
    for path in projection.parent.glob(f"{projection.name}.keys-*"):
        if path not in kept_paths:
            path.unlink(missing_ok=True)


def _mapped(path: Path) -> SortedRun:
    return np.asarray(np.memmap(path, _ENTRY, "r"))  # a plain array: searching it is faster than searching a memmap


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file, by reading it: a mapped page that cannot be read would kill the process."""
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            checksum = crc32(piece, checksum)
    return checksum

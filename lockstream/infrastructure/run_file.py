"""The file of a run of known keys: the array's bytes, little-endian, and nothing else. It is never changed."""

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import numpy as np

from lockstream.core.errors import ProjectionUnfit
from lockstream.infrastructure.files import sync_directory, write_all
from lockstream.infrastructure.known_keys import NO_RUN, KnownKeys, Merge, Run
from lockstream.infrastructure.projection import KeptRun, SqlProjection

READ_IN_ONE_GO = 1024 * 1024
"""Bytes."""

_ORDER = np.dtype("<u8")

logger = logging.getLogger(__name__)


class RunKeeper:
    """Has what is recent merged into a new run when there is much of it, beside all else that goes on."""

    def __init__(self, known: KnownKeys, projection: SqlProjection, path: Path) -> None:
        self._known = known
        self._projection = projection
        self._path = path
        self._thread = ThreadPoolExecutor(1, "lockstream-merge")
        self._merging: Future[tuple[Run, KeptRun]] | None = None

    def tend(self, position: int) -> None:
        """Begin to merge where it is worth while, and take over what has been merged.

        `position` is that of the last event whose key is known. For the thread that uses the keys.
        """
        if self._merging is None and self._known.crowded and position > self._projection.run.position:
            self._merging = self._thread.submit(self._merge, self._known.begin_merge(), position)
        elif self._merging is not None and self._merging.done():
            self.finish()

    def finish(self) -> None:
        """Wait for a merge that is under way, and take it over: the projection's next changes name its file."""
        if self._merging is None:
            return
        merging, self._merging = self._merging, None
        try:
            run, self._projection.run = merging.result()
        except Exception as error:  # noqa: BLE001  # whatever it is, as no memory: without merging there would be less
            logger.warning("The keys of the events could not be written to a file (%r); it is tried again.", error)
            self._known.end_merge(None)
        else:
            self._known.end_merge(run)

    def close(self) -> None:
        self.finish()
        self._thread.shutdown()

    def _merge(self, merge: Merge, position: int) -> tuple[Run, KeptRun]:
        # The projection's last change may name the file before, and one that names another is flushed: see `write`.
        remove_runs(self._path, self._projection.kept_run, self._projection.run)
        kept = write_run(self._path, merge.run(), position)
        return _mapped(run_path(self._path, position)), kept  # as after a start: of a file, memory can be had back


def run_path(projection: Path, position: int) -> Path:
    """Where the run is that holds the keys given up to `position`."""
    return projection.with_name(f"{projection.name}.keys-{position}")


def write_run(projection: Path, run: Run, position: int) -> KeptRun:
    """Have a run on the disk; may be called on any thread.

    Raises:
        OSError: it cannot be written.
    """
    path = run_path(projection, position)
    content = memoryview(run.astype(_ORDER, copy=False)).cast("B")
    path.unlink(missing_ok=True)  # never cut short: whoever reads it has it mapped into memory
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    sync_directory(path.parent)
    return KeptRun(position, crc32(content))


def read_run(projection: Path, kept: KeptRun) -> Run:
    """A run as it was written.

    Raises:
        ProjectionUnfit: it is not there, or not what was written.
    """
    if kept == KeptRun():
        return NO_RUN
    path = run_path(projection, kept.position)
    try:
        if _checksum(path) != kept.checksum:
            raise ProjectionUnfit(f"{path} was altered.")
        return _mapped(path)
    except (OSError, ValueError) as error:
        raise ProjectionUnfit(f"{path} cannot be read ({error}).") from error


def _mapped(path: Path) -> Run:
    return np.asarray(np.memmap(path, _ORDER, "r"))  # the plain class, which is faster


def _checksum(path: Path) -> int:
    """Of all of a file, which is read: what is mapped and cannot be read ends the process without a word."""
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(READ_IN_ONE_GO):
            checksum = crc32(piece, checksum)
    return checksum


def remove_runs(projection: Path, *but: KeptRun) -> None:
    """Remove what runs there are, but for those named."""
    kept = {run_path(projection, run.position) for run in but}
    for path in projection.parent.glob(f"{projection.name}.keys-*"):
        if path not in kept:
            path.unlink(missing_ok=True)

"""The free space guard: below a minimum of free space, no event is accepted, so that the disk never fills up."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class FreeSpaceGuard:
    """Compares the free space of the log's disk with a minimum.

    The beginning and the end of a shortage are logged once each, when `shortage` is next read.
    """

    def __init__(self, file: int, path: Path, min_free_bytes: int) -> None:
        """Guard the disk of the log at `path`, open as `file`."""
        self._file = file
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._is_short = False

    @property
    def free_bytes(self) -> int:
        """The free space of the disk that this process may use. Raises OSError."""
        disk = os.fstatvfs(self._file)
        return disk.f_bavail * disk.f_frsize

    @property
    def shortage(self) -> str | None:
        """The sentence that explains the shortage to clients, or None if the disk has enough free space."""
        try:
            free = self.free_bytes
        except OSError as error:
            return (
                f"The free space on the disk of the log {self._path} is unknown ({error.strerror}). Check that the "
                "disk works."
            )
        if free >= self._min_free_bytes:
            if self._is_short:
                self._is_short = False
                logger.info(
                    "The disk of the log %s has %s bytes free. Events are accepted again.",
                    self._path,
                    f"{free:,}",
                    extra={"event_name": "disk_space_recovered"},
                )
            return None
        shortage = (
            f"The disk of the log {self._path} has {free:,} bytes free, less than the {self._min_free_bytes:,} of "
            "LOCKSTREAM_MIN_FREE_BYTES. Free some space; no restart is needed."
        )
        if not self._is_short:
            self._is_short = True
            logger.warning("%s Until then no event is accepted.", shortage, extra={"event_name": "disk_space_short"})
        return shortage

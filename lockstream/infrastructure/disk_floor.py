"""How much room the log's disk must have for an event to be taken in."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class DiskFloor:
    """Below it nothing is taken in. Standard error is told once when that begins and once when it ends, as far as
    somebody asks; who sends events and who asks for readiness hear it each time.
    """

    def __init__(self, file: int, path: Path, floor: int) -> None:
        """`file` is the log at `path`, open; `floor` is in bytes."""
        self._file = file
        self._path = path
        self._floor = floor
        self._below = False

    @property
    def obstacle(self) -> str:
        """Why nothing should be written now; empty where it may be."""
        try:
            disk = os.fstatvfs(self._file)
        except OSError as error:
            return f"The disk of the log {self._path} does not say how many bytes it has left ({error.strerror})."
        free = disk.f_bavail * disk.f_frsize
        if free >= self._floor:
            if self._below:
                self._below = False
                logger.info(
                    "The disk of the log %s has %s bytes left: events are taken in again.", self._path, f"{free:,}"
                )
            return ""
        obstacle = (
            f"The disk of the log {self._path} has {free:,} bytes left, fewer than the {self._floor:,} of "
            "LOCKSTREAM_DISK_FLOOR_BYTES. Make room; no restart is needed."
        )
        if not self._below:
            self._below = True
            logger.warning("%s Until then no event is taken in.", obstacle)
        return obstacle

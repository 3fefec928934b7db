"""Mount a lossy disk. A process of its own serves it: a process that waits for its own file system waits for ever."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lockstream.tests.crash.lossy_fs.fuse import can_mount, unmount
from lockstream.tests.support.processes import environment
from lockstream.tests.support.requirements import requires

needs_lossy_disk = requires(can_mount(), "/dev/fuse, and the right to mount a file system")


class LossyDisk:
    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process

    def cut_power(self, target: Path, seed: int) -> None:
        """Copy the disk as it would be after a power cut now into `target`. Users of the disk notice nothing."""
        self._tell(cut=str(target), seed=seed)

    @contextmanager
    def power_cut_after_each_change(self, target: Path, seed: int) -> Iterator[list[Path]]:
        """Cut the power after each change of the disk within the block. The list has a folder for each at the end."""
        folders: list[Path] = []
        self._tell(each=str(target), seed=seed)
        yield folders
        folders += [target / str(number) for number in range(self._tell())]

    def _tell(self, **order: object) -> int:
        """Send an order to the process of the disk, and return its response."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return int(self.read_line())

    def read_line(self) -> bytes:
        """Return the next line from the process of the disk."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process of the disk has ended; its standard error says why"
        return line


@contextmanager
def lossy_disk(folder: Path, *sources: Path) -> Iterator[LossyDisk]:
    """Mount a disk at the new folder `folder`, with the files of `sources`, until the end of the block."""
    folder.mkdir()
    package = __name__.rpartition(".")[0]
    with subprocess.Popen(
        [sys.executable, "-m", package, str(folder), *map(str, sources)],
        env=environment(folder / "any"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        disk = LossyDisk(folder, process)
        try:
            assert disk.read_line() == b"mounted\n"
            yield disk
        finally:
            unmount(folder)
            process.kill()  # an open or mapped file would keep it waiting

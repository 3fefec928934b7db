"""A forgetful disk that is mounted, served by a process of its own: one that waits for itself would wait for ever."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockstream.tests.crash.lossy_fs.kernel import can_mount, unmount
from lockstream.tests.support.processes import environment

needs_lossy_disk = pytest.mark.skipif(
    "CI" not in os.environ and not can_mount(), reason="this user may not mount a file system, or /dev/fuse is missing"
)


class LossyDisk:
    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process

    def cut(self, into: Path, seed: int) -> None:
        """Have in `into` what would be on the disk if the power went now. Nobody who uses it notices."""
        self._tell(cut=str(into), seed=seed)

    @contextmanager
    def cut_at_each_change(self, into: Path, seed: int) -> Iterator[list[Path]]:
        """The same, after each change of the disk in the `with`, each in a folder; they are in the list at its end."""
        folders: list[Path] = []
        self._tell(each=str(into), seed=seed)
        yield folders
        folders += [into / str(number) for number in range(self._tell())]

    def _tell(self, **what: object) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._heard())

    def _heard(self) -> bytes:
        assert self._process.stdout is not None
        heard = self._process.stdout.readline()
        assert heard, "the disk's process has ended; its standard error says why"
        return heard


@contextmanager
def lossy_disk(folder: Path, *filled_from: Path) -> Iterator[LossyDisk]:
    """A disk at `folder`, which is made, with what is in another one. Nobody may need it any more when this ends."""
    folder.mkdir()
    package = __name__.rpartition(".")[0]
    with subprocess.Popen(
        [sys.executable, "-m", package, str(folder), *map(str, filled_from)],
        env=environment(folder / "any"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        disk = LossyDisk(folder, process)
        try:
            assert disk._heard() == b"mounted\n"
            yield disk
        finally:
            unmount(folder)
            process.kill()  # a file that nobody has closed, or a map of one, would keep it waiting

"""Serve a lossy disk: `python -m … FOLDER [SOURCE]` mounts it at FOLDER, with the files of SOURCE. Used by `mount`."""

import os
import sys
from pathlib import Path

from lockstream.tests.crash.lossy_fs import fuse
from lockstream.tests.crash.lossy_fs.disk import Disk
from lockstream.tests.crash.lossy_fs.server import DiskServer


def main(folder: Path, *sources: Path) -> None:
    files = {os.fsencode(path.name): path.read_bytes() for source in sources for path in source.iterdir()}
    with fuse.opened_device() as device:
        fuse.mount(device, folder)
        print("mounted", flush=True)
        DiskServer(device, Disk(files)).run(folder)


main(*map(Path, sys.argv[1:]))

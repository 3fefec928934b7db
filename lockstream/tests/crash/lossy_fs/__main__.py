"""Serves a disk at a folder, filled from another one: `python -m … FOLDER [FROM]`. `mounted.py` talks to it."""

import os
import sys
from pathlib import Path

from lockstream.tests.crash.lossy_fs import kernel
from lockstream.tests.crash.lossy_fs.disk import Disk
from lockstream.tests.crash.lossy_fs.serving import Serving


def main(folder: Path, *filled_from: Path) -> None:
    files = {os.fsencode(path.name): path.read_bytes() for source in filled_from for path in source.iterdir()}
    with kernel.connected() as device:
        kernel.mount(device, folder)
        print("mounted", flush=True)
        Serving(device, Disk(files)).run(folder)


main(*map(Path, sys.argv[1:]))

"""Cutting off the end of a log. Its bytes are never destroyed: they are kept beside the log."""

import os
from itertools import chain, count
from pathlib import Path

from lockstream.infrastructure.files import copy_bytes, sync_directory


def cut_off(file: int, path: Path, offset: int, name: str) -> Path:
    """Cut the log at `path`, open as `file`, at `offset`; returns the file that holds what stood from there on.

    That file's name ends in `.NAME-OFFSET`, and in one more number where there is one of that name. It is on the disk
    before the log is cut, so whoever is killed here leaves the log as it was, or cut.

    Raises:
        OSError: it cannot be kept, and the log is as it was; or the log cannot be cut.
    """
    names = (f"{path.name}.{name}-{offset}{again}" for again in chain([""], map("-{}".format, count(2))))
    kept = next(beside for name in names if not (beside := path.with_name(name)).exists())
    with kept.open("xb") as target:
        try:
            os.fchmod(target.fileno(), os.fstat(file).st_mode & 0o777)  # for the same readers as the log
            copy_bytes(file, target.fileno(), offset, os.fstat(file).st_size)
            os.fsync(target.fileno())
            sync_directory(kept.parent)
        except OSError as error:
            kept.unlink()
            raise OSError(error.errno, error.strerror, str(kept)) from error
    os.ftruncate(file, offset)
    os.fsync(file)
    return kept

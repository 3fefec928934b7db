"""A copy of the log that can be relied on: checked line by line, and on the disk before it bears its name."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import LogDamaged, NoBackup
from lockstream.infrastructure.files import copy_bytes, sync_directory
from lockstream.infrastructure.log_file import CHUNK, line_start, read_log


def back_up(log: Path, destination: Path, watch: Callable[[Cursor], object]) -> Cursor:
    """Copy the complete lines that `log` has now to `destination`; returns the cursor behind the last of them.

    Takes no lock: a server may go on writing. What it writes meanwhile is not in the copy. The copy has the log's
    permissions.

    Raises:
        NoBackup: there is something at `destination`, or nothing can be put there.
        LogDamaged: a line of the log is not what was written; nothing is left at `destination`.
        OSError: the log cannot be read.
    """
    _require_free(destination)
    with log.open("rb") as source:
        try:
            number, name = tempfile.mkstemp(prefix=f"{destination.name}.unfinished-", dir=destination.parent)
            draft = Path(name)
            try:
                with open(number, "r+b") as target:  # noqa: PTH123  # it is open, and has no path that Path would open
                    _copy(source.fileno(), target.fileno())
                end = _check(draft, log, destination, watch)
                _require_free(destination)  # somebody may have put something there meanwhile
                draft = draft.rename(destination)
                sync_directory(destination.parent)
            except BaseException:
                draft.unlink()
                raise
        except OSError as error:
            raise NoBackup(
                f"The log {log} could not be copied to {destination} ({error.strerror}). Nothing was left there. Make "
                "sure that the folder may be written to, and that its disk has room and works."
            ) from error
    return end


def _require_free(destination: Path) -> None:
    if destination.exists(follow_symlinks=False):
        raise NoBackup(
            f"{destination} is there already, and a backup overwrites nothing. Name a file that is not there."
        )
    if not destination.parent.is_dir():
        raise NoBackup(f"There is no folder {destination.parent} to put the copy into. Make it first.")


def _copy(source: int, target: int) -> None:
    """Have the complete lines of one file in the other, on the disk."""
    found = os.fstat(source)
    copy_bytes(source, target, 0, found.st_size)
    os.ftruncate(target, line_start(target, os.fstat(target).st_size))
    os.fchmod(target, found.st_mode & 0o777)
    os.fsync(target)


def _check(draft: Path, log: Path, destination: Path, watch: Callable[[Cursor], object]) -> Cursor:
    """Read the copy as a start would read it. Where it is damaged, so is the log, or a disk does not work."""
    try:
        return _end(draft, watch)
    except LogDamaged as damage:
        _end(log, lambda reached: None)
        raise NoBackup(
            f"The copy of {log} is not what the log holds: it is damaged at line {damage.line}, and the log is not. "
            f"Nothing was left at {destination}. Try again; if that says the same, its disk does not work."
        ) from damage


def _end(log: Path, watch: Callable[[Cursor], object]) -> Cursor:
    end = START
    for record in read_log(log):
        end = record.end
        if end.position % CHUNK == 0:
            watch(end)
    return end

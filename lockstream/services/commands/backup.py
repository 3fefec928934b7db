"""Back up a log file: every line of the copy is checked, and the copy is on disk before it gets its name."""

import os
import tempfile
from pathlib import Path

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import BackupFailed, LogFileDamaged
from lockstream.core.ports import OnProgress, ignore_progress
from lockstream.infrastructure.file_log.reader import CHUNK_LINES, last_position, line_start, read_log
from lockstream.infrastructure.fs import copy_bytes, sync_directory


def back_up(log: Path, destination: Path, on_progress: OnProgress) -> Cursor:
    """Copy the present complete lines of `log` to `destination`, and return the end of the last one.

    No lock is taken. Lines that a server appends meanwhile are not in the copy. The copy has the log's permissions.

    Raises:
        BackupFailed: `destination` exists, or nothing can be written there.
        LogFileDamaged: a line of the log is damaged; nothing is left at `destination`.
        OSError: the log cannot be read.
    """
    _require_free(destination)
    with log.open("rb") as source:
        try:
            number, name = tempfile.mkstemp(prefix=f"{destination.name}.unfinished-", dir=destination.parent)
            draft = Path(name)
            try:
                with open(number, "r+b") as target:  # noqa: PTH123  # a file descriptor, which Path cannot open
                    _copy(source.fileno(), target.fileno())
                end = _check(draft, log, destination, on_progress)
                _require_free(destination)  # another process may have created it meanwhile
                draft = draft.rename(destination)
                sync_directory(destination.parent)
            except BaseException:
                draft.unlink()
                raise
        except OSError as error:
            raise BackupFailed(
                f"The log {log} could not be copied to {destination} ({error.strerror}). Nothing was left there. Make "
                "sure that the folder is writable, and that its disk has free space and works."
            ) from error
    return end


def _require_free(destination: Path) -> None:
    if destination.exists(follow_symlinks=False):
        raise BackupFailed(f"{destination} exists, and a backup overwrites nothing. Name a file that does not exist.")
    if not destination.parent.is_dir():
        raise BackupFailed(f"The folder {destination.parent} does not exist. Create it first.")


def _copy(source: int, target: int) -> None:
    """Copy the complete lines of a file, and flush them."""
    found = os.fstat(source)
    copy_bytes(source, target, 0, found.st_size)
    os.ftruncate(target, line_start(target, os.fstat(target).st_size))
    os.fchmod(target, found.st_mode & 0o777)
    os.fsync(target)


def _check(draft: Path, log: Path, destination: Path, on_progress: OnProgress) -> Cursor:
    """Check the copy, and return its end. If only the copy is damaged, raise BackupFailed."""
    try:
        return _end_of(draft, on_progress)
    except LogFileDamaged as damage:
        _end_of(log, ignore_progress)
        raise BackupFailed(
            f"The copy of {log} is damaged at line {damage.position}, and the log is not. Nothing was left at "
            f"{destination}. Try again; if the same happens, the disk of the copy does not work."
        ) from damage


def _end_of(log: Path, on_progress: OnProgress) -> Cursor:
    end, total = START, last_position(log)
    for record in read_log(log):
        end = record.end
        if end.position % CHUNK_LINES == 0:
            on_progress(end.position, total)
    return end

"""Back up a log file with its quarantine, API keys and audit log. Each copy is on disk before it gets its name.

The quarantine is copied first. So an event that is accepted meanwhile, and leaves the quarantine, is in the copied log.
If both copies have the event, the next start removes it from the quarantine.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import BackupFailed, LogFileDamaged
from lockstream.core.ports import OnProgress, ignore_progress
from lockstream.infrastructure.access.audit_file import audit_path, refusals_path
from lockstream.infrastructure.access.key_file import decode_keys, keys_path
from lockstream.infrastructure.file_log.reader import CHUNK_LINES, last_position, line_start, read_log
from lockstream.infrastructure.fs import copy_bytes, sync_directory
from lockstream.infrastructure.quarantine.journal import quarantine_path


class Backup(NamedTuple):
    """A backup that was made."""

    end: Cursor
    """End of the last line in the copy of the log."""

    quarantine: Path | None
    """The copy of the quarantine, or None if the log has none."""

    audit: Path | None
    """The copy of the changes of keys in the audit log, or None if the log has none."""

    refusals: Path | None
    """The copy of the refused requests in the audit log, or None if the log has none."""

    keys: Path | None
    """The copy of the API keys, or None if the log has none."""


def back_up(log: Path, destination: Path, on_progress: OnProgress) -> Backup:
    """Copy the present complete lines of `log` to `destination`, and its quarantine, keys and audit log beside it.

    No lock is taken. Lines that a server appends meanwhile are not in the copies. Each copy has the permissions of its
    source. The lines of the quarantine and of the audit log are not checked.

    Raises:
        BackupFailed: `destination` or a file beside it exists, or cannot be written.
        LogFileDamaged, KeysDamaged: a line of the log, or the file of its keys, is damaged; nothing is left at
            `destination`.
        OSError: the log or a file beside it cannot be read.
    """
    path_functions = quarantine_path, audit_path, refusals_path, keys_path
    copies = [path_of(destination) for path_of in path_functions]
    for path in destination, *copies:
        _require_free(path)
    with ExitStack() as opened:
        # The keys are opened after their audit log, of which no later lines are copied: a start refuses an audit log
        # that names keys if the file of the keys is missing.
        sources = [_open_if_exists(path_of(log)) for path_of in path_functions]
        for source, _ in filter(None, sources):
            opened.enter_context(source)
        log_source = opened.enter_context(log.open("rb"))
        try:
            drafts = [(source, opened.enter_context(_draft(copy)), copy) for source, copy in _found(sources, copies)]
            log_draft = opened.enter_context(_draft(destination))
            for (source, size), draft, copy in drafts:
                _copy(source.fileno(), size, draft)
                if copy == keys_path(destination):
                    decode_keys(draft.read_bytes(), keys_path(log))
            _copy(log_source.fileno(), os.fstat(log_source.fileno()).st_size, log_draft)
            end = _check(log_draft, log, destination, on_progress)
            for path in destination, *copies:  # another process may have created one meanwhile
                _require_free(path)
            for _, draft, copy in drafts:
                draft.rename(copy)
                opened.push(partial(_unlink_after_error, copy))
            log_draft.rename(destination)
            opened.push(partial(_unlink_after_error, destination))
            sync_directory(destination.parent)
        except OSError as error:
            raise BackupFailed(
                f"The log {log} could not be copied to {destination} ({error.strerror}). Nothing was left there. Make "
                "sure that the folder is writable, and that its disk has free space and works."
            ) from error
    return Backup(end, *(copy if source else None for source, copy in zip(sources, copies, strict=True)))


def _found(sources: "Sequence[_Source | None]", copies: Sequence[Path]) -> "list[tuple[_Source, Path]]":
    return [(source, copy) for source, copy in zip(sources, copies, strict=True) if source]


def _unlink_after_error(path: Path, kind: type[BaseException] | None, *_: object) -> None:
    if kind:
        path.unlink()


def _require_free(destination: Path) -> None:
    if destination.exists(follow_symlinks=False):
        raise BackupFailed(f"{destination} exists, and a backup overwrites nothing. Name a file that does not exist.")
    if not destination.parent.is_dir():
        raise BackupFailed(f"The folder {destination.parent} does not exist. Create it first.")


class _Source(NamedTuple):
    """An open file, and its size when it was opened."""

    file: IO[bytes]
    size: int


def _open_if_exists(path: Path) -> _Source | None:
    """Open a file that a server may replace at any time. The opened file does not change then."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    return _Source(file, os.fstat(file.fileno()).st_size)


@contextmanager
def _draft(destination: Path) -> Iterator[Path]:
    """Context manager that yields a new file beside `destination`, and removes it at the end unless it was renamed."""
    number, name = tempfile.mkstemp(prefix=f"{destination.name}.unfinished-", dir=destination.parent)
    os.close(number)
    try:
        yield Path(name)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _copy(source: int, size: int, draft: Path) -> None:
    """Copy the complete lines among the first `size` bytes of a file, and flush them."""
    found = os.fstat(source)
    with draft.open("r+b") as file:
        target = file.fileno()
        copy_bytes(source, target, 0, size)
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

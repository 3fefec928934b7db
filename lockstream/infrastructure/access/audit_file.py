"""The audit log in a file: one JSON object a line, only appended, and flushed with each append."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from lockstream.core.entities.keys import AuditEntry, AuditQuery, NumberedEntry
from lockstream.infrastructure.access.key_file import PRIVATE, give_to_owner
from lockstream.infrastructure.fs import sync_data, sync_directory, write_all

BLOCK_BYTES = 64 * 1024
"""Bytes that are read at a time, from the end of the file."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditEntry).decode


def audit_path(log_path: Path) -> Path:
    """Return the path of a log's audit log, beside it."""
    return Path(f"{log_path}.audit")


class AuditLine(NamedTuple):
    """A line of an audit log. The entry is None if a crash has interrupted its writing, or it is damaged."""

    start: int
    """Offset of the line, in bytes."""

    entry: AuditEntry | None


def append_entries(path: Path, entries: Sequence[AuditEntry]) -> None:
    """Append entries, and flush them to disk. The caller keeps other writers away.

    An incomplete last line, which a crash has left, gets a line end and stays. Readers leave it out.

    Raises:
        OSError: some or all entries are not on disk.
    """
    is_new = not path.exists()
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(path, flags, PRIVATE)
    try:
        found = os.fstat(file)
        if stat.S_IMODE(found.st_mode) != PRIVATE:
            os.fchmod(file, PRIVATE)
        if is_new:
            give_to_owner(file, path.parent)
        is_torn = found.st_size > 0 and os.pread(file, 1, found.st_size - 1) != b"\n"
        write_all(file, b"\n" * is_torn + b"".join([_encode(entry) + b"\n" for entry in entries]))
        sync_data(file)
    finally:
        os.close(file)
    if is_new:
        sync_directory(path.parent)


def read_backwards(path: Path) -> Iterator[AuditLine]:
    """Yield each complete line, the newest first, or nothing if there is no file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        start = os.fstat(file).st_size
        rest = b""
        is_last = True
        while start > 0:
            size = min(BLOCK_BYTES, start)
            start -= size
            rest = os.pread(file, size, start) + rest
            first, *lines = rest.split(b"\n")
            offset = start + len(rest)
            for line in reversed(lines):
                offset -= len(line)
                if not is_last and line:  # behind the last line end, a server may be writing
                    yield AuditLine(offset, _entry_of(line))
                is_last = False
                offset -= 1
            rest = first
        if rest and not is_last:
            yield AuditLine(0, _entry_of(rest))
    finally:
        os.close(file)


def newest_entries(path: Path, query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
    """Return up to `limit` entries that pass the filter, with numbers below `before`. A number is an offset plus 1.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[NumberedEntry] = []
    for start, entry in read_backwards(path):
        number = start + 1
        if entry and (before is None or number < before) and query.matches(entry):
            found.append(NumberedEntry(number, entry))
            if len(found) >= limit:
                break
    return found


def _entry_of(line: bytes) -> AuditEntry | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None

"""The files of the audit log: changes of keys in one, refused requests in the other.

Each file has one JSON object a line. Lines are appended and flushed, and a file that exceeds its bound is replaced by a
shorter one. So a flood of refused requests displaces no change of a key. The entries of both files are numbered
together, in the order in which they were appended.
"""

import heapq
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from lockstream.core.entities.keys import AuditEntry, AuditQuery, NumberedEntry
from lockstream.infrastructure.access.key_file import PRIVATE, give_to_owner, replace_file
from lockstream.infrastructure.fs import COPY_BYTES, sync_data, sync_directory, write_all

BLOCK_BYTES = 64 * 1024
"""Bytes that are read at a time, from the end of the file."""


class _Number(Struct):
    number: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditEntry).decode
_decode_number = msgspec.json.Decoder(_Number).decode


def audit_path(log_path: Path) -> Path:
    """Return the path of the file with the changes of keys, beside a log."""
    return Path(f"{log_path}.audit")


def refusals_path(log_path: Path) -> Path:
    """Return the path of the file with the refused requests, beside a log."""
    return Path(f"{log_path}.audit.refused")


class AuditLine(NamedTuple):
    """A line of an audit log. The entry is None if a crash has interrupted the write of the line, or it is damaged."""

    start: int
    """Offset of the line, in bytes."""

    text: bytes
    entry: AuditEntry | None

    @property
    def number(self) -> int:
        """The number of the entry. A line without a number, of an early version, has its offset plus 1."""
        return _decode_number(self.text).number or self.start + 1


def append_entries(path: Path, entries: Sequence[AuditEntry], first_number: int) -> None:
    """Append entries with numbers from `first_number`, and flush them to disk. The caller holds the lock of writers.

    An incomplete last line, which a crash has left, gets a line end and stays. Readers leave that line out.

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
        lines = [
            b'{"number":%d,%b\n' % (number, _encode(entry)[1:]) for number, entry in enumerate(entries, first_number)
        ]
        write_all(file, b"\n" * is_torn + b"".join(lines))
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
                    yield AuditLine(offset, line, _entry_of(line))
                is_last = False
                offset -= 1
            rest = first
        if rest and not is_last:
            yield AuditLine(0, rest, _entry_of(rest))
    finally:
        os.close(file)


def newest_entries(paths: Sequence[Path], query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
    """Return up to `limit` entries of all files that pass the filter, with numbers below `before`, the newest first.

    Raises:
        OSError: a file cannot be read.
    """
    found: list[NumberedEntry] = []
    for number, entry in heapq.merge(*map(_numbered, paths), key=lambda numbered: -numbered[0]):
        if (before is None or number < before) and query.matches(entry):
            found.append(NumberedEntry(number, entry))
            if len(found) >= limit:
                break
    return found


def next_number(paths: Sequence[Path]) -> int:
    """Return a number above those of all entries in the files. Raises OSError."""
    newest = (next(_numbered(path), None) for path in paths)
    return max((number for number, _ in filter(None, newest)), default=0) + 1


def drop_oldest(path: Path, max_bytes: int) -> None:
    """Shorten a file that is larger than `max_bytes` to the newest half of that size.

    Raises:
        OSError: `path` is the old file or the new one, as after a crash.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size > max_bytes:
        with path.open("rb") as file:
            file.seek(size - max_bytes // 2)
            file.readline()  # the rest of a line
            replace_file(path, iter(lambda: file.read(COPY_BYTES), b""))


def _numbered(path: Path) -> Iterator[tuple[int, AuditEntry]]:
    """Yield the number and entry of each line that can be read, the newest first."""
    for line in read_backwards(path):
        if line.entry:
            yield line.number, line.entry


def _entry_of(line: bytes) -> AuditEntry | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None

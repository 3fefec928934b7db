"""Read a log file: from a cursor, by position, and backwards from an offset. No function here takes a lock."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Self

from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import LogFileDamaged, StoreUnavailable
from lockstream.infrastructure.codec.log_line import (
    InvalidLine,
    claimed_end,
    count_checked,
    decode_lines,
    event_id_of,
)
from lockstream.infrastructure.file_log.line_search import (
    LOG_START,
    Bound,
    FoundLine,
    MissingLine,
    find_line,
    find_lines,
)

CHUNK_LINES = 1_000
"""Lines that are decoded together."""

READ_BYTES = 64 * 1024
"""Bytes that are read at a time to find the event ids at some positions."""

PAGE_BYTES = 1024 * 1024
"""Bytes of a page of lines. A page of one line may be longer."""

LINE_BYTES = 512
"""Bytes that are read for each line of a page. Most lines have 300 to 400."""


def read_log(
    path: Path, after: Cursor = START, until: int | None = None, opened: int | None = None
) -> Iterator[Record]:
    """Yield each record after `after`, checked, up to offset `until` or to the last complete line.

    Records that another process appends meanwhile are included. If `opened` is given, that open file is read, and
    `path` is only for messages.

    Raises:
        LogFileDamaged: a line is damaged.
    """
    with (path if opened is None else Path(f"/dev/fd/{opened}")).open("rb") as file:
        file.seek(after.offset)
        while lines := _complete(list(islice(file, CHUNK_LINES)), after.offset, until):
            try:
                records = decode_lines(lines, after)
            except InvalidLine as error:
                raise LogFileDamaged(path, after.position + 1, after.offset, str(error)) from error
            yield from records
            if len(records) < len(lines):
                file.seek(records[-1].end.offset)  # the next round reports the invalid line
            after = records[-1].end


def last_position(path: Path) -> int:
    """Return the position that the last complete line states, unchecked, or 0. For progress callbacks."""
    with path.open("rb") as file:
        end = line_start(file.fileno(), os.fstat(file.fileno()).st_size)
        try:
            return claimed_cursor(file.fileno(), end).position if end else 0
        except InvalidLine:
            return 0


class LogReader:
    """Reads records of a log file by position. For any thread."""

    def __init__(self, path: Path, file: int) -> None:
        """`file` is the descriptor of the file at `path`, and stays open until `close`."""
        self._path, self._file = path, file

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the log file at `path`.

        Raises:
            StoreUnavailable: the file cannot be opened.
        """
        try:
            return cls(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise log_unreadable(path, error) from error

    def records(self, positions: Iterable[int], end: Cursor) -> list[Record]:
        """Return the records at these positions, each checked against the chain value before it.

        The lines of the file were checked before. `end` is the end of the last of these records, or of a later one.

        Raises:
            StoreUnavailable: the log cannot be read, lacks a position, or a line was altered since.
        """
        wanted = list(positions)
        try:
            lines = find_lines(self._file, sorted(set(wanted)), LOG_START, _end_of(end))
            found = {line.position: self._record(line) for line in lines}
        except MissingLine as missing:  # a damaged projection may name any position
            raise StoreUnavailable(
                f"The log {self._path} has no record at position {missing.position}. Run `lockstream verify`."
            ) from missing
        except OSError as error:
            raise log_unreadable(self._path, error) from error
        except LogFileDamaged as error:
            raise StoreUnavailable(str(error)) from error
        return [found[position] for position in wanted]

    def lines(self, after: int, count: int, end: Cursor) -> list[bytes]:
        """Return up to `count` lines after position `after`, each checked against the chain value before it.

        No line is after `end`. The lines have at most about `PAGE_BYTES` together, but a single line may be longer.

        Raises:
            StoreUnavailable: the log cannot be read, or the first of the lines was altered.
        """
        if after >= end.position or not count:
            return []
        try:
            first = find_line(self._file, after + 1, LOG_START, _end_of(end))
            if first is None or first.after.position != after:
                raise _altered(self._path)
            lines = _lines_from(self._file, first.start, count, end.offset)
            if not lines:  # the file was truncated meanwhile
                raise _altered(self._path)
            return lines[: count_checked(lines, first.after)]
        except OSError as error:
            raise log_unreadable(self._path, error) from error
        except (InvalidLine, ValueError) as error:
            raise _altered(self._path) from error

    def event_ids(self, first: int, count: int, end: Cursor) -> dict[str, int]:
        """Return the ids and positions of up to `count` events from position `first` on, none of them after `end`.

        The lines of the file up to `end` were checked before.

        Raises:
            StoreUnavailable: the log cannot be read, or was altered since.
        """
        if first > end.position:
            return {}
        try:
            return _event_ids(self._file, first, min(first + count, end.position + 1), end)
        except OSError as error:
            raise log_unreadable(self._path, error) from error
        except (InvalidLine, ValueError, IndexError) as error:
            raise _altered(self._path) from error

    def close(self) -> None:
        os.close(self._file)

    def _record(self, line: FoundLine) -> Record:
        try:
            [record] = decode_lines([line.text], line.after)
        except (InvalidLine, ValueError) as error:
            raise LogFileDamaged(self._path, line.position, line.start, str(error)) from error
        return record


def _end_of(end: Cursor) -> Bound:
    return end.position + 1, end.offset


def log_unreadable(path: Path, error: OSError) -> StoreUnavailable:
    """Return the exception to raise if the log file at `path` cannot be read."""
    return StoreUnavailable(f"The log {path} cannot be read ({error.strerror}). Check that its disk works.")


def _altered(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"The log {path} was altered or has lost lines since it was checked. Restart Lockstream, which checks the log "
        "at start."
    )


def claimed_cursor(file: int, offset: int) -> Cursor:
    """Return the cursor that the line before `offset` states, unchecked.

    Raises:
        InvalidLine: the line does not have the form of a record.
    """
    start = line_start(file, offset - 1)
    return claimed_end(os.pread(file, offset - start, start), offset)


def line_start(file: int, offset: int) -> int:
    """Return the offset of the first byte of the line that contains the byte at `offset`."""
    block = 4096
    while True:
        start = max(0, offset - block)
        line_end = os.pread(file, offset - start, start).rfind(b"\n")
        if line_end >= 0 or start == 0:
            return start + line_end + 1
        block *= 4


def count_lines(path: Path, offset: int) -> int:
    """Return the number of complete lines before `offset`."""
    lines = 0
    with path.open("rb") as file:
        while file.tell() < offset:
            lines += file.readline().endswith(b"\n")
    return lines


def _complete(lines: list[bytes], offset: int, until: int | None) -> list[bytes]:
    """Return those of `lines` that are complete and begin before `until`. The first line begins at `offset`."""
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    if until is not None and offset + sum(map(len, lines)) > until:
        while lines and offset + sum(map(len, lines[:-1])) >= until:
            lines.pop()
    return lines


def _event_ids(file: int, position: int, stop: int, end: Cursor) -> dict[str, int]:
    """Return the ids and positions of events from `position` up to `stop`, which is excluded.

    Raises:
        OSError: the file cannot be read.
        InvalidLine, ValueError, IndexError: the file was altered.
    """
    first = find_line(file, position, LOG_START, _end_of(end))
    if first is None:
        raise InvalidLine("it is missing, or claims another position.")
    start = first.start
    ids: dict[str, int] = {}
    rest = b""
    while position < stop:
        more = os.pread(file, READ_BYTES, start + len(rest))
        if not more:
            raise InvalidLine("the file ends before it, or inside it.")
        rest += more
        *lines, rest_of_line = rest.split(b"\n")
        for line in lines[: stop - position]:
            ids[event_id_of(line)] = position
            position += 1
        start += len(rest) - len(rest_of_line)
        rest = rest_of_line
    return ids


def _lines_from(file: int, start: int, count: int, end: int) -> list[bytes]:
    """Return up to `count` complete lines from offset `start` on, before offset `end`.

    There may be fewer, but at least one, unless the file was altered.
    """
    size = min(end - start, LINE_BYTES * count, PAGE_BYTES)
    while True:
        content = os.pread(file, size, start)
        *lines, _ = content.split(b"\n")
        if lines or len(content) < size or start + size >= end:
            return [line + b"\n" for line in lines[:count]]
        size = min(end - start, 4 * size)

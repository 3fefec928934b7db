"""Reading a log file: from a place on, by position, and backwards from an offset. None of this takes a lock."""

import os
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import LogDamaged, StoreUnavailable
from lockstream.infrastructure.line_codec import (
    InvalidLine,
    check_line,
    cursor_behind,
    decode_lines,
    has_hole,
    id_of,
    part_to_keep,
    position_of,
    time_of,
)

FLUSH_SECONDS = 30
"""What was written so much later than a line was not on its way to the disk with it: no flush takes so long.

A disk that does not answer for half a minute is given up by its driver, and the flush fails."""

CHUNK = 1_000
"""Lines that are decoded together."""

NEAR = 64 * 1024
"""Bytes that are searched line by line, once a position is known to be in them."""

_HEAD = len('{"position":') + 20


def read_log(
    path: Path, after: Cursor = START, until: int | None = None, opened: int | None = None
) -> Iterator[Record]:
    """Each record from `after` up to offset `until`, or to the last complete line; checked.

    While another process appends, it reads what was there when it came to it. Where the file is open already, as
    `opened`, that one is read, wherever `path` leads now.

    Raises:
        LogDamaged: a line is not what was written.
    """
    with (path if opened is None else Path(f"/dev/fd/{opened}")).open("rb") as file:
        file.seek(after.offset)
        while lines := _complete(list(islice(file, CHUNK)), after.offset, until):
            try:
                records = decode_lines(lines, after)
            except InvalidLine as error:
                raise LogDamaged(path, after.position + 1, after.offset, str(error)) from error
            yield from records
            if len(records) < len(lines):
                file.seek(records[-1].end.offset)  # the next round says what is wrong with the line there
            after = records[-1].end


def ids_from(file: int, first: int, count: int, end: Cursor) -> dict[str, int]:
    """The ids of up to `count` events from position `first` on, with their positions.

    `end` is behind the last record. `file` has been checked: each line is one that was written.
    """
    if first > end.position:
        return {}
    start = _offset_of(file, first, end)
    ids: dict[str, int] = {}
    position, rest = first, b""
    while position < min(first + count, end.position + 1):
        more = os.pread(file, NEAR, start + len(rest))
        if not more:
            raise StoreUnavailable("The log is shorter than what was written to it. Restart Lockstream.")
        rest += more
        *lines, rest_of_line = rest.split(b"\n")
        for line in lines[: first + count - position]:
            ids[id_of(line)] = position
            position += 1
        start += len(rest) - len(rest_of_line)
        rest = rest_of_line
    return ids


def anchor(file: int, offset: int) -> Cursor:
    """The cursor behind the line that ends at `offset`, by its own account.

    Raises:
        InvalidLine: it has not the form of a record.
    """
    start = line_start(file, offset - 1)
    return cursor_behind(os.pread(file, offset - start, start), offset)


def line_start(file: int, offset: int) -> int:
    """Where the line begins that the byte at `offset` is in."""
    block = 4096
    while True:
        start = max(0, offset - block)
        line_end = os.pread(file, offset - start, start).rfind(b"\n")
        if line_end >= 0 or start == 0:
            return start + line_end + 1
        block *= 4


def lines_before(path: Path, offset: int) -> int:
    """How many lines end before `offset`."""
    with path.open("rb") as file:
        return sum(file.readline().endswith(b"\n") for _ in iter(lambda: file.tell() < offset, False))


def mendable(path: Path, line: bytes, after: Cursor, size: int, acknowledged: int) -> bytes:
    """What a start can mend a log of `size` bytes from, whose `line` behind `after` is not what should stand there.

    That is a part of `line`, as `part_to_keep` has it. Where more stands behind the line, it must be what a power
    failure has left of one flush, and no event may be lost of as many as are known to have been `acknowledged`.

    Raises:
        InvalidLine: the line was wholly written, or had been flushed, and is not what was written.
    """
    behind = after.offset + len(line)
    last = behind == size
    flushed = not last and has_hole(line, after.offset) and _flushed_behind(path, behind)
    kept = part_to_keep(line, after, last, flushed)
    if not last and acknowledged > after.position + (kept != b""):
        check_line(line, after)
    return kept


def _flushed_behind(path: Path, offset: int) -> bool:
    """Whether what stands behind `offset` was written over a longer time than a flush takes: its first lines were on
    the disk when the last ones were written.
    """
    with path.open("rb") as file:
        file.seek(offset)
        times = (time for line in file if (time := time_of(line)))
        first, last = next(times, None), deque(times, 1)
    return first is not None and any((time - first).total_seconds() > FLUSH_SECONDS for time in last)


def _complete(lines: list[bytes], offset: int, until: int | None) -> list[bytes]:
    """Those of the lines from `offset` on that have their end, and begin before `until`."""
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    if until is not None and offset + sum(map(len, lines)) > until:
        while lines and offset + sum(map(len, lines[:-1])) >= until:
            lines.pop()
    return lines


def _offset_of(file: int, position: int, end: Cursor) -> int:
    """Where the line of `position` begins. Lines are of much the same length, so a guess comes near at once."""
    low, high = (1, 0), (end.position + 1, end.offset)
    guesses = 0
    while high[0] - low[0] > 1 and low[0] != position:
        # Where lengths vary so much that guesses do not close in, halving the bytes between does.
        share = (position - low[0]) / (high[0] - low[0]) if guesses < 8 else 0.5
        guesses += 1
        start = line_start(file, low[1] + int((high[1] - low[1]) * share))
        if start <= low[1]:
            start = _next_line(file, low[1])
        found = position_of(os.pread(file, _HEAD, start)), start
        low, high = (found, high) if found[0] <= position else (low, found)
    return low[1]


def _next_line(file: int, offset: int) -> int:
    """Where the line begins that follows the one at `offset`."""
    block = 1024
    while (line_end := os.pread(file, block, offset).find(b"\n")) < 0:
        block *= 4
    return offset + line_end + 1

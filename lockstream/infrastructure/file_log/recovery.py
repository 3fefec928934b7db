"""Recover the tail of a log at start: check it, complete or truncate a torn tail, and keep the truncated bytes.

A crash may leave a half-written last line. A power failure may also leave unwritten sectors in the last flush: zeros,
with later bytes behind them. Neither was acknowledged, so a start truncates them. Any other invalid line refuses the
start (docs/decisions/0006).
"""

import logging
import os
import re
from collections import deque
from itertools import batched, chain, count
from pathlib import Path
from typing import NamedTuple

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import LogFileDamaged
from lockstream.core.wording import counted
from lockstream.infrastructure.codec.log_line import (
    InvalidLine,
    check_line,
    check_lines,
    claimed_time,
    looks_like_record,
    whole_record,
)
from lockstream.infrastructure.file_log.reader import CHUNK_LINES, claimed_cursor, count_lines, line_start
from lockstream.infrastructure.fs import copy_bytes, sync_directory, write_all

CHECKED_BYTES = 16 * 1024 * 1024
"""Bytes at the end of the log that every start checks: some 50,000 events, in 0.25 s. `verify` checks all bytes."""

SECTOR_BYTES = 512
"""Bytes that a disk writes completely or not at all; its block is one sector or a multiple."""

FLUSH_SECONDS = 30
"""Lines that were recorded this many seconds apart were never in one flush.

A disk that does not answer for half a minute is given up by its driver, and the flush fails.
"""

logger = logging.getLogger(__name__)


def recover(file: int, path: Path, acknowledged: int, *, may_be_older: bool) -> Cursor:
    """Check the end of the log at `path`, open as `file`, recover its tail, and return the end of the log.

    `acknowledged` is the number of events that are known elsewhere to be acknowledged. The log must hold as many,
    unless `may_be_older`: a restored copy may hold fewer. A start that is refused has changed nothing.

    Raises:
        LogFileDamaged: a line is damaged, or fewer than `acknowledged` events remain.
        OSError: the truncated bytes cannot be kept.
    """
    size = os.fstat(file).st_size
    end = _first_checked(file, path, size)
    with path.open("rb") as lines_of_log:
        lines_of_log.seek(end.offset)
        for lines in batched(lines_of_log, CHUNK_LINES):
            ends = check_lines(lines, end)
            end = ends[-1] if ends else end
            if len(ends) < len(lines):
                tail = Tail(path, lines[len(ends)], end, size, acknowledged)
                return _recover_tail(file, tail, may_be_older=may_be_older)
    _require_acknowledged(path, end, 0 if may_be_older else acknowledged)
    return end


class Tail(NamedTuple):
    """The end of a damaged or torn log, from its first invalid line on: `line`, which follows `after`."""

    path: Path
    line: bytes
    after: Cursor
    size: int
    """Size of the log, in bytes."""

    acknowledged: int
    """Events that are known elsewhere to be acknowledged."""


def recoverable_prefix(tail: Tail) -> bytes:
    """Return the whole record that the tail begins with, or nothing. A start keeps this record and truncates the rest.

    If more lines follow the first one, all of them must be of one interrupted flush, and none of the acknowledged
    events may be among them.

    Raises:
        InvalidLine: the line was once written or flushed completely, so it was altered.
    """
    _, line, after, size, acknowledged = tail
    next_offset = after.offset + len(line)
    is_last = next_offset == size
    is_unwritten = has_unwritten_sectors(line, after.offset) and (is_last or not _was_flushed(tail.path, next_offset))
    record = whole_record(line, after)
    if not is_unwritten:
        if record and looks_like_record(line[len(record) + 1 :]):
            raise InvalidLine("the line end after the record was overwritten.")
        is_complete = not record and line.endswith(b"\n") and looks_like_record(line)  # a torn line has no line end
        if not is_last or is_complete:
            check_line(line, after)
    if not is_last and acknowledged > after.position + bool(record):
        check_line(line, after)
    return record


def has_unwritten_sectors(text: bytes, offset: int) -> bool:
    """Return whether `text`, at `offset` of the log, contains zeros, and each run of zeros ends where a sector ends.

    A line never contains a zero byte. After a power failure, later sectors may be on disk without earlier ones.
    """
    runs = [run.end() for run in re.finditer(rb"\0+", text)]
    return bool(runs) and all((offset + end) % SECTOR_BYTES == 0 for end in runs)


def truncate_and_keep(file: int, path: Path, offset: int, name: str) -> Path:
    """Truncate the log at `path`, open as `file`, to `offset` bytes; return the new file that holds the rest.

    That file is named after the log, with `.NAME-OFFSET` behind it, and a number if the name is taken. It is on disk
    before the log is truncated, so a crash leaves the log either whole or truncated.

    Raises:
        OSError: the rest cannot be kept, and the log is unchanged; or the log cannot be truncated.
    """
    names = (f"{path.name}.{name}-{offset}{number}" for number in chain([""], map("-{}".format, count(2))))
    kept = next(candidate for name in names if not (candidate := path.with_name(name)).exists())
    with kept.open("xb") as target:
        try:
            os.fchmod(target.fileno(), os.fstat(file).st_mode & 0o777)  # readable for the same users as the log
            copy_bytes(file, target.fileno(), offset, os.fstat(file).st_size)
            os.fsync(target.fileno())
            sync_directory(kept.parent)
        except OSError as error:
            kept.unlink()
            raise OSError(error.errno, error.strerror, str(kept)) from error
    os.ftruncate(file, offset)
    os.fsync(file)
    return kept


def _first_checked(file: int, path: Path, size: int) -> Cursor:
    """Return a cursor at most `CHECKED_BYTES` before the end of a log of `size` bytes."""
    start = line_start(file, max(0, size - CHECKED_BYTES))
    if start == 0:
        return START
    try:
        return claimed_cursor(file, start)
    except InvalidLine as error:
        offset = line_start(file, start - 1)
        raise LogFileDamaged(path, count_lines(path, offset) + 1, offset, str(error)) from error


def _recover_tail(file: int, tail: Tail, *, may_be_older: bool) -> Cursor:
    """Keep the whole record that `tail` begins with, truncate the rest of the log, and return its end."""
    path, after = tail.path, tail.after
    try:
        record = recoverable_prefix(tail)
    except InvalidLine as error:
        raise LogFileDamaged(path, after.position + 1, after.offset, str(error)) from error
    end = check_line(record + b"\n", after) if record else after
    _require_acknowledged(path, end, 0 if may_be_older else tail.acknowledged)
    if after.offset + len(record) < tail.size:
        _truncate_tail(file, tail, after.offset + len(record))
    if record:
        write_all(file, b"\n")
    return end


def _truncate_tail(file: int, tail: Tail, offset: int) -> None:
    kept = truncate_and_keep(file, tail.path, offset, "torn")
    try:
        check_line(tail.line, tail.after)
    except InvalidLine as reason:
        logger.warning(
            "Truncated the torn tail of %s (line %d, byte offset %d, %s): %s The tail was never acknowledged, and is "
            "kept in %s.",
            tail.path,
            tail.after.position + 1,
            offset,
            counted(kept.stat().st_size, "byte"),
            reason,
            kept,
            extra={"event_name": "tail_truncated", "position": tail.after.position},
        )


def _require_acknowledged(path: Path, end: Cursor, acknowledged: int) -> None:
    if end.position < acknowledged:
        raise LogFileDamaged(
            path,
            end.position + 1,
            end.offset,
            f"the projection beside it has seen {counted(acknowledged, 'acknowledged event')}, and the log holds only "
            f"{end.position:,}. If that is intended, as after restoring an older copy of the log, run `lockstream "
            "rebuild` to make the projection fit it.",
        )


def _was_flushed(path: Path, offset: int) -> bool:
    """Return whether the lines from `offset` on were recorded over a longer time than one flush takes.

    If so, the first of these lines was on disk when the last one was recorded.
    """
    with path.open("rb") as file:
        file.seek(offset)
        times = (time for line in file if (time := claimed_time(line)))
        first, last = next(times, None), deque(times, 1)
    return first is not None and any((time - first).total_seconds() > FLUSH_SECONDS for time in last)

"""The log as a file: one line an event, appended and flushed to the disk before anybody hears of it."""

import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import LogDamaged, StoreUnavailable
from lockstream.infrastructure.files import lock, open_for_append, sync_data, sync_directory, write_all
from lockstream.infrastructure.line_codec import (
    InvalidLine,
    check_line,
    cursor_behind,
    decode_line,
    encode_line,
    looks_like_record,
    whole_record,
)

CHECKED_AT_START = 64 * 1024 * 1024
"""Bytes at the end of the log that every start reads and checks: some 0.3 s. `lockstream verify` reads all."""

logger = logging.getLogger(__name__)


class JsonlEventLog:
    """The one writer of a log file. Not for two threads at a time, but for `read`, `end` and `holds`."""

    def __init__(self, path: Path, acknowledged: Callable[[], int] = lambda: 0) -> None:
        """Take the log, make it if there is none, check its end and cut off a torn last line.

        The bytes cut off are kept beside the log, in a file whose name ends in `.torn-` and their offset. As many
        events as were `acknowledged`, as far as is known elsewhere, must be there; it is asked once the log is ours.

        Raises:
            StoreInUse: another process has it.
            LogDamaged: a line is not what was written, or lines are missing at the end.
            StartRefused: no log can be there.
        """
        self.path = path
        self._failure: str | None = None
        self._file = open_for_append(path)
        try:
            lock(self._file, path)
            self._require_in_place()
            sync_directory(path.parent)
            self._acknowledged = acknowledged()
            self.end = self._mend()
            self._require_acknowledged(self.end)
            # Lines that a killed process has written may not be on the disk; from now on we call them known.
            sync_data(self._file)
        except BaseException:
            os.close(self._file)
            raise

    def require_writable(self) -> None:
        if self._failure:
            raise StoreUnavailable(self._failure)

    def append(self, events: Sequence[Event]) -> None:
        self.require_writable()
        recorded_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lines, end = [], self.end
        for event in events:
            line, end = encode_line(event, recorded_at, end)
            lines.append(line)
        try:
            self._require_in_place()
            write_all(self._file, b"".join(lines))
            sync_data(self._file)
        except OSError as error:
            # What the disk holds now is unknown, and a second fsync may report success for data that the first
            # one lost. Only reading the file again, at the next start, can tell.
            self._failure = (
                f"The log {self.path} could not be written ({error.strerror}). Nothing more is accepted until "
                "Lockstream is restarted and has read the log again; make sure first that the disk has room and works."
            )
            logger.critical("%s", self._failure)
            raise StoreUnavailable(self._failure) from error
        self.end = end

    def read(self, after: Cursor) -> Iterator[Record]:
        return read_log(self.path, after, self.end.offset)

    def holds(self, cursor: Cursor) -> bool:
        """Whether the record that `cursor` stands behind is in this log, at that place."""
        if not 0 < cursor.offset <= self.end.offset:
            return cursor == START
        try:
            return _anchor(self._file, cursor.offset) == cursor
        except InvalidLine:
            return False

    def close(self) -> None:
        """Give the log up, for another process to take."""
        os.close(self._file)

    def _mend(self) -> Cursor:
        """Check the last `CHECKED_AT_START` bytes, complete or cut off the last line, and find the end."""
        size = os.fstat(self._file).st_size
        end = self._first_checked(size)
        with self.path.open("rb") as file:
            file.seek(end.offset)
            for line in file:
                try:
                    end = check_line(line, end)
                except InvalidLine as error:
                    if end.offset + len(line) < size:
                        raise LogDamaged(self.path, end.position + 1, end.offset, str(error)) from error
                    return self._mend_last(line, end, str(error))
        return end

    def _first_checked(self, size: int) -> Cursor:
        start = _line_start(self._file, max(0, size - CHECKED_AT_START))
        if start == 0:
            return START
        try:
            return _anchor(self._file, start)
        except InvalidLine as error:
            offset = _line_start(self._file, start - 1)
            raise LogDamaged(self.path, _lines_before(self.path, offset) + 1, offset, str(error)) from error

    def _mend_last(self, line: bytes, after: Cursor, reason: str) -> Cursor:
        """Keep the record that the last line begins with, if there is a whole one, and cut off the rest."""
        record = whole_record(line, after)
        rest = line[len(record) :]
        if record and looks_like_record(rest[1:]):
            reason = "the line end behind the record was overwritten."
            raise LogDamaged(self.path, after.position + 1, after.offset, reason)
        if not record and line.endswith(b"\n") and looks_like_record(line):
            raise LogDamaged(self.path, after.position + 1, after.offset, reason)  # a torn line has no end
        if rest:
            self._require_acknowledged(after if not record else check_line(record + b"\n", after))
            self._cut_off(rest, after.offset + len(record), after.position + 1, reason)
        if not record:
            return after
        write_all(self._file, b"\n")
        return check_line(record + b"\n", after)

    def _require_acknowledged(self, end: Cursor) -> None:
        if end.position < self._acknowledged:
            raise LogDamaged(
                self.path,
                end.position + 1,
                end.offset,
                f"{self._acknowledged} events were acknowledged, by the projection beside it, and the log holds only "
                f"{end.position}. Where that is what you want, as after going back to an older copy of the log, "
                "`lockstream rebuild` makes the projection fit it.",
            )

    def _require_in_place(self) -> None:
        """The file that is open must be the one that the path leads to: what another would write to."""
        there, ours = self.path.stat(), os.fstat(self._file)
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise OSError(errno.ESTALE, "it was moved or replaced", str(self.path))

    def _cut_off(self, torn: bytes, offset: int, line: int, reason: str) -> None:
        names = (f"{self.path.name}.torn-{offset}{again}" for again in chain([""], map("-{}".format, count(2))))
        kept = next(path for name in names if not (path := self.path.with_name(name)).exists())
        kept.write_bytes(torn)
        with kept.open("rb") as file:
            os.fsync(file.fileno())
        sync_directory(kept.parent)
        os.ftruncate(self._file, offset)
        os.fsync(self._file)
        logger.warning(
            "The end of %s was cut off (line %d, byte offset %d, %d bytes): %s What is not wholly written was not "
            "acknowledged. Its bytes are kept in %s.",
            self.path,
            line,
            offset,
            len(torn),
            reason,
            kept,
        )


def read_log(path: Path, after: Cursor = START, until: int | None = None) -> Iterator[Record]:
    """Each record from `after` up to offset `until`, or to the last complete line; checked.

    It takes no lock: while another process appends, it reads what was there when it came to it.

    Raises:
        LogDamaged: a line is not what was written.
    """
    with path.open("rb") as file:
        file.seek(after.offset)
        for line in file:
            if not line.endswith(b"\n") or (until is not None and after.offset >= until):
                return
            try:
                record = decode_line(line, after)
            except InvalidLine as error:
                raise LogDamaged(path, after.position + 1, after.offset, str(error)) from error
            after = record.end
            yield record


def _anchor(file: int, offset: int) -> Cursor:
    """The cursor behind the line that ends at `offset`, by its own account."""
    start = _line_start(file, offset - 1)
    return cursor_behind(os.pread(file, offset - start, start), offset)


def _line_start(file: int, offset: int) -> int:
    """Where the line begins that the byte at `offset` is in."""
    block = 4096
    while True:
        start = max(0, offset - block)
        line_end = os.pread(file, offset - start, start).rfind(b"\n")
        if line_end >= 0 or start == 0:
            return start + line_end + 1
        block *= 4


def _lines_before(path: Path, offset: int) -> int:
    """How many lines end before `offset`."""
    with path.open("rb") as file:
        return sum(file.readline().endswith(b"\n") for _ in iter(lambda: file.tell() < offset, False))

"""The log as a file: one line an event, appended, and flushed to the disk before anybody hears of it.

To append and to flush are two steps, so that the next batch is decided and written while the disk is at work on this
one; a flush covers all that was written when it began.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from pathlib import Path

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import LogDamaged, StoreUnavailable
from lockstream.infrastructure.cutting import cut_off
from lockstream.infrastructure.disk_floor import DiskFloor
from lockstream.infrastructure.files import identity, require_in_place, sync_directory, take, write_all
from lockstream.infrastructure.line_codec import (
    InvalidLine,
    check_line,
    check_lines,
    encode_lines,
    line_of,
    stamp,
)
from lockstream.infrastructure.log_file import CHUNK, anchor, ids_from, line_start, lines_before, mendable, read_log
from lockstream.infrastructure.syncing import SyncThread, sync_data

CHECKED_AT_START = 16 * 1024 * 1024
"""Bytes at the end of the log that every start reads and checks: some 50,000 events, in 0.25 s.

`lockstream verify` reads all."""

logger = logging.getLogger(__name__)


class JsonlEventLog:
    """The one writer of a log file. Not for two threads at a time, but for `read`, `end` and `holds`."""

    def __init__(
        self,
        path: Path,
        acknowledged: Callable[[], int] = lambda: 0,
        disk_floor: int = 0,
        may_be_older: bool = False,
    ) -> None:
        """Take the log, make it if there is none, check its end and cut off a torn last line.

        The bytes cut off are kept beside the log, in a file whose name ends in `.torn-` and their offset. As many
        events as were `acknowledged`, as far as is known elsewhere, must be there, unless it `may_be_older`, being a
        copy; that is asked once the log is ours.
        While its disk has fewer bytes free than `disk_floor`, nothing should be appended.

        Raises:
            StoreInUse: another process has it.
            LogDamaged: a line is not what was written, or lines are missing at the end.
            StartRefused: no log can be there.
        """
        self.path, self._name = path, str(path)
        self.failure = ""
        self._sync_thread: SyncThread | None = None
        self._block: tuple[int, Mapping[str, int]] = (-1, {})
        self._file = take(path)
        self._may_be_older = may_be_older
        self._disk_floor = DiskFloor(self._file, path, disk_floor)
        self._identity = identity(os.fstat(self._file))
        try:
            sync_directory(path.parent)
            self._acknowledged = acknowledged()
            self.end = self._mend()
            self._require_acknowledged(self.end)
            # Lines that a killed process has written may not be on the disk; from now on we call them known.
            sync_data(self._file)
            self.durable = self.end
        except BaseException:
            os.close(self._file)
            raise

    @property
    def obstacle(self) -> str:
        if not self.failure:
            try:
                require_in_place(self._name, self._identity, self.durable.offset)
            except OSError as error:
                self._fail(error)
        return self.failure or self._disk_floor.obstacle

    def append(self, events: Sequence[Event]) -> None:
        self._write(*encode_lines(events, stamp(), self.end))

    def adopt(self, records: Sequence[Record]) -> None:
        """Write the records of another log, which follow the last one here, as they are.

        Raises:
            StoreUnavailable: none of them may be taken for written.
        """
        self._write(b"".join(map(line_of, records)), records[-1].end)

    def _write(self, lines: bytes, end: Cursor) -> None:
        self._require_writable()
        try:
            require_in_place(self._name, self._identity, self.end.offset, self.end.offset)
            write_all(self._file, lines)
        except OSError as error:
            raise self._fail(error) from error
        self.end = end

    def flush(self) -> None:
        self._require_writable()
        try:
            sync_data(self._file)
        except OSError as error:
            raise self._fail(error) from error
        self.durable = self.end

    def flush_aside(self, ended: Callable[[], object]) -> None:
        end = self.end

        def flushed(error: OSError | None) -> None:
            if error:
                self._fail(error)
            elif not self.failure:
                self.durable = end
            ended()

        self._sync_thread = self._sync_thread or SyncThread(self._file)
        self._sync_thread.begin(flushed)

    def ids(self, first: int, count: int) -> Mapping[str, int]:
        if first != self._block[0] or len(self._block[1]) < count:  # the log may have ended in the middle of it
            try:
                self._block = first, ids_from(self._file, first, count, self.end)
            except OSError as error:
                raise StoreUnavailable(f"The log {self.path} cannot be read ({error.strerror}).") from error
        return self._block[1]

    def read(self, after: Cursor) -> Iterator[Record]:
        return read_log(self.path, after, self.durable.offset, self._file)

    def holds(self, cursor: Cursor) -> bool:
        """Whether the record that `cursor` stands behind is in this log, at that place."""
        if not 0 < cursor.offset <= self.end.offset:
            return cursor == START
        try:
            return anchor(self._file, cursor.offset) == cursor
        except InvalidLine:
            return False

    def close(self) -> None:
        """Give the log up, for another process to take."""
        if self._sync_thread:
            self._sync_thread.close()
        os.close(self._file)

    def _require_writable(self) -> None:
        if self.failure:
            raise StoreUnavailable(self.failure)

    def _fail(self, error: OSError) -> StoreUnavailable:
        """Take nothing more, and nothing that was not flushed for written.

        What the disk holds now is unknown, and a second fsync may report success for data that the first one lost.
        Only reading the file again, at the next start, can tell.
        """
        if not self.failure:
            self.failure = (
                f"The log {self.path} could not be written ({error.strerror}). Nothing more is accepted until "
                "Lockstream is restarted and has read the log again; make sure first that the disk has room and works."
            )
            logger.critical("%s", self.failure)
        return StoreUnavailable(self.failure)

    def _mend(self) -> Cursor:
        """Check the last `CHECKED_AT_START` bytes, complete or cut off the last line, and find the end."""
        size = os.fstat(self._file).st_size
        end = self._first_checked(size)
        with self.path.open("rb") as file:
            file.seek(end.offset)
            for lines in batched(file, CHUNK):
                ends = check_lines(lines, end)
                end = ends[-1] if ends else end
                if len(ends) < len(lines):
                    return self._mend_from(lines[len(ends)], end, size)
        return end

    def _first_checked(self, size: int) -> Cursor:
        start = line_start(self._file, max(0, size - CHECKED_AT_START))
        if start == 0:
            return START
        try:
            return anchor(self._file, start)
        except InvalidLine as error:
            offset = line_start(self._file, start - 1)
            raise LogDamaged(self.path, lines_before(self.path, offset) + 1, offset, str(error)) from error

    def _mend_from(self, line: bytes, after: Cursor, size: int) -> Cursor:
        """Mend a log of `size` bytes that is right up to `after`, where `line` stands: keep the record that it begins
        with, if there is a whole one, and cut off the rest.
        """
        try:
            return check_line(line, after)
        except InvalidLine as error:
            reason = str(error)
        try:
            record = mendable(self.path, line, after, size, self._acknowledged)
        except InvalidLine as error:
            raise LogDamaged(self.path, after.position + 1, after.offset, str(error)) from error
        end = check_line(record + b"\n", after) if record else after
        self._require_acknowledged(end)
        if after.offset + len(record) < size:
            self._cut_off(after.offset + len(record), after.position + 1, reason)
        if record:
            write_all(self._file, b"\n")
        return end

    def _require_acknowledged(self, end: Cursor) -> None:
        if end.position < self._acknowledged and not self._may_be_older:
            raise LogDamaged(
                self.path,
                end.position + 1,
                end.offset,
                f"{self._acknowledged:,} events were acknowledged, by the projection beside it, and the log holds only "
                f"{end.position:,}. Where that is what you want, as after going back to an older copy of the log, "
                "`lockstream rebuild` makes the projection fit it.",
            )

    def _cut_off(self, offset: int, line: int, reason: str) -> None:
        kept = cut_off(self._file, self.path, offset, "torn")
        logger.warning(
            "The end of %s was cut off (line %d, byte offset %d, %d bytes): %s What is not wholly written was not "
            "acknowledged. Its bytes are kept in %s.",
            self.path,
            line,
            offset,
            kept.stat().st_size,
            reason,
            kept,
        )

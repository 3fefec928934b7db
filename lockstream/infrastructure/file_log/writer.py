"""The log writer: appends one line an event, and flushes the line before the event is acknowledged.

Append and flush are two steps. The next batch is decided and appended while the disk flushes the one before; a flush
covers all lines that were written before it began.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.codec.log_line import InvalidLine, encode_lines, encode_record
from lockstream.infrastructure.file_log.flush_thread import FlushThread
from lockstream.infrastructure.file_log.free_space import FreeSpaceGuard
from lockstream.infrastructure.file_log.reader import (
    LogReader,
    claimed_cursor,
    read_log,
)
from lockstream.infrastructure.file_log.recovery import recover
from lockstream.infrastructure.fs import (
    check_same_file,
    identity_of,
    open_locked,
    sync_data,
    sync_directory,
    write_all,
)
from lockstream.infrastructure.telemetry.histogram import DISK_SECONDS, Histogram

logger = logging.getLogger(__name__)


class LogWriter:
    """The only writer of a log file. For one thread, except `read`, `end` and `contains`."""

    def __init__(
        self,
        path: Path,
        acknowledged: Callable[[], int] = lambda: 0,
        *,
        min_free_bytes: int = 0,
        may_be_older: bool = False,
    ) -> None:
        """Lock the log, create it if it is missing, and recover its tail.

        `acknowledged` is called once the log is locked, and returns how many events are known elsewhere to be
        acknowledged. The log must hold as many, unless `may_be_older`: a restored copy may hold fewer. While the disk
        has less than `min_free_bytes` free, no event is accepted.

        Raises:
            LogLocked: another process has the log open.
            LogFileDamaged: a line is damaged, or lines are missing at the end.
            StartRefused: the file at `path` cannot be opened or created, or is not a regular file.
        """
        self.path, self._name = path, str(path)
        self.failure: str | None = None
        self._flush_thread: FlushThread | None = None
        self._block: tuple[int, Mapping[str, int]] = (-1, {})
        self._file = open_locked(path)
        self._identity = identity_of(self._file)
        self._free_space = FreeSpaceGuard(self._file, path, min_free_bytes)
        try:
            sync_directory(path.parent)
            self.end = recover(self._file, path, acknowledged(), may_be_older=may_be_older)
            # Lines of a killed process may not be on disk yet, but their events are duplicates from now on.
            sync_data(self._file)
            self.durable = self.end
        except BaseException:
            os.close(self._file)
            raise

    @property
    def unavailable_reason(self) -> str | None:
        """Why no event can be appended right now, or None. Reading it changes nothing."""
        if self.failure:
            return self.failure
        try:
            check_same_file(self._name, self._identity, self.durable.offset)
        except OSError as error:
            return _failure(self.path, error)
        return self._free_space.shortage

    @property
    def free_bytes(self) -> int:
        """The free space of the log's disk. Raises OSError."""
        return self._free_space.free_bytes

    @property
    def flush_seconds(self) -> Histogram:
        """The durations of flushes that ran beside the event loop."""
        return self._flush_thread.seconds if self._flush_thread else Histogram(DISK_SECONDS)

    def check_writable(self) -> None:
        """Check, before a batch is decided, that it can be appended.

        Raises:
            StoreUnavailable: no batch can be appended. The log has failed if its file was moved or changed.
        """
        self._require_no_failure()
        try:
            check_same_file(self._name, self._identity, self.end.offset, self.end.offset)
        except OSError as error:
            raise self._fail(error) from error
        if shortage := self._free_space.shortage:
            raise StoreUnavailable(shortage)

    def append(self, events: Sequence[Event], recorded_at: str) -> None:
        """Append `events` with this recorded time. They may be acknowledged only once they are durable.

        Raises:
            StoreUnavailable: none of the events is accepted.
        """
        lines, end = encode_lines(events, recorded_at, self.end)
        self._write(lines, end)

    def append_records(self, records: Sequence[Record]) -> None:
        """Append records of another log, which follow the last record here, unchanged.

        Raises:
            StoreUnavailable: none of the records was appended.
        """
        self.check_writable()
        self._write([encode_record(record) for record in records], records[-1].end)

    def flush(self) -> None:
        """Flush all appended records to disk.

        Raises:
            StoreUnavailable: the flush failed, so records that were not durable before are not accepted.
        """
        self._require_no_failure()
        try:
            sync_data(self._file)
        except OSError as error:
            raise self._fail(error) from error
        self.durable = self.end

    def begin_flush(self, on_flushed: Callable[[], object]) -> None:
        """Start to flush all appended records; the running event loop then calls `on_flushed`."""
        end = self.end

        def flushed(error: OSError | None) -> None:
            if error:
                self._fail(error)
            elif not self.failure:
                self.durable = end
            on_flushed()

        self._flush_thread = self._flush_thread or FlushThread(self._file)
        self._flush_thread.begin(flushed)

    def event_ids(self, first: int, count: int) -> Mapping[str, int]:
        """Return the ids and positions of up to `count` events from position `first` on.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        if first != self._block[0] or len(self._block[1]) < count:  # the log may have ended inside the block
            self._block = first, LogReader(self.path, self._file).event_ids(first, count, self.end)
        return self._block[1]

    def records(self, positions: Iterable[int]) -> list[Record]:
        """Return the records at these positions, which the log holds. They may not be durable yet.

        Raises:
            StoreUnavailable: the log cannot be read, or was altered.
        """
        return LogReader(self.path, self._file).records(positions, self.end)

    def reader(self) -> LogReader:
        """Return a reader of this log with a descriptor of its own."""
        return LogReader(self.path, os.dup(self._file))

    def read(self, after: Cursor) -> Iterator[Record]:
        """Yield each durable record after `after`. Raises what `read_log` raises."""
        return read_log(self.path, after, self.durable.offset, self._file)

    def contains(self, cursor: Cursor) -> bool:
        """Return whether this log has a record that ends at `cursor`."""
        if not 0 < cursor.offset <= self.end.offset:
            return cursor == START
        try:
            return claimed_cursor(self._file, cursor.offset) == cursor
        except InvalidLine:
            return False

    def close(self) -> None:
        """Close and unlock the log."""
        if self._flush_thread:
            self._flush_thread.close()
        os.close(self._file)

    def _write(self, lines: Sequence[bytes], end: Cursor) -> None:
        self._require_no_failure()
        try:
            # Checked again: deciding the batch takes time, and so does flushing the report of an import.
            check_same_file(self._name, self._identity, self.end.offset, self.end.offset)
            write_all(self._file, b"".join(lines))
        except OSError as error:
            raise self._fail(error) from error
        self.end = end

    def _require_no_failure(self) -> None:
        if self.failure:
            raise StoreUnavailable(self.failure)

    def _fail(self, error: OSError) -> StoreUnavailable:
        """Poison the log: nothing more is appended, and nothing unflushed is accepted.

        The content of the disk is unknown now, and a second fsync may succeed although the first one lost data. Only
        a restart, which reads the file again, can tell.
        """
        if not self.failure:
            self.failure = _failure(self.path, error)
            logger.critical("%s", self.failure, extra={"event_name": "log_failed", "position": self.durable.position})
        return StoreUnavailable(self.failure)


def _failure(path: Path, error: OSError) -> str:
    return (
        f"The log {path} could not be written ({error.strerror}). No event is accepted until Lockstream is restarted "
        "and has read the log again. First make sure that the disk has free space and works."
    )

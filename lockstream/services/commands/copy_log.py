"""Copy a whole log to another place or engine: the same positions, times and chain values."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from pathlib import Path
from typing import Protocol

from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import ExportDamaged, LogFileDamaged, LogMismatch
from lockstream.core.ports import OnProgress
from lockstream.core.wording import counted
from lockstream.infrastructure.codec.log_line import encode_record
from lockstream.infrastructure.file_log.reader import last_position, read_log

BATCH_RECORDS = 1_000
"""Records that are written together."""


class LogTarget(Protocol):
    """The destination of a copy: records of another log are appended to it, unchanged."""

    @property
    def end(self) -> Cursor: ...

    def append_records(self, records: Sequence[Record]) -> None:
        """Append records unchanged. Raises StoreUnavailable if none was appended."""

    def flush(self) -> None: ...

    def close(self) -> None: ...


def export_log(records: Iterable[Record]) -> Iterator[bytes]:
    """Yield each record as a line of a log file: a full export."""
    return map(encode_record, records)


def import_log(target: LogTarget, source: Path, on_progress: OnProgress) -> int:
    """Append the records of the full export `source` to `target`, and flush them; return their number.

    `target` is empty, or holds the first records of the same log, so an interrupted import can be started again.

    Raises:
        ExportDamaged: a line of `source` is damaged; the records before it were appended.
        LogMismatch: `target` holds another log.
        StoreUnavailable: `target` cannot be written.
        OSError: `source` cannot be read.
    """
    first, total = target.end, last_position(source)
    reached = START
    for records in batched(_read(source), BATCH_RECORDS):
        reached = records[-1].end
        _require_same(source, [record.end for record in records], first)
        if new := [record for record in records if record.end.position > first.position]:
            target.append_records(new)
        on_progress(reached.position, total)
    if reached.position < first.position:
        raise LogMismatch(
            f"The log holds {counted(first.position, 'event')}, and the full export {source} only "
            f"{reached.position:,}. Make a newer full export of the same log, and import that."
        )
    target.flush()
    return reached.position - first.position


def _require_same(source: Path, ends: Sequence[Cursor], first: Cursor) -> None:
    for end in ends:
        if end.position == first.position and end != first:
            raise LogMismatch(
                f"The log and {source} hold different events at position {end.position:,} or before. Import into an "
                "empty log, or into one that holds the beginning of the same log."
            )


def _read(source: Path) -> Iterator[Record]:
    """Yield the records of a full export, which is a log file whose last line must be complete."""
    end = START
    try:
        for record in read_log(source):
            end = record.end
            yield record
    except LogFileDamaged as damage:
        raise ExportDamaged(source, damage.position, damage.offset, damage.reason) from damage
    if end.offset != source.stat().st_size:
        reason = "the line does not have the form of a record; it is torn or was overwritten."
        raise ExportDamaged(source, end.position + 1, end.offset, reason)

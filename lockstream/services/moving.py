"""A log moved to another place or engine as it is: the same positions, times and chain values."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import batched
from pathlib import Path
from typing import Protocol

from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import ExportDamaged, LogDamaged, NotTheSameLog
from lockstream.infrastructure.line_codec import line_of
from lockstream.infrastructure.log_file import read_log

BATCH = 1_000
"""Records that are written together."""

_TORN = "the line has not the form of a record; it is torn or was overwritten."


class Adopting(Protocol):
    """A log that takes over the records of another."""

    @property
    def end(self) -> Cursor: ...

    def adopt(self, records: Sequence[Record]) -> None: ...


def export_records(records: Iterable[Record]) -> Iterator[bytes]:
    """Each record as a line of a log that is a file."""
    return map(line_of, records)


def adopt_records(log: Adopting, source: Path, watch: Callable[[Cursor], object]) -> int:
    """Write the records of the full export `source` to `log`, which is empty or holds the first of them.

    So one that broke off can be started again. Returns how many were written.

    Raises:
        ExportDamaged: a line of `source` is not what was written; those before it were taken over.
        NotTheSameLog: `log` holds something else.
        StoreUnavailable: `log` cannot be written.
        OSError: `source` cannot be read.
    """
    first = log.end
    reached = START
    for records in batched(_read(source), BATCH):
        reached = records[-1].end
        new = [record for record in records if record.end.position > first.position]
        _require_same(source, [record.end for record in records], first)
        if new:
            log.adopt(new)
        watch(reached)
    if reached.position < first.position:
        raise NotTheSameLog(f"The log holds {first.position:,} events, and {source} only {reached.position:,}.")
    return reached.position - first.position


def _require_same(source: Path, ends: Sequence[Cursor], first: Cursor) -> None:
    for end in ends:
        if end.position == first.position and end != first:
            raise NotTheSameLog(
                f"The log holds other events than {source}: they differ at position {end.position:,} or before. Only "
                "an empty log can take over another, or one that holds the beginning of the same."
            )


def _read(source: Path) -> Iterator[Record]:
    """A full export is what a log in a file is, but for its last line, which must be complete."""
    end = START
    try:
        for record in read_log(source):
            end = record.end
            yield record
    except LogDamaged as damage:
        raise ExportDamaged(source, damage.line, damage.offset, damage.reason) from damage
    if end.offset != source.stat().st_size:
        raise ExportDamaged(source, end.position + 1, end.offset, _TORN)

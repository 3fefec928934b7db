"""What only a human may decide: to go on without events that a damaged log can no longer give.

Nobody is asked about a torn last line; a start mends that by itself.
"""

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import LogDamaged
from lockstream.infrastructure.cutting import cut_off
from lockstream.infrastructure.embedded import acknowledged, projection_path, remove_projection
from lockstream.infrastructure.files import take
from lockstream.infrastructure.line_codec import InvalidLine, check_lines, looks_like_record
from lockstream.infrastructure.log_file import CHUNK, mendable, read_log


class Dropped(Struct, frozen=True):
    """What stands in a log from its first damaged line on."""

    reason: str
    """What is wrong with that line."""

    size: int
    """In bytes."""

    lines: int
    """Complete ones."""

    records: int
    """How many of the lines begin or end as records do."""


class Examined(Struct, frozen=True):
    """What was found in a log."""

    log: Path
    end: Cursor
    """Just behind the last complete record that is as it was written."""

    events: int
    """How many the log holds up to there, and with what a start can mend behind it."""

    acknowledged: int
    """How many events the projection has seen; 0 where there is none that can be asked."""

    torn: int
    """Bytes behind the last record that were not wholly written, and that the next start cuts off."""

    dropped: Dropped | None
    """What must be given up; None where the log's lines are right, but for a torn one that a start mends."""

    @property
    def whole(self) -> bool:
        """Whether a start takes the log as it is."""
        return self.dropped is None and self.acknowledged <= self.events

    def explain(self) -> list[str]:
        """What is wrong, and all that is lost, in sentences."""
        if self.whole:
            return [
                f"The log {self.log} is whole: {self.events:,} events. Nothing was changed.",
                *self._cut_at_a_start(),
            ]
        if self.dropped is None:
            said = [
                f"The log {self.log} is right as far as it goes, and holds {self.events:,} events.",
                "To go on without a backup, the projection must be removed, so that the next start makes it anew.",
            ]
        else:
            said = [
                f"The log {self.log} is damaged at line {self.end.position + 1} (byte offset {self.end.offset}): "
                f"{self.dropped.reason}",
                f"To go on without a backup, all from there on must be dropped: {self.dropped.size:,} bytes, with "
                f"{self.dropped.lines:,} complete lines, of which {self.dropped.records:,} look like records. "
                f"{self.events:,} events stay.",
            ]
        return [*said, self._lost()]

    def _cut_at_a_start(self) -> list[str]:
        if not self.torn:
            return []
        return [
            f"The {self.torn:,} bytes behind its last record were not wholly written, and so not acknowledged. The "
            "next start cuts them off, and keeps them beside the log."
        ]

    def _lost(self) -> str:
        if self.acknowledged > self.events:
            return (
                f"The projection has seen {self.acknowledged:,} events: at least "
                f"{self.acknowledged - self.events:,} that were acknowledged are lost."
            )
        if self.acknowledged:
            return (
                f"The projection has seen {self.acknowledged:,} events, and all of these stay. Those that were "
                "acknowledged after them are lost."
            )
        return (
            "There is no projection that can say how many events were acknowledged: take it that all that is dropped "
            "was."
        )


class Repair:
    """A log that is kept from every other process, to be examined and cut."""

    def __init__(self, log: Path) -> None:
        """Take the log.

        Raises:
            StoreInUse: another process has it.
            OSError: it cannot be used.
        """
        log.stat()  # a log that is not there is no log to make
        self._log = log
        self._file = take(log)

    def examine(self, watch: Callable[[Cursor], object]) -> Examined:
        """Find the first line that is not what was written. Changes nothing.

        Raises:
            OSError: the log cannot be read.
        """
        end, reason, torn = START, "", 0
        try:
            for record in read_log(self._log):
                end = record.end
                if end.position % CHUNK == 0:
                    watch(end)
        except LogDamaged as damage:
            reason = damage.reason
        line, events = self._line_behind(end), end.position
        seen = acknowledged(projection_path(self._log))
        if line and not check_lines([line], end):  # what a start decides about this line is decided in the same way
            size = os.fstat(self._file).st_size
            try:
                kept = mendable(self._log, line, end, size, seen)
                reason, events, torn = "", events + (kept != b""), size - end.offset - len(kept)
            except InvalidLine as error:
                reason = str(error)
        return Examined(self._log, end, events, seen, torn, self._behind(end, reason) if reason else None)

    def carry_out(self, found: Examined) -> list[str]:
        """Drop what must be dropped, and make sure that the projection fits; says what was done.

        Whoever is killed here leaves the log as it was, or a projection that has seen more than it. The next
        examination finds either.

        Raises:
            OSError: what is dropped cannot be kept, and nothing was changed; or something cannot be removed.
        """
        said = []
        if found.dropped:
            kept = cut_off(self._file, self._log, found.end.offset, "dropped")
            said.append(f"The log was cut at byte offset {found.end.offset}. What was dropped is kept in {kept}.")
        # Only now: until here the projection is what proves that events were acknowledged.
        if found.acknowledged > found.events:
            remove_projection(projection_path(self._log))
            said.append("The projection was removed; the next start makes it anew.")
        return said

    def close(self) -> None:
        """Give the log up, for another process to take."""
        os.close(self._file)

    def _line_behind(self, end: Cursor) -> bytes:
        with self._log.open("rb") as file:
            file.seek(end.offset)
            return file.readline()

    def _behind(self, end: Cursor, reason: str) -> Dropped:
        lines = records = 0
        with self._log.open("rb") as file:
            file.seek(end.offset)
            for line in file:
                if line.endswith(b"\n"):
                    lines += 1
                    records += looks_like_record(line)
            return Dropped(reason, file.tell() - end.offset, lines, records)

"""Repair a damaged log: drop all lines from the first damaged one on. Only an operator may decide to do so.

A torn tail needs no repair: a start truncates it.
"""

import os
from pathlib import Path

from msgspec import Struct

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import LogFileDamaged
from lockstream.core.ports import OnProgress
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.codec.log_line import InvalidLine, check_lines, looks_like_record
from lockstream.infrastructure.file_log.reader import CHUNK_LINES, last_position, read_log
from lockstream.infrastructure.file_log.recovery import Tail, recoverable_prefix, truncate_and_keep
from lockstream.infrastructure.fs import open_locked
from lockstream.infrastructure.stores.embedded import acknowledged, projection_path, remove_projection


class DroppedTail(Struct, frozen=True):
    """The part of a log from its first damaged line on."""

    reason: str
    """The fault of the first line."""

    size: int
    """Number of bytes."""

    lines: int
    """Number of complete lines."""

    records: int
    """Complete lines that begin or end like a record."""


class DamageReport(Struct, frozen=True):
    """The result of examining a log."""

    log: Path
    end: Cursor
    """The end of the last record before the first damage."""

    events: int
    """Events up to `end`, and 1 more if a start can recover the event after `end`."""

    acknowledged: int
    """Number of acknowledged events that the projection notes, or 0 without a readable projection."""

    torn_bytes: int
    """Bytes of the torn tail after the last record, which the next start truncates."""

    dropped: DroppedTail | None
    """The part that a repair drops, or None if no line is damaged."""

    @property
    def is_whole(self) -> bool:
        """Whether a start accepts the log as it is."""
        return self.dropped is None and self.acknowledged <= self.events

    def explain(self) -> list[str]:
        """Return sentences about the damage, and about all that a repair would lose."""
        if self.is_whole:
            whole = f"The log {self.log} is whole: {counted(self.events, 'event')}. Nothing was changed."
            return [whole, *self._explain_torn_tail()]
        if self.dropped is None:
            sentences = [
                f"The lines of the log {self.log} are right, and it holds {counted(self.events, 'event')}.",
                "To go on without a backup, the projection must be removed, so that the next start rebuilds it.",
            ]
        else:
            look = agreeing(self.dropped.records, "looks like a record", "look like records")
            sentences = [
                f"The log {self.log} is damaged at line {self.end.position + 1} (byte offset {self.end.offset}): "
                f"{self.dropped.reason}",
                f"To go on without a backup, everything from there on must be dropped: "
                f"{counted(self.dropped.size, 'byte')} with {counted(self.dropped.lines, 'complete line')}, of which "
                f"{self.dropped.records:,} {look}. {counted(self.events, 'event')} would remain.",
            ]
        return [*sentences, self._explain_loss()]

    def _explain_torn_tail(self) -> list[str]:
        if not self.torn_bytes:
            return []
        were, them = agreeing(self.torn_bytes, "was", "were"), agreeing(self.torn_bytes, "it", "them")
        return [
            f"{counted(self.torn_bytes, 'byte')} after its last record {were} never written completely, and so never "
            f"acknowledged. The next start truncates {them}, and keeps {them} beside the log."
        ]

    def _explain_loss(self) -> str:
        if self.acknowledged > self.events:
            return (
                f"The projection has seen {counted(self.acknowledged, 'event')}: at least "
                f"{counted(self.acknowledged - self.events, 'acknowledged event')} would be lost."
            )
        if self.acknowledged:
            remain = agreeing(self.acknowledged, "it remains", "all of these remain")
            return (
                f"The projection has seen {counted(self.acknowledged, 'event')}, and {remain}. Events that were "
                f"acknowledged after {agreeing(self.acknowledged, 'it', 'them')} would be lost."
            )
        return (
            "There is no projection to tell how many events were acknowledged. Assume that every dropped event was "
            "acknowledged."
        )


class Repair:
    """A log that is locked, to be examined and repaired."""

    def __init__(self, log: Path) -> None:
        """Open and lock the log.

        Raises:
            LogLocked: another process has the log open.
            OSError: the file cannot be used.
        """
        log.stat()  # raises an error for a missing log, which would be created otherwise
        self._log = log
        self._file = open_locked(log)

    def examine(self, on_progress: OnProgress) -> DamageReport:
        """Find the first damaged line. Changes nothing.

        Raises:
            OSError: the log cannot be read.
        """
        end, reason, torn_bytes = START, "", 0
        total = last_position(self._log)
        try:
            for record in read_log(self._log):
                end = record.end
                if end.position % CHUNK_LINES == 0:
                    on_progress(end.position, total)
        except LogFileDamaged as damage:
            reason = damage.reason
        line, events = self._line_at(end), end.position
        seen = acknowledged(projection_path(self._log))
        if line and not check_lines([line], end):  # a start uses the same function
            size = os.fstat(self._file).st_size
            try:
                kept = recoverable_prefix(Tail(self._log, line, end, size, seen))
                reason, events, torn_bytes = "", events + bool(kept), size - end.offset - len(kept)
            except InvalidLine as error:
                reason = str(error)
        dropped = self._tail_after(end, reason) if reason else None
        return DamageReport(self._log, end, events, seen, torn_bytes, dropped)

    def apply(self, report: DamageReport) -> list[str]:
        """Truncate the log before the damage, remove a projection that is ahead of it, and return sentences about both.

        A killed process leaves the log unchanged, or a projection with more events than the log holds. The next
        examination finds both cases.

        Raises:
            OSError: the dropped bytes cannot be kept, and nothing was changed. Or a file cannot be removed.
        """
        sentences = []
        if report.dropped:
            kept = truncate_and_keep(self._file, self._log, report.end.offset, "dropped")
            sentences.append(
                f"The log was truncated at byte offset {report.end.offset}. The dropped bytes are in {kept}."
            )
        # The projection is removed last, because it proves until then that events had been acknowledged.
        if report.acknowledged > report.events:
            remove_projection(projection_path(self._log))
            sentences.append("The projection was removed; the next start rebuilds it.")
        return sentences

    def close(self) -> None:
        """Close and unlock the log."""
        os.close(self._file)

    def _line_at(self, end: Cursor) -> bytes:
        with self._log.open("rb") as file:
            file.seek(end.offset)
            return file.readline()

    def _tail_after(self, end: Cursor, reason: str) -> DroppedTail:
        lines = records = 0
        with self._log.open("rb") as file:
            file.seek(end.offset)
            for line in file:
                if line.endswith(b"\n"):
                    lines += 1
                    records += looks_like_record(line)
            return DroppedTail(reason, file.tell() - end.offset, lines, records)

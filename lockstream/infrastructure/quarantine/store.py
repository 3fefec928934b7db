"""The quarantine of one machine: all entries in memory, and a file to which each change is written."""

import errno
import filecmp
import logging
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from msgspec.structs import replace

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.quarantine import (
    MALFORMED_BODIES,
    AcceptedEvent,
    Discard,
    Entry,
    EntryKind,
    EntryStatus,
    MalformedBody,
    QuarantineChanges,
    QuarantineLimits,
    QuarantineQuery,
    QuarantineTotals,
    put_last,
    with_reused_id,
)
from lockstream.core.errors import StartRefused, StoreUnavailable
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.codec.event_json import is_text_of
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.infrastructure.quarantine.entries import BoundedEntries
from lockstream.infrastructure.quarantine.journal import Journal, quarantine_path, read_lines
from lockstream.infrastructure.quarantine.lines import EntryLine, LeftLine, Line, MalformedLine, TotalsLine

SLACK_BYTES = 4 * 1024 * 1024
"""Bytes by which the file may exceed twice the size of its entries before it is replaced."""

logger = logging.getLogger(__name__)


def open_quarantine(
    log_path: Path,
    limits: QuarantineLimits,
    accepted_among: Callable[[Sequence[str]], Iterable[AcceptedEvent]],
    min_free_bytes: int = 0,
) -> "FileQuarantine":
    """Open the quarantine beside a log, and remove the entries of events that were accepted just before a crash.

    `accepted_among` is called with event ids, and returns the events of the log with these ids.

    Raises:
        StartRefused: the file cannot be read.
    """
    path = quarantine_path(log_path)
    try:
        store = FileQuarantine(limits, path, min_free_bytes)
    except OSError as error:
        raise StartRefused(
            f"The quarantine {path} cannot be read ({error.strerror or error}). Make it a file that Lockstream may "
            "read and write, move it away to begin an empty one, or set LOCKSTREAM_QUARANTINE to false."
        ) from error
    store.remove(accepted_among(list(store.refused_ids)))
    store.write(QuarantineChanges(utc_now()))  # drops what exceeds new bounds, and repairs a damaged file
    return store


class FileQuarantine:
    """Implements `ports.QuarantineStore` over a file, or in memory alone."""

    def __init__(self, limits: QuarantineLimits, path: Path | None = None, min_free_bytes: int = 0) -> None:
        """Read the file at `path`, if there is one. Lines that cannot be read are reported and left out.

        Nothing is written while the disk has less than `min_free_bytes` free.

        Raises:
            OSError: the file cannot be read.
        """
        self._limits, self._min_free_bytes = limits, min_free_bytes
        self._entries = BoundedEntries(limits)
        self._malformed: deque[MalformedBody] = deque(maxlen=MALFORMED_BODIES)
        self._totals = QuarantineTotals()
        self._journal = Journal(path) if path else None
        self.is_behind = False
        self._must_replace = False
        """Whether the next write must replace the whole file: it may lack entries, or end within a line."""

        if path:
            self._load(path)

    def remove(self, accepted: Iterable[AcceptedEvent]) -> None:
        """Remove the entries of accepted events. The next write removes them from the file."""
        changed: list[Line] = []
        self._must_replace = bool(self._remove_accepted(accepted, changed) or changed or self._must_replace)

    @property
    def refused_ids(self) -> Set[str]:
        return self._entries.refused_ids.keys()

    def write(self, changes: QuarantineChanges) -> int:
        merged = [self._entries.merge(entry) for entry in changes.entries]
        lines: list[Line] = [EntryLine(entry) for entry in merged if entry]
        left = self._remove_accepted(changes.accepted, lines)
        dropped = [entry.event_id for entry in self._entries.drop_excess(self._limits.oldest_at(changes.at))]
        lines += map(LeftLine, [*left, *dropped])
        lines += map(MalformedLine, self._add_malformed(changes))
        totals = self._totals
        totals.dropped += len(dropped) + changes.dropped
        totals.unchecked_duplicates += changes.unchecked_duplicates
        if dropped or changes.dropped or changes.unchecked_duplicates or changes.malformed_counts:
            lines.append(TotalsLine.of(totals, self._entries.last_number))
        try:
            self._write_lines(lines)
        except StoreUnavailable as error:
            if not self.is_behind:
                logger.warning("%s", error, extra={"event_name": "quarantine_write_failed"})
            self.is_behind = True
        return len(dropped) + changes.dropped

    def entry(self, event_id: str) -> Entry | None:
        return self._entries.by_id.get(event_id)

    def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        return self._entries.list(query, after, limit)

    def totals(self, lockers: Lockers | None = None) -> QuarantineTotals:
        if lockers is not None:
            own = [entry for entry in self._entries.by_id.values() if lockers.allow(entry.locker_id)]
            codes = Counter(entry.code for entry in own if entry.status is EntryStatus.OPEN)
            return QuarantineTotals(open=dict(codes), discarded=len(own) - codes.total())
        count_by_code = {code: count for code, count in self._entries.open.items() if count}
        return replace(
            self._totals,
            open=count_by_code,
            discarded=len(self._entries.by_id) - sum(count_by_code.values()),
            malformed=dict(self._totals.malformed),
        )

    def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        newest_first = [body for body in reversed(self._malformed) if after is None or body.number < after]
        return newest_first[:limit]

    def discard(self, event_id: str, discard: Discard) -> Entry | None:
        earlier = self._entries.by_id.get(event_id)
        if earlier is None:
            return None
        entry = replace(earlier, discard=discard)
        self._entries.put(entry)
        try:
            self._write_lines([EntryLine(entry)])
        except StoreUnavailable:
            self._entries.put(earlier)
            raise
        return entry

    def close(self) -> None:
        if self._journal:
            self._journal.close()

    def _remove_accepted(self, accepted: Iterable[AcceptedEvent], lines: list[Line]) -> list[str]:
        """Remove refused entries of accepted events, and return their ids.

        An entry with other content stays and gets the kind `reused_id`. The new line of such an entry is added to
        `lines`.
        """
        left = []
        for event, position in accepted:
            entry = self._entries.by_id.get(event.event_id)
            if entry is None or entry.kind is not EntryKind.REFUSED:
                continue
            if is_text_of(entry.body.encode(), event):
                self._entries.remove(event.event_id)
                left.append(event.event_id)
            else:
                reused = with_reused_id(entry, position)
                self._entries.put(reused)
                lines.append(EntryLine(reused))
        return left

    def _add_malformed(self, changes: QuarantineChanges) -> Iterator[MalformedBody]:
        """Keep malformed bodies, and yield them with their numbers. A body equal to the last one adds to its count."""
        for reason, number in changes.malformed_counts.items():
            self._totals.malformed[reason] = self._totals.malformed.get(reason, 0) + number
        for body in changes.malformed:
            stored = body.after(self._malformed[-1] if self._malformed else None)
            put_last(self._malformed, stored)
            yield stored

    def _require_free_space(self, path: Path) -> None:
        """Require the free space that the log needs for itself. Raises OSError."""
        if shutil.disk_usage(path.parent).free < self._min_free_bytes:
            raise OSError(errno.ENOSPC, "the disk has less free space than LOCKSTREAM_MIN_FREE_BYTES")

    def _write_lines(self, lines: list[Line]) -> None:
        """Append `lines` to the file, or replace a file that is too long or incomplete by all that is in memory.

        Raises:
            StoreUnavailable: the changes are in memory alone.
        """
        if self._journal is None or not (lines or self.is_behind or self._must_replace):
            return
        shortest = max(self._entries.bytes + SLACK_BYTES // 2, self._journal.replaced_size)
        is_long = self._journal.size > 2 * shortest
        try:
            self._require_free_space(self._journal.path)
            if self._must_replace or is_long:
                self._journal.replace(self._lines())
            else:
                self._journal.append(lines)
        except OSError as error:
            self._must_replace = True
            raise StoreUnavailable(
                f"The quarantine cannot be written to disk ({error.strerror or error}), and is kept in memory until it "
                "can. Make sure that the folder of the log is writable, and that its disk works and has free space."
            ) from error
        if self.is_behind:
            logger.info("The quarantine is written to disk again.", extra={"event_name": "quarantine_write_recovered"})
        self._must_replace = self.is_behind = False

    def _lines(self) -> Iterator[Line]:
        yield TotalsLine.of(self._totals, self._entries.last_number)
        yield from map(MalformedLine, self._malformed)
        yield from map(EntryLine, self._entries.by_id.values())

    def _load(self, path: Path) -> None:
        damaged: list[int] = []
        for number, line, _, is_torn in read_lines(path):
            if line:
                self._apply(line)
            elif not is_torn:
                damaged.append(number)
            self._must_replace = self._must_replace or is_torn or line is None
        self._entries.sort()
        self._journal = journal = Journal(path)
        with suppress(FileNotFoundError):
            journal.size = path.stat().st_size
        if damaged:
            copy = _kept_copy(path)
            logger.warning(
                "The quarantine %s has %s that cannot be read, the first one at line %d. Lockstream goes on without "
                "%s; the file %s.",
                path,
                counted(len(damaged), "line"),
                damaged[0],
                agreeing(len(damaged), "it", "them"),
                f"is kept as {copy}" if copy else "cannot be kept, and is replaced with the next write",
                extra={"event_name": "quarantine_damaged"},
            )

    def _apply(self, line: Line) -> None:
        match line:
            case EntryLine(entry):
                self._entries.put(entry)
            case LeftLine(event_id):
                self._entries.remove(event_id)
            case MalformedLine(body):
                put_last(self._malformed, body)
            case TotalsLine(dropped, unchecked_duplicates, malformed, last_number):
                self._entries.last_number = max(self._entries.last_number, last_number)
                self._totals = QuarantineTotals(
                    dropped=dropped, unchecked_duplicates=unchecked_duplicates, malformed=malformed
                )


def _kept_copy(path: Path) -> Path | None:
    """Copy a damaged file, unless a copy of it exists. Return the copy, or None if it cannot be written."""
    for name in chain([f"{path}.damaged"], (f"{path}.damaged-{number}" for number in count(2))):
        copy = Path(name)
        try:
            if not copy.exists():
                shutil.copyfile(path, copy)
            if filecmp.cmp(path, copy, shallow=False):
                return copy
        except OSError:  # such as a full disk
            return None
    return None

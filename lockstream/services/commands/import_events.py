"""Import events from a file: each is decided as if it had been posted.

Refused lines go to a report. The report is flushed before the log, so an interrupted import can be started again
(docs/decisions/0008).
"""

import os
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from operator import attrgetter
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent, NotAnImportReport
from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.ports import OnProgress, Store
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_archived

BATCH_LINES = 1_000
"""Lines that are decided and flushed together."""

_LINE_START = b'{"line":0,"code":"'
"""First bytes of each line of a report, except for its line number."""


class RefusedLine(Struct, frozen=True):
    """A line of the report: a line that was not imported, with its refusal."""

    line: int
    """Line number in the imported file, counted from 1."""

    code: str
    """The code of a refusal, or `malformed`."""

    detail: str
    text: str
    """The line unchanged, except that bytes which are not UTF-8 are replaced by U+FFFD."""


class _Line(Struct, frozen=True):
    number: int
    text: bytes
    end: int
    """Offset of the end of the line, in bytes."""


class ImportCounts(Struct):
    """Numbers of imported lines by outcome."""

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    refused_before: int = 0
    """Lines that the report of an earlier import has, which were not decided again."""

    @property
    def total(self) -> int:
        return self.accepted + self.duplicate + self.refused + self.refused_before


def import_events(
    store: Store,
    source: Path,
    report: Path,
    on_progress: OnProgress,
    after_batch: Callable[[], object] = lambda: None,
) -> ImportCounts:
    """Decide each line of `source`, and return the counts by outcome.

    Each batch is durable when `after_batch` is called.

    Refused lines are appended to `report`. Lines that the report already contains are not decided again: later events
    may have made such lines acceptable, and a second import must change nothing.

    Raises:
        StoreUnavailable: the last batch was not imported; start the import again.
        NotAnImportReport: `report` holds something else, or is `source` itself.
        OSError: a file cannot be used.
    """
    counts = ImportCounts()
    size = source.stat().st_size
    with source.open("rb") as file, report.open("ab+") as report_file:
        if os.path.sameopenfile(file.fileno(), report_file.fileno()):
            raise NotAnImportReport(report)
        refused_before = _read_report(report, report_file)
        for batch in batched(_lines(file), BATCH_LINES):
            lines = [line for line in batch if (line.number, _readable(line.text)) not in refused_before]
            counts.refused_before += len(batch) - len(lines)
            _import_batch(lines, store, counts, report_file)
            after_batch()
            end = batch[-1].end
            on_progress(counts.total, round(counts.total * max(size, end) / end))  # the size of a pipe is 0
    return counts


def _lines(file: IO[bytes]) -> Iterator[_Line]:
    """Yield the lines that are not blank. A byte order mark before the first line is skipped."""
    end = 0
    for number, line in enumerate(file, 1):
        end += len(line)
        if text := (line.removeprefix(BOM_UTF8) if number == 1 else line).strip():
            yield _Line(number, text, end)


def _read_report(path: Path, report: IO[bytes]) -> set[tuple[int, str]]:
    """Return the numbers and texts of the lines in the report of an earlier import.

    A torn last line of the report is removed: its batch was not imported. A crash may have left zeros at its end.
    """
    report.seek(0)
    content = report.read()
    complete = content[: content.rfind(b"\n") + 1]
    if not _is_torn_line(content[len(complete) :].rstrip(b"\0")):
        raise NotAnImportReport(path)
    try:
        lines = [msgspec.json.decode(line, type=RefusedLine) for line in complete.splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotAnImportReport(path) from error
    report.truncate(len(complete))
    return {(line.line, line.text) for line in lines}


def _is_torn_line(text: bytes) -> bool:
    """Return whether `text` can be the beginning of a line of a report."""
    return _LINE_START.startswith(re.sub(rb"[0-9]+", b"0", text, count=1)[: len(_LINE_START)])


def _import_batch(lines: Sequence[_Line], store: Store, counts: ImportCounts, report: IO[bytes]) -> None:
    refused: list[RefusedLine] = []
    events: list[tuple[_Line, Event]] = []
    for line, event in zip(lines, decode_archived([line.text for line in lines]), strict=True):
        if isinstance(event, MalformedEvent):
            refused.append(RefusedLine(line.number, "malformed", str(event), _readable(line.text)))
        else:
            events.append((line, event))

    def write_report(outcomes: Sequence[Outcome]) -> None:
        for (line, event), outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                refused.append(RefusedLine(line.number, outcome.code, outcome.explain(event), _readable(line.text)))
        refused.sort(key=attrgetter("line"))
        report.writelines(msgspec.json.encode(line) + b"\n" for line in refused)
        report.flush()
        os.fsync(report.fileno())

    outcomes = ingest([event for _, event in events], store.unit_of_work(), write_report)
    store.log.flush()
    counts.accepted += sum(isinstance(outcome, Accepted) for outcome in outcomes)
    counts.duplicate += sum(isinstance(outcome, Duplicate) for outcome in outcomes)
    counts.refused += len(refused)


def _readable(text: bytes) -> str:
    return text.decode(errors="replace")

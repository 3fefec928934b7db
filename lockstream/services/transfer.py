"""Events from a file, and to one."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from operator import attrgetter
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Record
from lockstream.core.errors import MalformedEvent, NoReport
from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.repositories import Store
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.event_codec import decode_archived, encode_event

BATCH = 1_000
"""Lines that are decided and flushed together."""


class RefusedLine(Struct, frozen=True):
    """A line of the report: what could not be imported, and why."""

    line: int
    code: str
    """A code of RULES, or `malformed`."""

    detail: str
    text: str
    """The line as it was; bytes that are not UTF-8 stand as U+FFFD."""


class _Line(Struct, frozen=True):
    number: int
    """Counted from 1."""

    text: bytes


class Imported(Struct):
    """How many lines became what."""

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    refused_before: int = 0


def import_events(store: Store, source: Path, report: Path) -> Iterator[Imported]:
    """Have each line of `source` decided as if it had been posted; yields the counts after each batch.

    Refused lines are appended to `report`. A line that stands there already, from an import before, is not decided
    again: what came after it may have made it acceptable, and importing twice is to change nothing.

    The report is on the disk before the log is, so an import that breaks off can be started again.

    Raises:
        StoreUnavailable: the batch was not taken; start the import again.
        NoReport: `report` is some other file.
        OSError: a file cannot be used.
    """
    counts = Imported()
    with source.open("rb") as file, report.open("ab+") as reported:
        refused_before = _read_report(report, reported)
        for batch in batched(_lines(file), BATCH):
            lines = [line for line in batch if (line.number, _readable(line.text)) not in refused_before]
            counts.refused_before += len(batch) - len(lines)
            _take_in(lines, store, counts, reported)
            if store.crowded:
                store.settle()
            yield counts
        store.settle()


def export_events(records: Iterable[Record], start: int, locker_id: str | None) -> Iterator[bytes]:
    """Each event from position `start` on, of one locker if it is named, as a line of JSON."""
    for record in records:
        if record.end.position >= start and locker_id in (None, record.event.locker_id):
            yield encode_event(record.event) + b"\n"


def _lines(file: Iterable[bytes]) -> Iterator[_Line]:
    for number, line in enumerate(file, 1):
        if text := line.strip():
            yield _Line(number, text)


def _read_report(path: Path, report: IO[bytes]) -> set[tuple[int, str]]:
    """What an import before has reported; a torn last line is removed, since its batch was not taken."""
    report.seek(0)
    content = report.read()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        lines = [msgspec.json.decode(line, type=RefusedLine) for line in whole.splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoReport(path) from error
    report.truncate(len(whole))
    return {(line.line, line.text) for line in lines}


def _take_in(lines: Sequence[_Line], store: Store, counts: Imported, report: IO[bytes]) -> None:
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

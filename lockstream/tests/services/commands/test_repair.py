"""The report of an examination counts the loss by a repair. Its nouns and verbs agree with their numbers."""

from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LogLocked
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.stores.embedded import projection_path, remove_projection
from lockstream.services.commands.repair import DamageReport, Repair
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record


def record_lines(log: Path, count: int) -> list[bytes]:
    """Record some events, with their projection, and return the lines of the log."""
    record(log, history()[:count])
    return log.read_bytes().splitlines(keepends=True)


def examine(log: Path) -> DamageReport:
    """Examine a log, and check that this changes no file."""
    before = files_beside(log)
    with closing(Repair(log)) as repair:
        report = repair.examine(ignore_progress)
    assert files_beside(log) == before
    return report


def apply(log: Path) -> list[str]:
    """Examine a log, and repair it. Return the sentences about the repair."""
    with closing(Repair(log)) as repair:
        return repair.apply(repair.examine(ignore_progress))


def alter(line: bytes) -> bytes:
    return line.replace(b"locker-1", b"locker-2")


@pytest.mark.parametrize(("count", "events"), [(0, "0 events"), (1, "1 event"), (2, "2 events")])
def test_a_whole_log_needs_no_repair(log_path: Path, count: int, events: str) -> None:
    record_lines(log_path, count)
    report = examine(log_path)
    assert report.is_whole
    assert report.explain() == [f"The log {log_path} is whole: {events}. Nothing was changed."]
    assert apply(log_path) == []


@pytest.mark.parametrize(
    ("torn", "sentence"),
    [
        (
            b"{",
            "1 byte after its last record was never written completely, and so never acknowledged. The next start "
            "truncates it, and keeps it beside the log.",
        ),
        (
            b'{"',
            "2 bytes after its last record were never written completely, and so never acknowledged. The next start "
            "truncates them, and keeps them beside the log.",
        ),
    ],
)
def test_a_torn_tail_needs_no_repair(log_path: Path, torn: bytes, sentence: str) -> None:
    lines = record_lines(log_path, 2)
    log_path.write_bytes(b"".join(lines) + torn)
    report = examine(log_path)
    assert report.is_whole
    assert report.explain()[1:] == [sentence]
    assert apply(log_path) == []
    assert log_path.read_bytes() == b"".join(lines) + torn


def test_an_event_that_a_start_can_recover_counts(log_path: Path) -> None:
    lines = record_lines(log_path, 2)
    log_path.write_bytes(b"".join(lines)[:-1])
    report = examine(log_path)
    assert (report.is_whole, report.events, report.end.position, report.torn_bytes) == (True, 2, 1, 0)


@pytest.mark.parametrize(
    ("left", "right", "remaining", "records", "lost"),
    [
        (1, 1, "1 event", "with 1 complete line, of which 1 looks like a record", "1 acknowledged event"),
        (2, 2, "2 events", "with 2 complete lines, of which 2 look like records", "2 acknowledged events"),
        (0, 2, "0 events", "with 2 complete lines, of which 2 look like records", "2 acknowledged events"),
    ],
)
def test_the_report_of_a_damaged_log_counts_what_would_be_lost(
    log_path: Path, left: int, right: int, remaining: str, records: str, lost: str
) -> None:
    # given a log whose projection has seen all, and which is damaged after its first `left` lines
    lines = record_lines(log_path, left + right)
    lines[left] = alter(lines[left])
    log_path.write_bytes(b"".join(lines))
    # when it is examined
    report = examine(log_path)
    # then the report names the damage and the loss
    assert not report.is_whole
    damage, dropped, loss = report.explain()
    offset = sum(map(len, lines[:left]))
    assert damage.startswith(f"The log {log_path} is damaged at line {left + 1} (byte offset {offset}): ")
    size = sum(map(len, lines[left:]))
    assert f"must be dropped: {size:,} bytes {records}. {remaining} would remain." in dropped
    assert loss == f"The projection has seen {counted_events(left + right)}: at least {lost} would be lost."


def counted_events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


def test_a_damaged_line_that_looks_like_no_record_is_counted_as_a_line(log_path: Path) -> None:
    lines = record_lines(log_path, 2)
    log_path.write_bytes(lines[0] + b"\n" + lines[1])
    dropped = examine(log_path).explain()[1]
    assert "with 2 complete lines, of which 1 looks like a record. 1 event would remain." in dropped


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (
            1,
            "The projection has seen 1 event, and it remains. Events that were acknowledged after it would be lost.",
        ),
        (
            2,
            "The projection has seen 2 events, and all of these remain. Events that were acknowledged after them "
            "would be lost.",
        ),
    ],
)
def test_a_projection_that_has_seen_fewer_events_cannot_tell_what_would_be_lost(
    log_path: Path, seen: int, sentence: str
) -> None:
    record(log_path, history()[:seen])
    older = projection_path(log_path).read_bytes()
    record(log_path, history()[seen:5])
    projection_path(log_path).write_bytes(older)
    lines = log_path.read_bytes().splitlines(keepends=True)
    log_path.write_bytes(b"".join([*lines[:3], alter(lines[3]), *lines[4:]]))
    assert examine(log_path).explain()[2] == sentence
    # when it is repaired, then the projection stays
    [truncated] = apply(log_path)
    assert "was truncated at byte offset" in truncated
    assert projection_path(log_path).read_bytes() == older
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_without_a_projection_every_dropped_event_may_have_been_acknowledged(log_path: Path) -> None:
    lines = record_lines(log_path, 2)
    remove_projection(projection_path(log_path))
    log_path.write_bytes(lines[0] + alter(lines[1]))
    assert examine(log_path).explain()[2].startswith("There is no projection to tell how many events")


@pytest.mark.parametrize(
    ("left", "holds", "lost"),
    [(1, "holds 1 event.", "at least 2 acknowledged events"), (2, "holds 2 events.", "at least 1 acknowledged event ")],
)
def test_a_log_that_lost_its_end_needs_a_repair_although_its_lines_are_right(
    log_path: Path, left: int, holds: str, lost: str
) -> None:
    lines = record_lines(log_path, 3)
    log_path.write_bytes(b"".join(lines[:left]))
    report = examine(log_path)
    assert not report.is_whole
    right, _, loss = report.explain()
    assert right.endswith(holds)
    assert loss.startswith(f"The projection has seen 3 events: {lost}")
    # when it is repaired, then the next start accepts it
    assert apply(log_path) == ["The projection was removed; the next start rebuilds it."]
    assert log_path.read_bytes() == b"".join(lines[:left])
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_repair_keeps_the_dropped_bytes_and_makes_the_log_whole(log_path: Path) -> None:
    lines = record_lines(log_path, 3)
    log_path.write_bytes(b"".join([lines[0], alter(lines[1]), lines[2]]))
    offset = len(lines[0])
    kept = log_path.with_name(f"{log_path.name}.dropped-{offset}")
    assert apply(log_path) == [
        f"The log was truncated at byte offset {offset}. The dropped bytes are in {kept}.",
        "The projection was removed; the next start rebuilds it.",
    ]
    assert log_path.read_bytes() == lines[0]
    assert kept.read_bytes() == alter(lines[1]) + lines[2]
    assert examine(log_path).is_whole
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_log_in_use_is_refused_and_a_missing_log_is_not_created(log_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Repair(log_path)
    assert not log_path.exists()
    record_lines(log_path, 1)
    with closing(Repair(log_path)), pytest.raises(LogLocked):
        Repair(log_path)

"""A full export and its import copy a log byte for byte, and go on after an interruption."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from lockstream.core.errors import ExportDamaged, LogMismatch, StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.services.commands import copy_log
from lockstream.services.commands.copy_log import export_log, import_log
from lockstream.tests.support.histories import history, record


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A full export of ten events."""
    log, source = tmp_path / "original.jsonl", tmp_path / "export.jsonl"
    record(log, history())
    source.write_bytes(b"".join(export_log(read_log(log))))
    assert source.read_bytes() == log.read_bytes()
    return source


@pytest.fixture
def target(log_path: Path) -> Iterator[LogWriter]:
    """An empty log."""
    with closing(LogWriter(log_path)) as target:
        yield target


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_log, "BATCH_RECORDS", 3)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def import_first(target: LogWriter, source: Path, count: int) -> None:
    """Import the first records of `source`, as an interrupted import does."""
    if records := list(islice(read_log(source), count)):
        target.append_records(records)
        target.flush()


def test_an_import_makes_the_log_identical_and_flushes_it(source: Path, target: LogWriter) -> None:
    assert import_log(target, source, ignore_progress) == 10
    assert target.path.read_bytes() == source.read_bytes()
    assert target.durable.position == 10


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 9, 10])
def test_an_interrupted_import_can_be_started_again(source: Path, target: LogWriter, count: int) -> None:
    import_first(target, source, count)
    assert import_log(target, source, ignore_progress) == 10 - count
    assert target.path.read_bytes() == source.read_bytes()
    assert import_log(target, source, ignore_progress) == 0


def test_an_empty_export_imports_nothing(source: Path, target: LogWriter) -> None:
    source.write_bytes(b"")
    assert import_log(target, source, ignore_progress) == 0
    assert target.path.read_bytes() == b""


def test_the_progress_is_reported_after_each_batch(source: Path, target: LogWriter) -> None:
    reported: list[tuple[int, int]] = []
    import_log(target, source, lambda reached, end: reported.append((reached, end)))
    assert reported == [(3, 10), (6, 10), (9, 10), (10, 10)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:4], lines[4].replace(b"locker-1", b"locker-2"), *lines[5:]],
        lambda lines: [*lines[:4], *lines[5:]],
        lambda lines: [*lines[:4], b"no record\n", *lines[4:]],
        lambda lines: [*lines[:4], lines[4][:50]],
    ],
    ids=["altered", "missing", "inserted", "torn"],
)
def test_a_damaged_export_is_imported_up_to_the_damage_at_most(
    source: Path, target: LogWriter, damage: Callable[[list[bytes]], list[bytes]]
) -> None:
    # given an export that is damaged at its fifth line
    lines = lines_of(source)
    source.write_bytes(b"".join(damage(lines)))
    # when it is imported, then the line is named
    with pytest.raises(ExportDamaged, match="is damaged at line 5 ") as raised:
        import_log(target, source, ignore_progress)
    assert raised.value.position == 5
    # and only lines before it were imported
    imported = lines_of(target.path)
    assert imported == lines[: len(imported)]
    assert len(imported) <= 4
    # when an export without damage is imported, then the import goes on
    source.write_bytes(b"".join(lines))
    assert import_log(target, source, ignore_progress) == 10 - len(imported)
    assert lines_of(target.path) == lines


def test_an_export_of_another_log_changes_nothing(source: Path, target: LogWriter, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    record(other, history("other"))
    import_first(target, other, 4)
    before = target.path.read_bytes()
    with pytest.raises(LogMismatch, match="different events at position 4 or before"):
        import_log(target, source, ignore_progress)
    assert target.path.read_bytes() == before


@pytest.mark.parametrize(
    ("held", "expected"), [(1, "The log holds 1 event, and "), (2, "The log holds 2 events, and ")]
)
def test_an_export_with_fewer_events_than_the_log_changes_nothing(
    source: Path, target: LogWriter, held: int, expected: str
) -> None:
    import_first(target, source, held)
    before = target.path.read_bytes()
    source.write_bytes(b"".join(lines_of(source)[: held - 1]))
    with pytest.raises(LogMismatch, match=expected) as raised:
        import_log(target, source, ignore_progress)
    assert f"only {held - 1}." in str(raised.value)
    assert target.path.read_bytes() == before


def test_an_import_into_a_log_that_was_moved_away_is_refused(source: Path, target: LogWriter) -> None:
    target.path.rename(target.path.with_name("moved.jsonl"))
    with pytest.raises(StoreUnavailable, match="could not be written"):
        import_log(target, source, ignore_progress)


def test_a_missing_export_is_an_error_of_the_file_system(source: Path, target: LogWriter) -> None:
    source.unlink()
    with pytest.raises(FileNotFoundError):
        import_log(target, source, ignore_progress)

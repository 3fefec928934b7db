"""Events of a file are decided line by line, and refused lines are reported."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import NotAnImportReport, StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.services.commands import import_events as import_module
from lockstream.services.commands.import_events import ImportCounts, import_events
from lockstream.tests.support.builders import Body, deposited, registered, reserved
from lockstream.tests.support.histories import CAPACITY

BOM = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8, which some programs write at the beginning of a file."""


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.jsonl"


def line(body: Body) -> bytes:
    return json.dumps(body).encode() + b"\n"


def reported(report: Path) -> list[tuple[int, str, str]]:
    """Return line number, code and text of each line of a report."""
    return [(entry["line"], entry["code"], entry["text"]) for entry in map(json.loads, report.read_text().splitlines())]


def test_each_line_is_accepted_a_duplicate_or_refused(store: MemoryStore, source: Path, report: Path) -> None:
    first, early = registered("c1"), deposited("r1")
    source.write_bytes(line(first) + b"\n" + line(first) + line(early) + b"no JSON\n" + line(reserved("r1", "c1")))
    counts = import_events(store, source, report, ignore_progress)
    assert counts == ImportCounts(accepted=2, duplicate=1, refused=2)
    assert counts.total == 5
    assert reported(report) == [
        (4, "unknown_reservation", json.dumps(early)),
        (5, "malformed", "no JSON"),
    ]


def test_a_byte_order_mark_before_the_first_line_is_skipped(store: MemoryStore, source: Path, report: Path) -> None:
    source.write_bytes(BOM + line(registered("c1")) + line(registered("c2")))
    assert import_events(store, source, report, ignore_progress) == ImportCounts(accepted=2)
    assert report.read_bytes() == b""


def test_a_refused_first_line_is_reported_without_the_byte_order_mark_and_not_decided_again(
    store: MemoryStore, source: Path, report: Path
) -> None:
    early = deposited("r1")
    source.write_bytes(BOM + line(early) + line(registered("c1")) + line(reserved("r1", "c1")))
    assert import_events(store, source, report, ignore_progress) == ImportCounts(accepted=2, refused=1)
    assert reported(report) == [(1, "unknown_reservation", json.dumps(early))]
    again = import_events(store, source, report, ignore_progress)
    assert again == ImportCounts(duplicate=2, refused_before=1)


@pytest.mark.parametrize("content", [BOM, BOM + b"\n", BOM + b"  \r\n\n"])
def test_a_file_with_only_a_byte_order_mark_holds_no_event(
    store: MemoryStore, source: Path, report: Path, content: bytes
) -> None:
    source.write_bytes(content)
    assert import_events(store, source, report, ignore_progress) == ImportCounts()
    assert report.read_bytes() == b""


def test_a_byte_order_mark_before_a_later_line_is_malformed(store: MemoryStore, source: Path, report: Path) -> None:
    """Joining two files may put a mark there. The line is reported, and not repaired in silence."""
    source.write_bytes(line(registered("c1")) + BOM + line(registered("c2")))
    assert import_events(store, source, report, ignore_progress) == ImportCounts(accepted=1, refused=1)
    [(number, code, _)] = reported(report)
    assert (number, code) == (2, "malformed")


def test_each_batch_is_durable_and_reported_when_the_callback_is_called(
    store: MemoryStore, source: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module, "BATCH_LINES", 2)
    source.write_bytes(b"".join([*(line(registered(str(number))) for number in range(4)), b"no JSON\n"]))
    seen: list[tuple[int, int, int]] = []

    def note() -> None:
        seen.append((store.log.durable.position, store.log.end.position, len(reported(report))))

    import_events(store, source, report, ignore_progress, note)
    assert seen == [(2, 2, 0), (4, 4, 0), (4, 4, 1)]


def test_the_progress_ends_with_the_number_of_lines(store: MemoryStore, source: Path, report: Path) -> None:
    progress: list[tuple[int, int]] = []
    source.write_bytes(b"".join(line(registered(str(number))) for number in range(2_500)))
    import_events(store, source, report, lambda reached, end: progress.append((reached, end)))
    assert [reached for reached, _ in progress] == [1_000, 2_000, 2_500]
    assert progress[-1] == (2_500, 2_500)
    assert all(2_300 < end < 2_700 for _, end in progress), "the total is estimated from the size of the file"


def test_a_torn_last_line_of_the_report_is_removed(store: MemoryStore, source: Path, report: Path) -> None:
    """Its batch was not imported, because the report is on disk before the log is."""
    source.write_bytes(b"no JSON\n")
    import_events(MemoryStore(), source, report, ignore_progress)
    whole = report.read_bytes()
    report.write_bytes(whole[:-10])
    assert import_events(store, source, report, ignore_progress) == ImportCounts(refused=1)
    assert report.read_bytes() == whole


@pytest.mark.parametrize("torn", [b"{", b'{"line":', b'{"line":2,"code":"malf\0\0\0', b"\0\0\0"])
def test_a_report_of_only_a_torn_line_is_written_afresh(
    store: MemoryStore, source: Path, report: Path, torn: bytes
) -> None:
    source.write_bytes(b"no JSON\n")
    report.write_bytes(torn)
    assert import_events(store, source, report, ignore_progress) == ImportCounts(refused=1)
    assert reported(report) == [(1, "malformed", "no JSON")]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["with a line end", "without"])
@pytest.mark.parametrize("content", [b"something else", b'{"line": 1}', b'{"event_id": "1"}', b"[]", b"\xff"])
def test_a_report_that_holds_something_else_is_left_alone(
    store: MemoryStore, source: Path, report: Path, content: bytes, end: bytes
) -> None:
    source.write_bytes(line(registered("c1")))
    report.write_bytes(content + end)
    with pytest.raises(NotAnImportReport, match="is not a report of an import"):
        import_events(store, source, report, ignore_progress)
    assert report.read_bytes() == content + end
    assert store.log.end.position == 0


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(registered("c1")).encode(),
        b"no JSON",
        b'{"line":1,"code":"malformed","detail":"","text":"no JSON"}\n',
        b"",
    ],
    ids=["an event", "a malformed line", "an earlier report", "nothing"],
)
@pytest.mark.parametrize("is_linked", [False, True], ids=["the same path", "a link"])
def test_the_imported_file_itself_is_refused_as_the_report(
    store: MemoryStore, source: Path, report: Path, content: bytes, is_linked: bool
) -> None:
    source.write_bytes(content)
    if is_linked:
        report.hardlink_to(source)
    with pytest.raises(NotAnImportReport):
        import_events(store, source, report if is_linked else source, ignore_progress)
    assert source.read_bytes() == content
    assert store.log.end.position == 0


def test_a_log_that_is_moved_away_while_the_report_is_written_gets_no_event(
    log_path: Path, source: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is flushed between the check of the log and the append, which may take a while."""
    moved = log_path.with_name("moved.jsonl")
    flush = os.fsync

    def move_and_flush(file: int) -> None:
        if log_path.exists():
            log_path.rename(moved)
        flush(file)

    source.write_bytes(line(registered("c1")))
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        monkeypatch.setattr(os, "fsync", move_and_flush)
        with pytest.raises(StoreUnavailable, match="could not be written"):
            import_events(store, source, report, ignore_progress)
    assert moved.read_bytes() == b""

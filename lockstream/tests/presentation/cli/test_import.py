"""`lockstream import`."""

import json
from pathlib import Path

import pytest

from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.presentation.cli.test_rebuild import killed_after
from lockstream.tests.support.builders import (
    Body,
    deposited,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import command, needs_strace, traced


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "older system.jsonl"


@pytest.fixture
def report(source: Path) -> Path:
    return source.with_name("older system.jsonl.refused.jsonl")


def write(source: Path, *lines: Body | bytes, end: bytes = b"\n") -> None:
    source.write_bytes(
        b"".join((json.dumps(line).encode() if isinstance(line, dict) else line) + end for line in lines)
    )


def reported(report: Path) -> list[tuple[int, str]]:
    """Line number and code of each line of a report."""
    return [(line["line"], line["code"]) for line in map(json.loads, report.read_text().splitlines())]


MIXED: list[Body | bytes] = [
    (first := registered("c1")),
    b"",
    b"this is no JSON",
    reserved("r1", "c1"),
    first,
    deposited("r2"),
    b'{"event_id": "x"}',
    b"\xff\xfe",
    reserved("r2", "c1"),
    b"   ",
    deposited("r1"),
    picked_up("r1"),
    reserved("r2", "c1"),
    fault_cleared(fault_reported(), "c1"),
]
REFUSED = [
    (3, "malformed"),
    (6, "unknown_reservation"),
    (7, "malformed"),
    (8, "malformed"),
    (9, "compartment_reserved"),
    (14, "unknown_fault"),
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_each_line_is_decided_and_the_refused_are_reported(
    log_path: Path, run: Run, source: Path, report: Path, end: bytes
) -> None:
    write(source, *MIXED, end=end)
    ended = run("import", source)
    assert ended.code == 0
    assert "5 accepted, 1 known already, 6 refused" in ended.said
    assert str(report) in ended.said
    assert reported(report) == REFUSED
    assert len(audited(log_path)) == 5
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_importing_twice_changes_nothing(log_path: Path, run: Run, source: Path, report: Path) -> None:
    write(source, *MIXED)
    run("import", source)
    before = log_path.read_bytes(), report.read_bytes()
    ended = run("import", source)
    assert ended.code == 0
    assert "0 accepted, 6 known already, 0 refused, 6 refused by an import before" in ended.said
    assert (log_path.read_bytes(), report.read_bytes()) == before


def test_a_refused_line_that_could_be_accepted_now_is_left_out(
    log_path: Path, run: Run, source: Path, report: Path
) -> None:
    write(source, deposited("r1"), registered("c1"), reserved("r1", "c1"))
    run("import", source)
    run("import", source)
    assert [entry["type"] for entry in audited(log_path)] == ["CompartmentRegistered", "ReservationCreated"]
    assert reported(report) == [(1, "unknown_reservation")]


def test_the_last_line_needs_no_end(log_path: Path, run: Run, source: Path) -> None:
    source.write_bytes(json.dumps(registered("c1")).encode())
    assert run("import", source).code == 0
    assert len(audited(log_path)) == 1


def test_the_report_goes_where_it_is_told_to(log_path: Path, run: Run, source: Path, report: Path) -> None:
    write(source, *MIXED)
    elsewhere = report.with_name("report.jsonl")
    assert run("import", source, "--report", elsewhere).code == 0
    assert reported(elsewhere) == REFUSED
    assert not report.exists()


def test_a_report_keeps_each_refused_line_as_it_was(log_path: Path, run: Run, source: Path, report: Path) -> None:
    write(source, *MIXED)
    run("import", source)
    texts = [json.loads(line)["text"] for line in report.read_text().splitlines()]
    assert texts[0] == "this is no JSON"
    assert json.loads(texts[1]) == MIXED[5]


def test_the_lines_of_a_log_can_be_imported(log_path: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "log.jsonl"
    record(other, history())
    assert run("import", other).code == 0
    assert hashes_after_replay(log_path) == hashes_after_replay(other) == hashes_after_start(log_path)
    before = log_path.read_bytes()
    assert "10 known already" in run("import", log_path).said
    assert log_path.read_bytes() == before


def test_a_missing_file_is_named_and_no_log_is_made_for_it(log_path: Path, run: Run, source: Path) -> None:
    run("import", source).in_a_sentence(str(source))
    assert not log_path.exists()


def test_a_report_that_is_none_is_named_and_left_alone(log_path: Path, run: Run, source: Path, report: Path) -> None:
    write(source, *MIXED)
    report.write_bytes(b"a shopping list\n")
    run("import", source).in_a_sentence(str(report))
    assert report.read_bytes() == b"a shopping list\n"


def test_a_report_whose_last_line_was_torn_by_a_kill_is_no_hindrance(
    log_path: Path, run: Run, source: Path, report: Path
) -> None:
    write(source, *MIXED)
    run("import", source)
    whole = report.read_bytes()
    report.write_bytes(whole[:-20])
    assert run("import", source).code == 0
    assert reported(report) == REFUSED
    assert len(audited(log_path)) == 5


@needs_strace
def test_an_import_that_broke_off_between_log_and_report_ends_as_one_that_did_not(
    log_path: Path, run: Run, source: Path, report: Path
) -> None:
    write(source, deposited("r1"), registered("c1"), reserved("r1", "c1"))
    report.touch()
    failing = traced(source.with_name("trace.txt"), report, "-e", "trace=write", "-e", "inject=write:error=ENOSPC")
    broken_off = command(log_path, "import", str(source), under=failing)
    assert broken_off.returncode == 1
    assert report.read_bytes() == b""
    assert run("import", source).code == 0
    assert [entry["type"] for entry in audited(log_path)] == ["CompartmentRegistered", "ReservationCreated"]
    assert reported(report) == [(1, "unknown_reservation")]


def test_an_import_that_was_killed_can_be_run_again(log_path: Path, run: Run, source: Path, report: Path) -> None:
    events = [event for number in range(800) for event in history(f"locker-{number}")]
    refused = [reserved("never", "nowhere") for _ in events]
    write(source, *(line for pair in zip(events, refused, strict=True) for line in pair))
    killed_after(len(events), log_path, "import", str(source))  # half of all lines
    assert 0 < log_path.read_bytes().count(b"\n") < len(events)
    assert run("import", source).code == 0
    assert [entry["event_id"] for entry in audited(log_path)] == [event["event_id"] for event in events]
    assert len(set(reported(report))) == len(reported(report)) == len(events)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)

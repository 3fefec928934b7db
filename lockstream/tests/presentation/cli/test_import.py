"""`lockstream import`."""

import json
from codecs import BOM_UTF8
from pathlib import Path

import pytest

from lockstream.tests.presentation.cli.killed_command import kill_after
from lockstream.tests.support.builders import (
    Body,
    deposited,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import command, needs_strace, traced

SOME_REFUSED = 3
"""The exit code if events were refused, by this import or by an earlier one."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The path of the file to import."""
    return tmp_path / "older system.jsonl"


@pytest.fixture
def report(source: Path) -> Path:
    """The default path of the report of refused lines."""
    return source.with_name("older system.jsonl.refused.jsonl")


def write(source: Path, *lines: Body | bytes, end: bytes = b"\n") -> None:
    source.write_bytes(
        b"".join((json.dumps(line).encode() if isinstance(line, dict) else line) + end for line in lines)
    )


def reported(report: Path) -> list[tuple[int, str]]:
    """Return, for each refused event in the report of an import, its line number in the imported file and its code."""
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
"""Five events that are accepted, one duplicate, six lines that are refused, and two blank lines."""

REFUSED = [
    (3, "malformed"),
    (6, "unknown_reservation"),
    (7, "malformed"),
    (8, "malformed"),
    (9, "compartment_reserved"),
    (14, "unknown_fault"),
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_an_import_decides_each_line_and_reports_the_refused_ones(
    log_path: Path, run_command: RunCommand, source: Path, report: Path, end: bytes
) -> None:
    write(source, *MIXED, end=end)
    result = run_command("import", source)
    assert result.exit_code == SOME_REFUSED
    assert "5 accepted, 1 duplicate, 6 refused" in result.errors
    assert str(report) in result.errors
    assert reported(report) == REFUSED
    assert len(audited(log_path)) == 5
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_an_import_without_refused_lines_exits_with_0_also_if_it_is_repeated(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, *history())
    first = run_command("import", source)
    assert (first.exit_code, first.errors) == (
        0,
        "10 accepted, 0 duplicate, 0 refused, 0 refused by an earlier import.\n",
    )
    second = run_command("import", source)
    assert (second.exit_code, second.errors) == (
        0,
        "0 accepted, 10 duplicate, 0 refused, 0 refused by an earlier import.\n",
    )
    assert report.read_bytes() == b""


def test_importing_a_file_twice_changes_nothing(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    # given
    write(source, *MIXED)
    run_command("import", source)
    before = log_path.read_bytes(), report.read_bytes()
    # when
    result = run_command("import", source)
    # then
    assert result.exit_code == SOME_REFUSED
    assert "0 accepted, 6 duplicate, 0 refused, 6 refused by an earlier import" in result.errors
    assert (log_path.read_bytes(), report.read_bytes()) == before


def test_a_reported_line_is_not_decided_again_even_if_it_would_be_accepted_now(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, deposited("r1"), registered("c1"), reserved("r1", "c1"))
    run_command("import", source)
    run_command("import", source)
    assert [entry["type"] for entry in audited(log_path)] == ["CompartmentRegistered", "ReservationCreated"]
    assert reported(report) == [(1, "unknown_reservation")]


def test_the_last_line_needs_no_line_end(log_path: Path, run_command: RunCommand, source: Path) -> None:
    source.write_bytes(json.dumps(registered("c1")).encode())
    assert run_command("import", source).exit_code == 0
    assert len(audited(log_path)) == 1


def test_a_byte_order_mark_before_the_first_line_is_ignored(
    log_path: Path, run_command: RunCommand, source: Path
) -> None:
    write(source, *history())
    source.write_bytes(BOM_UTF8 + source.read_bytes())
    assert run_command("import", source).exit_code == 0
    assert len(audited(log_path)) == 10


def test_a_byte_order_mark_before_another_line_is_malformed(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, registered("c1"), BOM_UTF8 + json.dumps(registered("c2")).encode())
    assert run_command("import", source).exit_code == SOME_REFUSED
    assert reported(report) == [(2, "malformed")]


def test_a_repeated_member_is_malformed(log_path: Path, run_command: RunCommand, source: Path, report: Path) -> None:
    write(source, json.dumps(registered("c1")).encode().replace(b'"c1"', b'"c1","a":1,"a":2'))
    assert run_command("import", source).exit_code == SOME_REFUSED
    assert reported(report) == [(1, "malformed")]


def test_the_report_option_names_the_report(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, *MIXED)
    elsewhere = report.with_name("report.jsonl")
    assert run_command("import", source, "--report", elsewhere).exit_code == SOME_REFUSED
    assert reported(elsewhere) == REFUSED
    assert not report.exists()


def test_a_report_contains_each_refused_line_unchanged(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, *MIXED)
    run_command("import", source)
    texts = [json.loads(line)["text"] for line in report.read_text().splitlines()]
    assert texts[0] == "this is no JSON"
    assert json.loads(texts[1]) == MIXED[5]


def test_the_lines_of_a_log_can_be_imported(log_path: Path, run_command: RunCommand, tmp_path: Path) -> None:
    # given another log
    other = tmp_path / "other" / "log.jsonl"
    other.parent.mkdir()
    record(other, history())
    # when it is imported
    assert run_command("import", other).exit_code == 0
    # then the state is the same
    assert hashes_after_replay(log_path) == hashes_after_replay(other) == hashes_after_start(log_path)
    # and the log can even be imported into itself
    before = log_path.read_bytes()
    assert "10 duplicate" in run_command("import", log_path).errors
    assert log_path.read_bytes() == before


def test_an_import_names_a_missing_file_and_creates_no_log(
    log_path: Path, run_command: RunCommand, source: Path
) -> None:
    run_command("import", source).assert_is_error(str(source))
    run_command("import", "--full", source).assert_is_error(str(source))
    assert not log_path.exists()


@pytest.mark.parametrize("folder", ["", ".", "..", "/"])
@pytest.mark.parametrize("options", [(), ("--full",)], ids=["", "full"])
def test_an_import_of_a_folder_is_an_error_of_usage_and_creates_no_log(
    log_path: Path, run_command: RunCommand, folder: str, options: tuple[str, ...]
) -> None:
    result = run_command("import", *options, folder)
    assert result.exit_code == 2
    assert f"{folder or '.'!r} is a folder. Name a file with events." in result.errors
    assert not log_path.exists()


def test_an_import_does_not_overwrite_a_file_that_is_not_a_report(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, *MIXED)
    report.write_bytes(b"a shopping list\n")
    run_command("import", source).assert_is_error(str(report), "--report")
    assert report.read_bytes() == b"a shopping list\n"


def test_an_import_continues_a_report_whose_last_line_is_torn(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    write(source, *MIXED)
    run_command("import", source)
    whole = report.read_bytes()
    report.write_bytes(whole[:-20])
    assert run_command("import", source).exit_code == SOME_REFUSED
    assert reported(report) == REFUSED
    assert len(audited(log_path)) == 5


def test_a_full_import_equals_the_exported_log_and_can_be_repeated(
    log_path: Path, run_command: RunCommand, lines: list[bytes], source: Path
) -> None:
    # given a full export
    source.write_bytes(run_command("export", "--full").output)
    other = log_path.with_name("other.jsonl")
    # when it is imported twice
    first = run_command("import", "--full", source, "--log", other)
    second = run_command("import", "--full", source, "--log", other)
    # then
    assert (first.exit_code, first.errors) == (0, "10 events imported unchanged.\n")
    assert (second.exit_code, second.errors) == (0, "0 events imported unchanged.\n")
    assert other.read_bytes() == b"".join(lines)


def test_an_import_creates_no_log_beside_a_projection_that_has_seen_events(
    log_path: Path, run_command: RunCommand, lines: list[bytes], source: Path
) -> None:
    # given a log that is gone
    write(source, *history("other"))
    log_path.unlink()
    before = files_beside(log_path)
    # when events are imported, then nothing is created
    run_command("import", source).assert_is_error(f"The log {log_path} is missing", "has seen 10 events")
    assert files_beside(log_path) == before


def test_a_full_import_puts_a_missing_log_back(
    log_path: Path, run_command: RunCommand, lines: list[bytes], source: Path
) -> None:
    source.write_bytes(run_command("export", "--full").output)
    log_path.unlink()
    assert run_command("import", "--full", source).errors == "10 events imported unchanged.\n"
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_full_import_refuses_a_report(log_path: Path, run_command: RunCommand, source: Path) -> None:
    write(source, *MIXED)
    result = run_command("import", "--full", source, "--report", "report.jsonl")
    assert result.exit_code == 2
    assert "--full refuses no line, so it writes no --report." in result.errors


@needs_strace
def test_an_import_that_cannot_write_its_report_can_be_repeated(
    log_path: Path, run_command: RunCommand, source: Path, report: Path
) -> None:
    """The report is written before the log. Otherwise, the second import would accept line 1."""
    # given an import whose report could not be written
    write(source, deposited("r1"), registered("c1"), reserved("r1", "c1"))
    report.touch()
    failing = traced(source.with_name("trace.txt"), report, "-e", "trace=write", "-e", "inject=write:error=ENOSPC")
    interrupted = command(log_path, "import", str(source), under=failing)
    assert interrupted.returncode == 1
    assert report.read_bytes() == b""
    # when
    assert run_command("import", source).exit_code == SOME_REFUSED
    # then
    assert [entry["type"] for entry in audited(log_path)] == ["CompartmentRegistered", "ReservationCreated"]
    assert reported(report) == [(1, "unknown_reservation")]


def test_a_killed_import_can_be_repeated(log_path: Path, run_command: RunCommand, source: Path, report: Path) -> None:
    # given an import that was killed after half of the lines
    events = [body for number in range(800) for body in history(f"locker-{number}")]
    refused = [reserved("never", "nowhere") for _ in events]
    write(source, *(line for pair in zip(events, refused, strict=True) for line in pair))
    kill_after(len(events), log_path, "import", str(source))
    assert 0 < log_path.read_bytes().count(b"\n") < len(events)
    # when
    assert run_command("import", source).exit_code == SOME_REFUSED
    # then nothing is missing, and nothing is there twice
    assert [entry["event_id"] for entry in audited(log_path)] == [event["event_id"] for event in events]
    assert len(set(reported(report))) == len(reported(report)) == len(events)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)

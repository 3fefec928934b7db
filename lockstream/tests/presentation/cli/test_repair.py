"""`lockstream repair`: its report, and its changes after consent."""

import os
import pty
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.commands import CommandResult, RunCommand
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import NO_SPACE, Server, command, redirected

type Lines = list[bytes]


@pytest.fixture
def damaged(log_path: Path, lines: Lines) -> Lines:
    """The lines of a log whose third line was altered."""
    lines[2] = lines[2].replace(b"1250", b"9999")
    log_path.write_bytes(b"".join(lines))
    return lines


def dropped_files(log: Path) -> list[bytes]:
    """Return the content of each file in which a repair has kept dropped bytes, in the order of the names."""
    return [path.read_bytes() for path in sorted(log.parent.glob("*.dropped-*"))]


def assert_starts(log: Path) -> None:
    assert hashes_after_start(log) == hashes_after_replay(log)


def test_repair_does_not_ask_if_standard_input_is_closed(log_path: Path, damaged: Lines) -> None:
    result = command(log_path, "repair", under=redirected("<&-"))
    assert result.returncode == 1
    assert b"Cannot ask for confirmation" in result.stderr
    assert log_path.read_bytes() == b"".join(damaged)


def test_repair_leaves_a_whole_log_unchanged(log_path: Path, run_command: RunCommand, lines: Lines) -> None:
    before = files_beside(log_path)
    for result in (run_command("repair"), run_command("repair", "--yes")):
        assert (result.exit_code, result.errors) == (
            0,
            f"The log {log_path} is whole: 10 events. Nothing was changed.\n",
        )
    assert files_beside(log_path) == before


def test_repair_leaves_an_empty_log_unchanged(log_path: Path, run_command: RunCommand) -> None:
    hashes_after_start(log_path)
    assert run_command("repair", "--yes").exit_code == 0
    assert log_path.read_bytes() == b""


def test_repair_drops_unwritten_sectors_of_acknowledged_events_and_a_rebuild_does_not(
    log_path: Path, run_command: RunCommand
) -> None:
    """A power cut may leave such sectors in the last flush. Here, the projection has seen the events in them."""
    # given
    record(log_path, [body for number in range(4) for body in history(f"locker-{number}")])
    content = bytearray(log_path.read_bytes())
    content[1024:1536] = bytes(512)
    log_path.write_bytes(content)
    first = bytes(content[:1024]).count(b"\n") + 1
    before = files_beside(log_path)
    # when
    run_command("rebuild").assert_is_error(f"line {first}", "`lockstream repair`")
    # then
    assert files_beside(log_path) == before
    # when
    result = run_command("repair", "--yes")
    # then
    assert result.exit_code == 0
    assert f"damaged at line {first}" in result.errors
    assert [content[-1:] for content in dropped_files(log_path)] == [b"\n"]
    assert_starts(log_path)


@pytest.mark.parametrize(
    ("torn", "counted", "them"),
    [
        (b'{"position":11,"rec', "19 bytes after its last record were", "them"),
        (b"garbage\n", "8 bytes after its last record were", "them"),
        (b"\x00" * 5_000, "5,000 bytes after its last record were", "them"),
        (b"{", "1 byte after its last record was", "it"),
    ],
    ids=["half a line", "garbage", "zeros", "one byte"],
)
def test_repair_leaves_a_torn_tail_to_the_next_start(
    log_path: Path, run_command: RunCommand, lines: Lines, torn: bytes, counted: str, them: str
) -> None:
    # given
    log_path.write_bytes(b"".join(lines) + torn)
    before = files_beside(log_path)
    # when
    result = run_command("repair", "--yes")
    # then
    assert (result.exit_code, result.errors.splitlines()) == (
        0,
        [
            f"The log {log_path} is whole: 10 events. Nothing was changed.",
            f"{counted} never written completely, and so never acknowledged. The next start truncates {them}, and "
            f"keeps {them} beside the log.",
        ],
    )
    assert files_beside(log_path) == before
    assert_starts(log_path)
    assert [path.read_bytes() for path in log_path.parent.glob("*.torn-*")] == [torn]


def test_repair_leaves_a_missing_last_line_end_to_the_next_start(
    log_path: Path, run_command: RunCommand, lines: Lines
) -> None:
    """The projection has seen the event of that line, and the event remains."""
    log_path.write_bytes(b"".join(lines)[:-1])
    before = files_beside(log_path)
    result = run_command("repair", "--yes")
    assert (result.exit_code, result.errors) == (0, f"The log {log_path} is whole: 10 events. Nothing was changed.\n")
    assert files_beside(log_path) == before
    assert_starts(log_path)


@pytest.mark.parametrize("path", [".", "log.jsonl", "missing/log.jsonl", "/sys/log.jsonl"])
def test_repair_names_a_missing_log_and_does_not_create_it(log_path: Path, run_command: RunCommand, path: str) -> None:
    run_command("repair", "--yes", EVENT_LOG_PATH=path).assert_is_error(path)
    assert files_beside(log_path) == {}


def test_repair_without_a_terminal_or_consent_reports_the_loss_and_changes_nothing(
    log_path: Path, run_command: RunCommand, damaged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A "y" from a pipe is not consent."""
    # given
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    before = files_beside(log_path)
    size = len(b"".join(damaged[2:]))
    # when
    result = run_command("repair")
    # then
    assert result.exit_code == 1
    assert result.errors.splitlines() == [
        f"The log {log_path} is damaged at line 3 (byte offset {len(damaged[0] + damaged[1])}): its chain value does "
        "not match its content and the records before it; a line was altered.",
        f"To go on without a backup, everything from there on must be dropped: {size:,} bytes with 8 complete lines, "
        "of which 8 look like records. 2 events would remain.",
        "The projection has seen 10 events: at least 8 acknowledged events would be lost.",
        "lockstream: Cannot ask for confirmation: standard input is not a terminal. Nothing was changed. Run "
        "`lockstream repair --yes` to go on without asking.",
    ]
    assert files_beside(log_path) == before


def test_repair_counts_one_line_and_one_event_as_such(log_path: Path, run_command: RunCommand, lines: Lines) -> None:
    # given
    log_path.write_bytes(lines[0] + lines[1].replace(b"c2", b"c3"))
    # when
    errors = run_command("repair", "--yes").errors
    # then
    size = len(lines[1])
    assert f"{size:,} bytes with 1 complete line, of which 1 looks like a record. 1 event would remain." in errors
    assert "at least 9 acknowledged events would be lost" in errors


def test_repair_keeps_the_dropped_bytes_and_the_next_start_shows_the_rest(
    log_path: Path, run_command: RunCommand, damaged: Lines
) -> None:
    # when
    kept = log_path.with_name(f"{log_path.name}.dropped-{len(damaged[0] + damaged[1])}")
    result = run_command("repair", "--yes")
    # then
    assert result.exit_code == 0
    assert str(kept) in result.errors
    assert files_beside(log_path) == {log_path.name: b"".join(damaged[:2]), kept.name: b"".join(damaged[2:])}
    assert_starts(log_path)
    # and the dropped events can be accepted again
    record(log_path, history()[2:])
    assert len(audited(log_path)) == 10
    assert run_command("repair").exit_code == 0


def test_repair_counts_complete_lines_and_recognizable_records(
    log_path: Path, run_command: RunCommand, lines: Lines
) -> None:
    garbage = b"garbage\n\n"
    log_path.write_bytes(b"".join([*lines[:4], garbage, *lines[5:], lines[0][:50]]))
    errors = run_command("repair", "--yes").errors
    size = len(garbage + b"".join(lines[5:])) + 50
    assert f"{size:,} bytes with 7 complete lines, of which 5 look like records. 4 events would remain." in errors
    assert_starts(log_path)


def test_repair_keeps_a_projection_that_has_seen_only_remaining_events(log_path: Path, run_command: RunCommand) -> None:
    # given a projection that has seen the two events before the damage
    record(log_path, history()[:2])
    projection = projection_path(log_path)
    older = projection.read_bytes()
    record(log_path, history()[2:])
    projection.write_bytes(older)
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    # when
    result = run_command("repair", "--yes")
    # then
    assert "has seen 2 events, and all of these remain" in result.errors
    assert projection.read_bytes() == older
    assert_starts(log_path)


def test_repair_cannot_tell_the_loss_without_a_projection(
    log_path: Path, run_command: RunCommand, damaged: Lines
) -> None:
    remove_database(projection_path(log_path))
    assert "no projection to tell how many" in run_command("repair", "--yes").errors
    assert_starts(log_path)


def test_repair_needs_consent_for_a_log_that_has_lost_its_end(
    log_path: Path, run_command: RunCommand, lines: Lines
) -> None:
    """A repair that is killed after truncating the log leaves the same files."""
    # given
    log_path.write_bytes(b"".join(lines[:4]))
    before = files_beside(log_path)
    # when
    result = run_command("repair")
    # then
    assert result.exit_code == 1
    assert "holds 4 events" in result.errors
    assert "has seen 10 events: at least 6 acknowledged events would be lost" in result.errors
    assert files_beside(log_path) == before
    # when
    assert run_command("repair", "--yes").exit_code == 0
    # then
    assert files_beside(log_path) == {log_path.name: b"".join(lines[:4])}
    assert_starts(log_path)


def test_a_second_repair_does_not_overwrite_the_bytes_that_the_first_has_kept(
    log_path: Path, run_command: RunCommand, damaged: Lines
) -> None:
    for edit in (b"one", b"two"):
        log_path.write_bytes(b"".join([*damaged[:2], damaged[2].replace(b"fragile", edit)]))
        assert run_command("repair", "--yes").exit_code == 0
    kept = dropped_files(log_path)
    assert [b"one" in kept[0], b"two" in kept[1], len(kept)] == [True, True, 2]


def test_repair_changes_nothing_beside_a_server(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history())
    with Server(log_path).start():
        before = log_path.read_bytes()
        run_command("repair", "--yes").assert_is_error("lockstream: The log ", "in use")
        assert log_path.read_bytes() == before


def test_repair_changes_nothing_if_the_dropped_bytes_cannot_be_kept(log_path: Path, damaged: Lines) -> None:
    before = files_beside(log_path)
    result = command(log_path, "repair", "--yes", under=NO_SPACE)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"lockstream: {log_path}.dropped-".encode())
    after = files_beside(log_path)
    assert {name: after[name] for name in before} == before
    assert dropped_files(log_path) == []


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of a terminal that is standard input. A person's answer is written there."""
    person, program = pty.openpty()
    with os.fdopen(program) as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)
        yield person
    os.close(person)


def answer(terminal: int, text: bytes, run_command: RunCommand) -> CommandResult:
    os.write(terminal, text)
    return run_command("repair")


@pytest.mark.parametrize("refusal", [b"n\n", b"\n"], ids=["no", "line end"])
def test_repair_changes_nothing_if_the_person_at_the_terminal_refuses(
    log_path: Path, run_command: RunCommand, damaged: Lines, terminal: int, refusal: bytes
) -> None:
    before = files_beside(log_path)
    result = answer(terminal, refusal, run_command)
    assert result.exit_code == 1
    assert "at least 8 acknowledged events would be lost" in result.errors
    assert result.errors.endswith("Nothing was changed.\n")
    assert files_beside(log_path) == before


def test_repair_truncates_the_log_if_the_person_at_the_terminal_agrees(
    log_path: Path, run_command: RunCommand, damaged: Lines, terminal: int
) -> None:
    result = answer(terminal, b"y\n", run_command)
    assert result.exit_code == 0, result.errors
    assert log_path.read_bytes() == b"".join(damaged[:2])
    assert_starts(log_path)

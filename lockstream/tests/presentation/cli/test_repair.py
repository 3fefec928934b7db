"""`lockstream repair`: what it says, and what it changes once it may."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import NO_SPACE, TIMEOUT_SECONDS, Server, command, environment

type Lines = list[bytes]


@pytest.fixture
def lines(log_path: Path) -> Lines:
    """Ten lines that the real system has written to the log."""
    record(log_path, history())
    return log_path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def damaged(log_path: Path, lines: Lines) -> Lines:
    """The same, and the third was altered since."""
    lines[2] = lines[2].replace(b"1250", b"9999")
    log_path.write_bytes(b"".join(lines))
    return lines


def assert_starts(log: Path) -> None:
    assert hashes_after_start(log) == hashes_after_replay(log)


def test_a_whole_log_stays_as_it_is(log_path: Path, run: Run, lines: Lines) -> None:
    before = files_beside(log_path)
    for ended in (run("repair"), run("repair", "--yes")):
        assert (ended.code, ended.said) == (0, f"The log {log_path} is whole: 10 events. Nothing was changed.\n")
    assert files_beside(log_path) == before


def test_an_empty_log_stays_as_it_is(log_path: Path, run: Run) -> None:
    hashes_after_start(log_path)
    assert run("repair", "--yes").code == 0
    assert log_path.read_bytes() == b""


def test_a_hole_in_what_was_acknowledged_is_asked_about_and_no_rebuild_drops_it(log_path: Path, run: Run) -> None:
    """A disk may leave one in a flush that did not end; here the projection has seen what is gone."""
    record(log_path, [body for number in range(4) for body in history(f"locker-{number}")])
    content = bytearray(log_path.read_bytes())
    content[1024:1536] = bytes(512)
    log_path.write_bytes(content)
    first = bytes(content[:1024]).count(b"\n") + 1
    before = files_beside(log_path)
    run("rebuild").in_a_sentence(f"line {first}", "`lockstream repair`")
    assert files_beside(log_path) == before
    ended = run("repair", "--yes")
    assert ended.code == 0
    assert f"damaged at line {first}" in ended.said
    assert [path.read_bytes()[-1:] for path in log_path.parent.glob("*.dropped-*")] == [b"\n"]
    assert_starts(log_path)


@pytest.mark.parametrize("torn", [b'{"position":11,"rec', b"garbage\n", b"\x00" * 5_000])
def test_a_torn_last_line_is_left_to_the_next_start(log_path: Path, run: Run, lines: Lines, torn: bytes) -> None:
    log_path.write_bytes(b"".join(lines) + torn)
    before = files_beside(log_path)
    ended = run("repair", "--yes")
    assert (ended.code, ended.said.splitlines()) == (
        0,
        [
            f"The log {log_path} is whole: 10 events. Nothing was changed.",
            f"The {len(torn):,} bytes behind its last record were not wholly written, and so not acknowledged. "
            "The next start cuts them off, and keeps them beside the log.",
        ],
    )
    assert files_beside(log_path) == before
    assert_starts(log_path)
    assert [path.read_bytes() for path in log_path.parent.glob("*.torn-*")] == [torn]


def test_a_last_line_that_lacks_only_its_end_is_left_to_the_next_start(log_path: Path, run: Run, lines: Lines) -> None:
    """The projection has seen it, and the event stays."""
    log_path.write_bytes(b"".join(lines)[:-1])
    before = files_beside(log_path)
    ended = run("repair", "--yes")
    assert (ended.code, ended.said) == (0, f"The log {log_path} is whole: 10 events. Nothing was changed.\n")
    assert files_beside(log_path) == before
    assert_starts(log_path)


@pytest.mark.parametrize("place", [".", "log.jsonl", "missing/log.jsonl", "/sys/log.jsonl"])
def test_a_log_that_is_not_there_is_named_and_not_made(
    run: Run, monkeypatch: pytest.MonkeyPatch, log_path: Path, place: str
) -> None:
    monkeypatch.setenv("EVENT_LOG_PATH", place)
    run("repair", "--yes").in_a_sentence(place)
    assert files_beside(log_path) == {}


def test_without_a_terminal_and_without_consent_it_says_what_would_be_lost_and_changes_nothing(
    log_path: Path, damaged: Lines
) -> None:
    before = files_beside(log_path)
    ended = command(log_path, "repair", standard_input=b"y\n")
    size = len(b"".join(damaged[2:]))
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines() == [
        f"The log {log_path} is damaged at line 3 (byte offset {len(damaged[0] + damaged[1])}): its content and the "
        "records before it do not give its chain value; a line was altered.",
        f"To go on without a backup, all from there on must be dropped: {size:,} bytes, with 8 complete lines, of "
        "which 8 look like records. 2 events stay.",
        "The projection has seen 10 events: at least 8 that were acknowledged are lost.",
        "lockstream: There is no terminal to ask on, so nothing was changed. `lockstream repair --yes` does not ask.",
    ]
    assert files_beside(log_path) == before


def test_what_is_dropped_is_kept_and_the_next_start_shows_what_is_left(
    log_path: Path, run: Run, damaged: Lines
) -> None:
    kept = log_path.with_name(f"{log_path.name}.dropped-{len(damaged[0] + damaged[1])}")
    ended = run("repair", "--yes")
    assert ended.code == 0
    assert str(kept) in ended.said
    assert files_beside(log_path) == {log_path.name: b"".join(damaged[:2]), kept.name: b"".join(damaged[2:])}
    assert_starts(log_path)
    record(log_path, history()[2:])
    assert len(audited(log_path)) == 10
    assert run("repair").code == 0


def test_it_counts_what_stands_there(log_path: Path, run: Run, lines: Lines) -> None:
    garbage = b"garbage\n\n"
    log_path.write_bytes(b"".join([*lines[:4], garbage, *lines[5:], lines[0][:50]]))
    said = run("repair", "--yes").said
    size = len(garbage + b"".join(lines[5:])) + 50
    assert f"{size:,} bytes, with 7 complete lines, of which 5 look like records. 4 events stay." in said
    assert_starts(log_path)


def test_a_projection_that_has_seen_no_more_stays(log_path: Path, run: Run) -> None:
    record(log_path, history()[:2])
    projection = projection_path(log_path)
    older = projection.read_bytes()
    record(log_path, history()[2:])
    projection.write_bytes(older)
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    ended = run("repair", "--yes")
    assert "has seen 2 events, and all of these stay" in ended.said
    assert projection.read_bytes() == older
    assert_starts(log_path)


def test_without_a_projection_nobody_knows_what_was_acknowledged(log_path: Path, run: Run, damaged: Lines) -> None:
    remove_database(projection_path(log_path))
    assert "no projection that can say how many" in run("repair", "--yes").said
    assert_starts(log_path)


def test_a_log_that_has_lost_its_end_needs_the_same_consent(log_path: Path, run: Run, lines: Lines) -> None:
    """It is also what a repair leaves that was killed behind its cut."""
    log_path.write_bytes(b"".join(lines[:4]))
    before = files_beside(log_path)
    ended = run("repair")
    assert ended.code == 1
    assert "holds 4 events" in ended.said
    assert "has seen 10 events: at least 6 that were acknowledged are lost" in ended.said
    assert files_beside(log_path) == before
    assert run("repair", "--yes").code == 0
    assert files_beside(log_path) == {log_path.name: b"".join(lines[:4])}
    assert_starts(log_path)


def test_what_was_dropped_before_is_never_overwritten(log_path: Path, run: Run, damaged: Lines) -> None:
    for edit in (b"one", b"two"):
        log_path.write_bytes(b"".join([*damaged[:2], damaged[2].replace(b"fragile", edit)]))
        assert run("repair", "--yes").code == 0
    kept = [path.read_bytes() for path in sorted(log_path.parent.glob("*.dropped-*"))]
    assert [b"one" in kept[0], b"two" in kept[1], len(kept)] == [True, True, 2]


def test_beside_a_server_it_changes_nothing(log_path: Path) -> None:
    record(log_path, history())
    with Server(log_path).start():
        before = log_path.read_bytes()
        ended = command(log_path, "repair", "--yes")
        assert ended.returncode == 1
        assert ended.stderr.startswith(b"lockstream: The log ")
        assert b"in use" in ended.stderr
        assert log_path.read_bytes() == before


def test_where_what_is_dropped_cannot_be_kept_nothing_is_changed(log_path: Path, damaged: Lines) -> None:
    before = files_beside(log_path)
    ended = command(log_path, "repair", "--yes", under=NO_SPACE)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"lockstream: {log_path}.dropped-".encode())
    after = files_beside(log_path)
    assert {name: after[name] for name in before} == before
    assert list(log_path.parent.glob("*.dropped-*")) == []


def answered(log: Path, answer: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the command on a terminal where somebody answers."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        return subprocess.run(
            [sys.executable, "-m", "lockstream", "repair"],
            env=environment(log),
            stdin=theirs,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("answer", [b"n\n", b"\n"])
def test_who_does_not_agree_is_left_alone(log_path: Path, damaged: Lines, answer: bytes) -> None:
    before = files_beside(log_path)
    ended = answered(log_path, answer)
    assert ended.returncode == 1
    assert b"at least 8 that were acknowledged are lost" in ended.stderr
    assert ended.stderr.endswith(b"Nothing was changed.\n")
    assert files_beside(log_path) == before


def test_who_agrees_on_a_terminal_is_heard(log_path: Path, damaged: Lines) -> None:
    ended = answered(log_path, b"y\n")
    assert ended.returncode == 0, ended.stderr
    assert log_path.read_bytes() == b"".join(damaged[:2])
    assert_starts(log_path)

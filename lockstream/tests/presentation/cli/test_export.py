"""`lockstream export`."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.builders import LOCKER, Body, registered
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, command, environment


def as_sent(body: Body) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_each_event_comes_back_as_it_was_sent_byte_for_byte(log_path: Path, run: Run, tmp_path: Path) -> None:
    bodies = [
        registered("ä", locker="Zürich «7»"),
        registered("c1", number=10**40, text='"\\\t', nested={"a": [1, None, True, {}]}),
    ]
    odd = as_sent(registered("c2")).replace(b'"c2"', rb'"c2","a":1.50,"b":1E+2,"c":"\u00e4\/","d":-0.0,"a":2')
    source = tmp_path / "source.jsonl"
    source.write_bytes(b"".join(map(as_sent, bodies)) + odd)
    assert run("import", source).code == 0
    assert run("export").out == source.read_bytes()


@pytest.mark.parametrize(("start", "expected"), [(1, 10), (4, 7), (10, 1), (11, 0)])
def test_it_begins_where_it_is_told_to(log_path: Path, run: Run, start: int, expected: int) -> None:
    bodies = history()
    record(log_path, bodies)
    ended = run("export", "--from", start)
    assert (ended.code, ended.out) == (0, b"".join(map(as_sent, bodies[10 - expected :])))


def test_one_locker_alone_can_be_exported(log_path: Path, run: Run) -> None:
    one, other = history(LOCKER), history("other")
    record(log_path, [event for pair in zip(one, other, strict=True) for event in pair])
    assert run("export", "--locker", "other").out == b"".join(map(as_sent, other))
    assert run("export", "--locker", "other", "--from", 18).out == b"".join(map(as_sent, other[8:]))
    assert run("export", "--locker", "nobody").out == b""


def test_a_position_that_can_be_none_is_refused(log_path: Path, run: Run) -> None:
    record(log_path, history())
    assert run("export", "--from", 0).code == 2


@pytest.mark.parametrize("part", [("--from", 3), ("--locker", LOCKER)])
def test_a_part_cannot_be_exported_in_full(log_path: Path, run: Run, part: tuple[str, object]) -> None:
    record(log_path, history())
    ended = run("export", "--full", *part)
    assert (ended.code, ended.out) == (2, b"")


def test_a_missing_log_is_named(log_path: Path, run: Run) -> None:
    run("export").in_a_sentence(str(log_path))
    assert files_beside(log_path) == {}


def test_damage_is_named_behind_the_lines_that_are_right(log_path: Path, run: Run) -> None:
    bodies = history()
    record(log_path, bodies)
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    ended = run("export")
    ended.in_a_sentence("line 3")
    assert ended.out == b"".join(map(as_sent, bodies[:2]))


def test_an_export_can_be_piped_into_an_import(log_path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "log.jsonl"
    record(log_path, [*history("one"), *history("two")])
    exported = command(log_path, "export")
    assert exported.returncode == 0
    imported = command(
        other, "import", "/dev/stdin", "--report", str(tmp_path / "refused.jsonl"), standard_input=exported.stdout
    )
    assert imported.returncode == 0, imported.stderr
    assert hashes_after_start(other) == hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_reader_that_has_enough_is_no_error_to_speak_of(log_path: Path) -> None:
    record(log_path, (registered(f"c{number}") for number in range(2_000)))
    export = shlex.join([sys.executable, "-m", "lockstream", "export"])
    piped = subprocess.run(
        ["/bin/sh", "-c", f"{export} | head -n 1"],
        env=environment(log_path),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    assert piped.stdout.count(b"\n") == 1
    assert piped.stderr == b""

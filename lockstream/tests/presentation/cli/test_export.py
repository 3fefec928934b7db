"""`lockstream export`."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from lockstream.core.entities.events import JsonText
from lockstream.core.entities.log import START
from lockstream.infrastructure.codec.log_line import encode_lines, utc_now
from lockstream.tests.support.builders import LOCKER, Body, event, registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.processes import command


def as_sent(body: Body) -> bytes:
    """Return a body in the form in which `export` writes it."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_an_export_writes_each_event_byte_for_byte_as_it_was_sent(run_command: RunCommand, tmp_path: Path) -> None:
    # given events with text and numbers of every form
    bodies = [
        registered("ä", locker="Zürich «7»"),
        registered("c1", number=10**40, text='"\\\t', nested={"a": [1, None, True, {}]}),
    ]
    odd = as_sent(registered("c2")).replace(b'"c2"', rb'"c2","a":1.50,"b":1E+2,"c":"\u00e4\/","d":-0.0')
    source = tmp_path / "source.jsonl"
    source.write_bytes(b"".join(map(as_sent, bodies)) + odd)
    # when they are imported and exported
    assert run_command("import", source).exit_code == 0
    # then not a byte differs
    assert run_command("export").output == source.read_bytes()


def test_an_export_writes_repeated_members_of_an_older_log(log_path: Path, run_command: RunCommand) -> None:
    """Earlier versions accepted them."""
    # given
    body = registered("c1")
    payload = b'{"compartment_id":"c1","a":1,"a":2}'
    recorded, _ = encode_lines([replace(event(body), payload_text=JsonText(payload))], utc_now(), START)
    log_path.write_bytes(b"".join(recorded))
    # when
    exported = run_command("export").output
    # then
    assert exported == as_sent(body).replace(b'{"compartment_id":"c1"}', payload)


@pytest.mark.parametrize(("start", "expected"), [(1, 10), (4, 7), (10, 1), (11, 0)])
def test_an_export_begins_at_the_given_position(
    log_path: Path, run_command: RunCommand, start: int, expected: int
) -> None:
    bodies = history()
    record(log_path, bodies)
    result = run_command("export", "--from", start)
    assert (result.exit_code, result.output) == (0, b"".join(map(as_sent, bodies[10 - expected :])))


def test_an_export_can_be_limited_to_one_locker(log_path: Path, run_command: RunCommand) -> None:
    one, other = history(LOCKER), history("other")
    record(log_path, [body for pair in zip(one, other, strict=True) for body in pair])
    assert run_command("export", "--locker", "other").output == b"".join(map(as_sent, other))
    assert run_command("export", "--locker", "other", "--from", 18).output == b"".join(map(as_sent, other[8:]))
    assert run_command("export", "--locker", "nobody").output == b""


def test_a_full_export_is_the_log_itself(log_path: Path, run_command: RunCommand, lines: list[bytes]) -> None:
    result = run_command("export", "--full")
    assert (result.exit_code, result.output, result.errors) == (0, b"".join(lines), "")


def test_an_export_refuses_a_position_below_one(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history())
    assert run_command("export", "--from", 0).exit_code == 2


@pytest.mark.parametrize("part", [("--from", 3), ("--locker", LOCKER)])
def test_a_full_export_refuses_to_be_limited(log_path: Path, run_command: RunCommand, part: tuple[str, object]) -> None:
    record(log_path, history())
    result = run_command("export", "--full", *part)
    assert (result.exit_code, result.output) == (2, b"")
    assert "Leave out --from and --locker" in result.errors


def test_an_export_writes_the_lines_before_the_damage_and_names_it(log_path: Path, run_command: RunCommand) -> None:
    bodies = history()
    record(log_path, bodies)
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    result = run_command("export")
    result.assert_is_error("line 3")
    assert result.output == b"".join(map(as_sent, bodies[:2]))


def test_an_export_can_be_piped_into_an_import(log_path: Path, tmp_path: Path) -> None:
    # given
    other = tmp_path / "other" / "log.jsonl"
    other.parent.mkdir()
    record(log_path, [*history("one"), *history("two")])
    # when
    exported = command(log_path, "export")
    assert exported.returncode == 0
    report = str(tmp_path / "refused.jsonl")
    imported = command(other, "import", "/dev/stdin", "--report", report, standard_input=exported.stdout)
    # then
    assert imported.returncode == 0, imported.stderr
    assert hashes_after_start(other) == hashes_after_start(log_path) == hashes_after_replay(log_path)

"""A damaged log: a start truncates a torn tail, and is refused for any damage before it."""

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import (
    CAPACITY,
    files_beside,
    hashes_after_replay,
    hashes_after_start,
    history,
    record,
)
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import command


@pytest.fixture
def lines(log_path: Path) -> list[bytes]:
    """Ten lines that the real store has written to the log."""
    record(log_path, history())
    return log_path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def foreign_line(tmp_path: Path) -> bytes:
    """The eleventh line of another log."""
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "log.jsonl"
    record(other, [*history("other"), picked_up("other-parcel-3", locker="other")])
    return other.read_bytes().splitlines(keepends=True)[10]


def torn_files(log: Path) -> list[bytes]:
    """Return the contents of the files in which starts have kept torn tails."""
    return [path.read_bytes() for path in log.parent.glob(f"{log.name}.torn-*")]


@pytest.mark.parametrize("missing", [1, 2, 100])
def test_a_start_after_a_torn_line_shows_the_state_of_the_complete_lines(
    log_path: Path, lines: list[bytes], missing: int
) -> None:
    log_path.write_bytes(b"".join(lines)[:-missing])
    remove_database(projection_path(log_path))  # it has seen the line, which proves that the line was not torn
    states = hashes_after_start(log_path)
    assert len(audited(log_path)) == (10 if missing == 1 else 9)
    assert states == hashes_after_replay(log_path)


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 5000, b"\xff\xfe\x80garbage", b"garbage\n", b"\n", b"{}\n", b'{"position":11']
)
def test_a_start_truncates_garbage_after_the_last_line_and_keeps_it(
    log_path: Path, lines: list[bytes], garbage: bytes
) -> None:
    log_path.write_bytes(b"".join(lines) + garbage)
    states = hashes_after_start(log_path)
    assert log_path.read_bytes() == b"".join(lines)
    assert torn_files(log_path) == [garbage]
    assert states == hashes_after_replay(log_path)


def test_a_start_truncates_a_torn_line_of_another_log_and_keeps_it(
    log_path: Path, lines: list[bytes], foreign_line: bytes
) -> None:
    for tail in (foreign_line[:-1], foreign_line[: len(foreign_line) // 2]):
        log_path.write_bytes(b"".join(lines) + tail)
        hashes_after_start(log_path)
        assert log_path.read_bytes() == b"".join(lines)
        assert tail in torn_files(log_path)


def test_a_complete_line_that_does_not_follow_refuses_the_start(
    log_path: Path, lines: list[bytes], foreign_line: bytes
) -> None:
    for tail in (foreign_line, lines[9], lines[0], lines[9].replace(b"position", b"pasition")):
        log_path.write_bytes(b"".join(lines) + tail)
        with pytest.raises(LogFileDamaged, match="line 11"):
            EmbeddedStore(log_path, CAPACITY)
        assert log_path.read_bytes() == b"".join(lines) + tail
        assert torn_files(log_path) == []


@pytest.mark.parametrize("lost", [1, 100, 1_000, None])
def test_a_log_that_lost_acknowledged_events_refuses_the_start_until_a_rebuild(
    log_path: Path, lines: list[bytes], lost: int | None
) -> None:
    """The projection is written after the log, so every event that it has seen was in the log."""
    # given a log that has lost its end, beside a projection that has seen all
    rest = b"".join(lines[:9]) if lost == 1 else b"".join(lines)[: -lost if lost else 0]
    log_path.write_bytes(rest)
    # when it is started, then the start is refused and has changed nothing
    with pytest.raises(LogFileDamaged, match=r"has seen 10 acknowledged events.*`lockstream rebuild`"):
        EmbeddedStore(log_path, CAPACITY)
    assert log_path.read_bytes() == rest
    # when the projection is rebuilt, then the start succeeds
    rebuild(log_path, CAPACITY)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_start_never_overwrites_bytes_that_an_earlier_start_has_kept(log_path: Path, lines: list[bytes]) -> None:
    for garbage in (b"one", b"two", b"three"):
        log_path.write_bytes(b"".join(lines) + garbage)
        hashes_after_start(log_path)
    assert sorted(torn_files(log_path)) == [b"one", b"three", b"two"]


def test_the_log_continues_where_it_was_truncated(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join(lines) + lines[0][:50])
    record(log_path, [picked_up("locker-1-parcel-3")])
    assert len(audited(log_path)) == 11


def refusal_of(log: Path, start: Callable[[], object]) -> LogFileDamaged:
    """Return the error of a start that must be refused, after checking that it changed nothing."""
    before = files_beside(log)
    with pytest.raises(LogFileDamaged) as raised:
        start()
    assert files_beside(log) == before
    error = raised.value
    assert str(log) in str(error)
    assert re.search(rf"line {error.position}\b.*byte offset {error.offset}\b", str(error))
    return error


def assert_refused_at(log: Path, lines: list[bytes], number: int) -> None:
    """Assert that a start is refused for the line of this number; the lines before it are `lines`."""
    error = refusal_of(log, lambda: EmbeddedStore(log, CAPACITY))
    assert f"The log {log} is damaged" in str(error)
    assert (error.position, error.offset) == (number, len(b"".join(lines[: number - 1])))


def with_flipped_bits(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield logs with one flipped bit each, and the line that has it; never the last line or the line end before it."""
    offset = 0
    for number, line in enumerate(lines[:-1], 1):
        content = len(line) - (number == len(lines) - 1)
        for index in [*range(0, content, 7 if FULL else 29), content - 1]:
            damaged = bytearray(b"".join(lines))
            damaged[offset + index] ^= 1 << (index % 8)
            yield number, bytes(damaged)
        offset += len(line)


def test_a_flipped_bit_before_the_last_line_refuses_the_start(log_path: Path, lines: list[bytes]) -> None:
    for number, damaged in with_flipped_bits(lines):
        log_path.write_bytes(damaged)
        error = refusal_of(log_path, lambda: LogWriter(log_path))
        assert (error.position, error.offset) == (number, len(b"".join(lines[: number - 1])))


@pytest.mark.parametrize(
    ("number", "damage"),
    [
        (4, lambda lines: [*lines[:3], *lines[4:]]),
        (1, lambda lines: lines[1:]),
        (3, lambda lines: [*lines[:2], lines[5], *lines[3:5], lines[2], *lines[6:]]),
        (9, lambda lines: [*lines[:8], lines[9], lines[8]]),
        (6, lambda lines: [*lines[:5], lines[4], *lines[5:]]),
        (3, lambda lines: [*lines[:2], lines[2].replace(b"1250", b"9999"), *lines[3:]]),
        (3, lambda lines: [*lines[:2], b"\n", *lines[3:]]),
        (3, lambda lines: [*lines[:2], b"\n", *lines[2:]]),
        (5, lambda lines: [*lines[:4], b"\x00" * len(lines[4]), b"\n", *lines[5:]]),
        (2, lambda lines: [lines[0], lines[1][:-1], b" \n", *lines[2:]]),
    ],
    ids=[
        "a line removed",
        "the first line removed",
        "two lines swapped",
        "the last two lines swapped",
        "a line repeated",
        "a value edited",
        "a line emptied",
        "an empty line added",
        "a line of zeros",
        "a space added",
    ],
)
def test_any_other_damage_before_the_last_line_refuses_the_start(
    log_path: Path, lines: list[bytes], number: int, damage: Callable[[list[bytes]], list[bytes]]
) -> None:
    log_path.write_bytes(b"".join(damage(lines)))
    assert_refused_at(log_path, lines, number)


def chained_anew(lines: list[bytes], number: int, old: bytes, new: bytes) -> list[bytes]:
    """Return the log with one line edited, and with the chain value that is right for the edited line."""
    before = lines[number - 2].rpartition(b'"chain":"')[2][:64]
    content = lines[number - 1].replace(old, new).rpartition(b',"chain":')[0]
    line = b'%b,"chain":"%b"}\n' % (content, sha256(before + content).hexdigest().encode())
    return [*lines[: number - 1], line, *lines[number:]]


def test_an_edited_line_with_its_right_chain_value_is_found_at_the_next_line(
    log_path: Path, lines: list[bytes]
) -> None:
    damaged = chained_anew(lines, 3, b"1250", b"9999")
    log_path.write_bytes(b"".join(damaged))
    assert_refused_at(log_path, damaged, 4)


def test_a_line_with_another_position_is_found_whatever_its_chain_value(log_path: Path, lines: list[bytes]) -> None:
    damaged = chained_anew(lines, 3, b'"position":3,', b'"position":4,')
    log_path.write_bytes(b"".join(damaged))
    assert_refused_at(log_path, damaged, 3)


def test_the_commands_name_the_damaged_line_in_one_line_of_text(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join(lines).replace(b"1250", b"9999"))
    before = files_beside(log_path)
    for name in ("serve", "rebuild"):
        ended = command(log_path, name)
        assert ended.returncode == 1
        assert ended.stderr.startswith(b"lockstream: The log ")
        assert ended.stderr.count(b"\n") == 1
        assert f"{log_path} is damaged at line 3 (byte offset {len(lines[0] + lines[1])})".encode() in ended.stderr
    assert files_beside(log_path) == before

"""A log that is longer than the part that every start checks: the check begins in the middle."""

from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged
from lockstream.infrastructure.file_log import recovery
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited

WINDOW = 1_500
"""Bytes at the end of the log that a start checks here: about the last four lines of ten."""


@pytest.fixture
def lines(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    record(log_path, history())
    monkeypatch.setattr(recovery, "CHECKED_BYTES", WINDOW)
    lines = log_path.read_bytes().splitlines(keepends=True)
    assert len(b"".join(lines[5:])) > WINDOW > len(b"".join(lines[8:]))
    return lines


def damage(log: Path, lines: list[bytes], number: int, old: bytes, new: bytes) -> None:
    assert old in lines[number - 1]
    log.write_bytes(b"".join([*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]))


def assert_refused_at(log: Path, lines: list[bytes], number: int) -> None:
    before = files_beside(log)
    with pytest.raises(LogFileDamaged) as raised:
        LogWriter(log)
    assert (raised.value.position, raised.value.offset) == (number, len(b"".join(lines[: number - 1])))
    assert files_beside(log) == before


def test_the_log_continues_at_its_end(log_path: Path, lines: list[bytes]) -> None:
    record(log_path, [picked_up("locker-1-parcel-3")])
    assert len(audited(log_path)) == 11
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


@pytest.mark.parametrize("window", range(1, 900, 37))
def test_the_check_may_begin_at_any_byte(
    log_path: Path, lines: list[bytes], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "CHECKED_BYTES", window)
    log_path.write_bytes(b"".join(lines) + b"torn")
    hashes_after_start(log_path)
    assert log_path.read_bytes() == b"".join(lines)


def test_a_start_truncates_a_torn_tail_that_is_longer_than_the_checked_part(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join(lines) + b"\x00" * (2 * WINDOW))
    hashes_after_start(log_path)
    assert log_path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("number", [8, 9])
def test_a_refusal_names_the_damaged_line_of_the_checked_part(log_path: Path, lines: list[bytes], number: int) -> None:
    damage(log_path, lines, number, b"locker-1", b"locker-2")
    assert_refused_at(log_path, lines, number)


def test_a_missing_line_in_the_checked_part_refuses_the_start(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join([*lines[:8], lines[9], lines[9]]))
    assert_refused_at(log_path, lines, 9)


def test_a_refusal_names_a_damaged_line_just_before_the_checked_part(log_path: Path, lines: list[bytes]) -> None:
    number = line_before_window(lines)
    damage(log_path, lines, number, b'{"position"', b'#"position"')
    assert_refused_at(log_path, lines, number)


def test_damage_before_the_checked_part_is_found_when_the_whole_log_is_read(log_path: Path, lines: list[bytes]) -> None:
    damage(log_path, lines, 3, b"1250", b"9999")
    hashes_after_start(log_path)
    projection_path(log_path).unlink()
    with pytest.raises(LogFileDamaged, match=rf"line 3 \(byte offset {len(lines[0] + lines[1])}\)"):
        hashes_after_start(log_path)


def line_before_window(lines: list[bytes]) -> int:
    """Return the number of the line before the first checked line."""
    size = len(b"".join(lines))
    return next(number for number in range(1, 11) if len(b"".join(lines[:number])) >= size - WINDOW)

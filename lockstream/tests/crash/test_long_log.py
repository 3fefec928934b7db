"""A log that is longer than what every start checks: it starts in the middle, and finds what is wrong there."""

from pathlib import Path

import pytest

from lockstream.core.errors import LogDamaged
from lockstream.infrastructure.file_log import writer as jsonl_event_log
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited

WINDOW = 1_500
"""Bytes: the last four lines or so of ten."""


@pytest.fixture
def lines(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    record(log_path, history())
    monkeypatch.setattr(jsonl_event_log, "CHECKED_AT_START", WINDOW)
    lines = log_path.read_bytes().splitlines(keepends=True)
    assert len(b"".join(lines[5:])) > WINDOW > len(b"".join(lines[8:]))
    return lines


def damage(log: Path, lines: list[bytes], number: int, old: bytes, new: bytes) -> None:
    assert old in lines[number - 1]
    log.write_bytes(b"".join([*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]))


def assert_refused_at(log: Path, lines: list[bytes], number: int) -> None:
    before = files_beside(log)
    with pytest.raises(LogDamaged) as raised:
        LogWriter(log)
    assert (raised.value.line, raised.value.offset) == (number, len(b"".join(lines[: number - 1])))
    assert files_beside(log) == before


def test_it_goes_on_where_it_ended(log_path: Path, lines: list[bytes]) -> None:
    record(log_path, [picked_up("locker-1-parcel-3")])
    assert len(audited(log_path)) == 11
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


@pytest.mark.parametrize("window", range(1, 900, 37))
def test_it_starts_wherever_the_window_begins(
    log_path: Path, lines: list[bytes], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_event_log, "CHECKED_AT_START", window)
    log_path.write_bytes(b"".join(lines) + b"torn")
    hashes_after_start(log_path)
    assert log_path.read_bytes() == b"".join(lines)


def test_a_torn_end_longer_than_the_window_is_cut_off_too(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join(lines) + b"\x00" * (2 * WINDOW))
    hashes_after_start(log_path)
    assert log_path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("number", [8, 9])
def test_damage_inside_the_window_is_found_with_the_right_line(log_path: Path, lines: list[bytes], number: int) -> None:
    damage(log_path, lines, number, b"locker-1", b"locker-2")
    assert_refused_at(log_path, lines, number)


def test_a_line_that_is_missing_inside_the_window_is_found(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join([*lines[:8], lines[9], lines[9]]))
    assert_refused_at(log_path, lines, 9)


def test_damage_to_the_line_just_before_the_window_is_found_with_the_right_line(
    log_path: Path, lines: list[bytes]
) -> None:
    number = before_the_window(lines)
    damage(log_path, lines, number, b'{"position"', b'#"position"')
    assert_refused_at(log_path, lines, number)


def test_damage_before_the_window_is_found_when_all_is_read(log_path: Path, lines: list[bytes]) -> None:
    damage(log_path, lines, 3, b"1250", b"9999")
    hashes_after_start(log_path)
    log_path.with_name(f"{log_path.name}.projection.sqlite").unlink()
    with pytest.raises(LogDamaged, match=rf"line 3 \(byte offset {len(lines[0] + lines[1])}\)"):
        hashes_after_start(log_path)


def before_the_window(lines: list[bytes]) -> int:
    """The number of the line that ends where the first checked line begins."""
    size = len(b"".join(lines))
    return next(number for number in range(1, 11) if len(b"".join(lines[:number])) >= size - WINDOW)

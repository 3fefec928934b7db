"""Recovery: torn tails, the part of them that is kept, and the tails that refuse the start.

Here are the parts alone. `tests/crash` damages whole stores at every byte.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.errors import LogFileDamaged
from lockstream.infrastructure.codec.log_line import InvalidLine, encode_lines, line_ends
from lockstream.infrastructure.file_log.recovery import (
    FLUSH_SECONDS,
    SECTOR_BYTES,
    Tail,
    has_unwritten_sectors,
    recover,
    recoverable_prefix,
    truncate_and_keep,
)
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.processes import file_size_limit

FIRST_TIME = datetime(2026, 11, 23, 8, tzinfo=UTC)


def lines_of(count: int, seconds: float = 0.0) -> list[bytes]:
    """Return the lines of a log, which were recorded over so many seconds."""
    lines: list[bytes] = []
    end = START
    for number in range(count):
        time = FIRST_TIME + timedelta(seconds=seconds * number / max(count - 1, 1))
        [line], end = encode_lines([event(registered(f"c{number}"))], time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), end)
        lines.append(line)
    return lines


def with_unwritten_sector(content: bytes, first: int) -> bytes:
    """Fill the sector of this index with zeros."""
    start, end = first * SECTOR_BYTES, (first + 1) * SECTOR_BYTES
    return content[:start] + b"\0" * (end - start) + content[end:]


def tail_of(log: Path, lines: list[bytes], rest: bytes, acknowledged: int = 0) -> Tail:
    """Write a log of valid `lines` and an invalid rest, and return its tail."""
    log.write_bytes(b"".join(lines) + rest)
    after = line_ends(lines, START)[-1] if lines else START
    return Tail(log, rest.splitlines(keepends=True)[0], after, log.stat().st_size, acknowledged)


@pytest.fixture
def lines() -> list[bytes]:
    return lines_of(12)


# has_unwritten_sectors


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        (b"", 0, False),
        (b"a line\n", 0, False),
        (b"0" * SECTOR_BYTES, 0, False),
        (b"\0" * SECTOR_BYTES, 0, True),
        (b"\0" * SECTOR_BYTES, SECTOR_BYTES, True),
        (b"\0" * SECTOR_BYTES, 1, False),
        (b"\0" * (SECTOR_BYTES - 1), 1, True),
        (b"\0", SECTOR_BYTES - 1, True),
        (b"\0x", SECTOR_BYTES - 1, True),
        (b"\0x", SECTOR_BYTES - 2, False),
        (b"\0" * (SECTOR_BYTES + 1), 0, False),
        (b"\0" * 3 * SECTOR_BYTES, 0, True),
        (b"x" * 100 + b"\0" * (SECTOR_BYTES - 100) + b"x" * 100, 0, True),
        (b"x" * 100 + b"\0" * (SECTOR_BYTES - 101) + b"x" * 101, 0, False),
        (b"x\0".rjust(SECTOR_BYTES, b"x") + b"x" * 7 + b"\0" * (SECTOR_BYTES - 7), 0, True),
        (b"x\0".rjust(SECTOR_BYTES, b"x") + b"x" * 7 + b"\0x", 0, False),
    ],
)
def test_sectors_are_unwritten_if_each_run_of_zeros_ends_where_a_sector_ends(
    text: bytes, offset: int, expected: bool
) -> None:
    assert has_unwritten_sectors(text, offset) is expected


# recoverable_prefix


def test_a_whole_record_without_a_line_end_is_kept(log_path: Path, lines: list[bytes]) -> None:
    record = lines[3][:-1]
    assert recoverable_prefix(tail_of(log_path, lines[:3], record)) == record


def test_the_first_record_of_a_log_is_kept(log_path: Path, lines: list[bytes]) -> None:
    assert recoverable_prefix(tail_of(log_path, [], lines[0][:-1])) == lines[0][:-1]


def test_nothing_is_kept_of_a_torn_record(log_path: Path, lines: list[bytes]) -> None:
    for length in range(1, len(lines[3]) - 1):
        assert recoverable_prefix(tail_of(log_path, lines[:3], lines[3][:length])) == b""


@pytest.mark.parametrize("garbage", [b"garbage", b"garbage\n", b"\n", b"{}\n", b'{"event_id":1}\n', b"\0" * 700])
def test_nothing_is_kept_of_a_last_line_that_was_never_a_record(
    log_path: Path, lines: list[bytes], garbage: bytes
) -> None:
    assert recoverable_prefix(tail_of(log_path, lines[:3], garbage)) == b""


def test_a_whole_record_before_torn_bytes_is_kept(log_path: Path, lines: list[bytes]) -> None:
    record = lines[3][:-1]
    for garbage in (b"\0", b"x", b"\0" * 40, b"}"):
        assert recoverable_prefix(tail_of(log_path, lines[:3], record + garbage)) == record


def test_a_complete_last_line_that_was_altered_is_invalid(log_path: Path, lines: list[bytes]) -> None:
    altered = [
        lines[3].replace(b"locker-1", b"locker-2"),
        lines[3].replace(b'{"position"', b'{"pasition"'),
        lines[3].replace(b'"chain"', b'"chian"'),
        lines[4],
        lines[2],
    ]
    for line in altered:
        with pytest.raises(InvalidLine):
            recoverable_prefix(tail_of(log_path, lines[:3], line))


def test_an_altered_line_before_other_lines_is_invalid(log_path: Path, lines: list[bytes]) -> None:
    for line in (lines[3].replace(b"locker-1", b"locker-2"), b"garbage\n", b"\n", lines[3][:50] + b"\n", b"\0x\n"):
        with pytest.raises(InvalidLine):
            recoverable_prefix(tail_of(log_path, lines[:3], line + lines[4]))


def test_a_record_whose_line_end_was_overwritten_is_invalid(log_path: Path, lines: list[bytes]) -> None:
    rest = lines[3][:-1] + b"x" + b"".join(lines[4:6])
    with pytest.raises(InvalidLine, match="line end"):
        recoverable_prefix(tail_of(log_path, lines[:3], rest))


def first_invalid(log: Path, content: bytes, lines: list[bytes], acknowledged: int = 0) -> Tail:
    """Return the tail of a log with unwritten sectors: it begins at the first line that is not one of `lines`."""
    valid = 0
    while content.startswith(b"".join(lines[: valid + 1])):
        valid += 1
    return tail_of(log, lines[:valid], content[len(b"".join(lines[:valid])) :], acknowledged)


def test_nothing_is_kept_after_unwritten_sectors_of_the_last_flush(log_path: Path, lines: list[bytes]) -> None:
    for sector in range(len(b"".join(lines)) // SECTOR_BYTES):
        tail = first_invalid(log_path, with_unwritten_sector(b"".join(lines), sector), lines)
        record = lines[tail.after.position][:-1]
        assert recoverable_prefix(tail) == (record if tail.line.startswith(record) else b"")


def test_unwritten_sectors_before_an_acknowledged_event_are_invalid(log_path: Path, lines: list[bytes]) -> None:
    content = with_unwritten_sector(b"".join(lines), 1)
    valid = first_invalid(log_path, content, lines).after.position
    for acknowledged in range(valid + 1):
        assert recoverable_prefix(first_invalid(log_path, content, lines, acknowledged)) == b""
    for acknowledged in range(valid + 1, len(lines) + 1):
        with pytest.raises(InvalidLine):
            recoverable_prefix(first_invalid(log_path, content, lines, acknowledged))


@pytest.mark.parametrize(("seconds", "is_valid"), [(1.0, True), (FLUSH_SECONDS, True), (3 * FLUSH_SECONDS, False)])
def test_unwritten_sectors_are_invalid_if_the_lines_after_them_took_longer_than_one_flush(
    log_path: Path, seconds: float, is_valid: bool
) -> None:
    lines = lines_of(12, seconds)
    tail = first_invalid(log_path, with_unwritten_sector(b"".join(lines), 1), lines)
    if is_valid:
        assert recoverable_prefix(tail) == b""
    else:
        with pytest.raises(InvalidLine):
            recoverable_prefix(tail)


def test_a_line_without_a_valid_time_does_not_prevent_the_recovery(log_path: Path, lines: list[bytes]) -> None:
    time = FIRST_TIME.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
    content = with_unwritten_sector(b"".join(lines), 1)
    for damaged in (time + b"0", b"x" * 27, b"2026-13-23T08:00:00.000000Z"):
        last = lines[-1].replace(time + b"Z", damaged)
        tail = first_invalid(log_path, content.replace(lines[-1], last), lines)
        assert recoverable_prefix(tail) == b""


# truncate_and_keep


@pytest.fixture
def file(log_path: Path, lines: list[bytes]) -> Iterator[int]:
    """A log of twelve lines, open as the writer opens it."""
    log_path.write_bytes(b"".join(lines))
    file = os.open(log_path, os.O_RDWR | os.O_APPEND)
    yield file
    os.close(file)


@pytest.mark.parametrize("offset", [0, 1, 700, 2_000])
def test_the_truncated_bytes_are_kept_in_a_file_beside_the_log(file: int, log_path: Path, offset: int) -> None:
    content = log_path.read_bytes()
    kept = truncate_and_keep(file, log_path, offset, "torn")
    assert kept == log_path.with_name(f"{log_path.name}.torn-{offset}")
    assert kept.read_bytes() == content[offset:]
    assert log_path.read_bytes() == content[:offset]


def test_a_kept_file_is_never_overwritten(file: int, log_path: Path) -> None:
    names = []
    for content in (b"one", b"two", b"three"):
        os.write(file, content)
        names.append(truncate_and_keep(file, log_path, log_path.stat().st_size - len(content), "torn").name)
    offset = log_path.stat().st_size
    assert names == [f"{log_path.name}.torn-{offset}{number}" for number in ("", "-2", "-3")]
    assert [log_path.with_name(name).read_bytes() for name in names] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_kept_file_has_the_permissions_of_the_log(file: int, log_path: Path, mode: int) -> None:
    log_path.chmod(mode)
    assert truncate_and_keep(file, log_path, 10, "torn").stat().st_mode & 0o777 == mode


def test_the_log_is_unchanged_if_the_rest_cannot_be_kept(file: int, log_path: Path) -> None:
    content = log_path.read_bytes()
    with file_size_limit(100), pytest.raises(OSError, match=r"torn-10") as raised:
        truncate_and_keep(file, log_path, 10, "torn")
    assert raised.value.filename == f"{log_path}.torn-10"
    assert log_path.read_bytes() == content
    assert [path.name for path in log_path.parent.iterdir()] == [log_path.name]


# recover


def test_a_log_without_damage_is_unchanged(file: int, log_path: Path, lines: list[bytes]) -> None:
    for acknowledged in (0, 5, 12):
        assert recover(file, log_path, acknowledged, may_be_older=False) == line_ends(lines, START)[-1]
    assert log_path.read_bytes() == b"".join(lines)
    assert len(list(log_path.parent.iterdir())) == 1


def test_an_empty_log_ends_at_its_start(file: int, log_path: Path) -> None:
    os.truncate(log_path, 0)
    assert recover(file, log_path, 0, may_be_older=False) == START


def test_a_missing_line_end_is_written(file: int, log_path: Path, lines: list[bytes]) -> None:
    os.truncate(log_path, len(b"".join(lines)) - 1)
    assert recover(file, log_path, 12, may_be_older=False) == line_ends(lines, START)[-1]
    assert log_path.read_bytes() == b"".join(lines)
    assert len(list(log_path.parent.iterdir())) == 1


def test_a_torn_tail_is_truncated_kept_and_logged(
    file: int, log_path: Path, lines: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(log_path, len(b"".join(lines)) - 40)
    end = line_ends(lines, START)[-2]
    assert recover(file, log_path, 11, may_be_older=False) == end
    assert log_path.read_bytes() == b"".join(lines[:-1])
    kept = log_path.with_name(f"{log_path.name}.torn-{end.offset}")
    assert kept.read_bytes() == lines[-1][:-40]
    [record] = caplog.records
    assert record.levelname == "WARNING"
    for part in (str(log_path), "line 12", f"byte offset {end.offset}", f"{len(lines[-1]) - 40} bytes", str(kept)):
        assert part in record.getMessage()


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_log_with_fewer_events_than_acknowledged_is_damaged_and_unchanged(
    file: int, log_path: Path, lines: list[bytes], cut: int
) -> None:
    os.truncate(log_path, len(b"".join(lines)) - cut)
    content = log_path.read_bytes()
    there = 11 if cut == 40 else 12
    with pytest.raises(LogFileDamaged, match=rf"13 acknowledged events.*holds only {there}") as raised:
        recover(file, log_path, 13, may_be_older=False)
    assert raised.value.position == there + 1
    assert log_path.read_bytes() == content
    assert len(list(log_path.parent.iterdir())) == 1


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_log_that_may_be_older_may_hold_fewer_events_than_acknowledged(
    file: int, log_path: Path, lines: list[bytes], cut: int
) -> None:
    os.truncate(log_path, len(b"".join(lines)) - cut)
    end = line_ends(lines, START)[-2 if cut == 40 else -1]
    assert recover(file, log_path, 13, may_be_older=True) == end


@pytest.mark.parametrize("position", [1, 2, 11, 12])
def test_an_altered_line_refuses_the_start_and_changes_nothing(
    file: int, log_path: Path, lines: list[bytes], position: int
) -> None:
    altered = [line.replace(b"locker-1", b"locker-2") if at == position else line for at, line in enumerate(lines, 1)]
    log_path.write_bytes(b"".join(altered))
    with pytest.raises(LogFileDamaged, match="altered") as raised:
        recover(file, log_path, 0, may_be_older=True)
    assert (raised.value.position, raised.value.offset) == (position, len(b"".join(lines[: position - 1])))
    assert log_path.read_bytes() == b"".join(altered)
    assert len(list(log_path.parent.iterdir())) == 1

"""Reader: records after a cursor, event ids by position, and lines by offset, for lines of any length."""

import os
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.entities.log import START
from lockstream.core.errors import LogFileDamaged, StoreUnavailable
from lockstream.infrastructure.codec.log_line import InvalidLine, decode_lines, encode_lines, line_ends
from lockstream.infrastructure.file_log.reader import (
    CHUNK_LINES,
    LogReader,
    claimed_cursor,
    count_lines,
    last_position,
    line_start,
    read_log,
)
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.stores.memory import MemoryLog
from lockstream.tests.infrastructure.file_log.log_files import LENGTHS, UNEQUAL_LENGTHS, written
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.builders import RECORDED_AT, event, registered


def reader(file: int) -> LogReader:
    """Return a reader of an open file, whose path is only for messages."""
    return LogReader(Path("log.jsonl"), file)


def positions(ids: list[str], first: int, count: int) -> dict[str, int]:
    """Return the position of up to `count` ids, from position `first` on."""
    return dict(zip(ids[first - 1 : first - 1 + count], range(first, len(ids) + 1), strict=False))


@budget(150)
@given(lengths=st.lists(LENGTHS, min_size=1, max_size=60), data=st.data())
def test_event_ids_are_read_from_any_position_whatever_the_lengths(lengths: list[int], data: st.DataObject) -> None:
    with TemporaryDirectory() as directory, written(Path(directory) / "log", lengths) as (file, ids, end):
        first, count = data.draw(st.integers(1, len(ids))), data.draw(st.integers(1, 70))
        assert reader(file).event_ids(first, count, end) == positions(ids, first, count)


@pytest.mark.parametrize("lengths", UNEQUAL_LENGTHS.values(), ids=UNEQUAL_LENGTHS)
def test_event_ids_are_read_from_every_position(tmp_path: Path, lengths: list[int]) -> None:
    with written(tmp_path / "log", lengths) as (file, ids, end):
        for first in range(1, len(ids) + 1):
            assert reader(file).event_ids(first, 1, end) == positions(ids, first, 1)
        assert reader(file).event_ids(1, 10**6, end) == positions(ids, 1, len(ids))
        assert reader(file).event_ids(len(ids) + 1, 64, end) == {}


def test_event_ids_after_the_end_of_a_shortened_log_are_unavailable(tmp_path: Path) -> None:
    with written(tmp_path / "log", [10] * 20) as (file, ids, end):
        os.truncate(tmp_path / "log", end.offset - 1)
        with pytest.raises(StoreUnavailable, match="has lost lines"):
            reader(file).event_ids(15, 64, end)
        assert reader(file).event_ids(15, 5, end) == positions(ids, 15, 5)
        os.truncate(tmp_path / "log", end.offset // 2)
        with pytest.raises(StoreUnavailable, match="has lost lines"):
            reader(file).event_ids(15, 5, end)


def test_the_event_ids_of_a_log_that_lacks_a_line_are_unavailable(tmp_path: Path) -> None:
    with written(tmp_path / "log", [10] * 20) as (file, ids, end):
        lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
        (tmp_path / "log").write_bytes(b"".join(lines[:14] + lines[15:]))
        with pytest.raises(StoreUnavailable, match="has lost lines"):
            reader(file).event_ids(15, 1, end)
        assert reader(file).event_ids(14, 1, end) == positions(ids, 14, 1)


def test_the_event_ids_of_an_unreadable_log_are_unavailable_and_not_empty(log_path: Path) -> None:
    with closing(LogWriter(log_path)) as log:
        log.append([event(registered())], RECORDED_AT)
        log.flush()
        readable = os.dup(log._file)
        unreadable = os.open(log_path, os.O_WRONLY | os.O_APPEND)
        os.dup2(unreadable, log._file)
        with pytest.raises(StoreUnavailable, match=str(log_path)):
            log.event_ids(1, 64)
        os.dup2(readable, log._file)
        assert len(log.event_ids(1, 64)) == 1
        os.close(readable)
        os.close(unreadable)


@pytest.mark.parametrize("make", [lambda path: MemoryLog(), LogWriter], ids=["memory", "file"])
def test_a_block_of_event_ids_is_read_again_after_the_log_has_grown(log_path: Path, make: type) -> None:
    log = make(log_path)
    events = [event(registered(str(number))) for number in range(130)]
    for stop in (1, 3, 64, 65, 130):
        log.append(events[log.end.position : stop], RECORDED_AT)
        for first in (1, 65, 129):
            expected = {one.event_id: at for at, one in enumerate(events[:stop], 1) if first <= at < first + 64}
            assert log.event_ids(first, 64) == expected
    if isinstance(log, LogWriter):
        log.close()


@pytest.fixture
def lines(log_path: Path) -> list[bytes]:
    """The lines of a log that is read in three chunks."""
    events = [event(registered(str(number))) for number in range(2 * CHUNK_LINES + 10)]
    lines, _ = encode_lines(events, "2026-11-23T08:15:00.000000Z", START)
    log_path.write_bytes(b"".join(lines))
    return lines


def test_the_records_after_any_cursor_are_read(log_path: Path, lines: list[bytes]) -> None:
    records, ends = decode_lines(lines, START), line_ends(lines, START)
    assert list(read_log(log_path)) == records
    for position in (1, CHUNK_LINES - 1, CHUNK_LINES, CHUNK_LINES + 1, len(lines) - 1, len(lines)):
        assert list(read_log(log_path, ends[position - 1])) == records[position:]


def test_records_are_read_up_to_an_offset(log_path: Path, lines: list[bytes]) -> None:
    ends = line_ends(lines, START)
    for position in (1, 5, CHUNK_LINES, CHUNK_LINES + 1, len(lines)):
        assert sum(1 for _ in read_log(log_path, START, ends[position - 1].offset)) == position
        assert sum(1 for _ in read_log(log_path, START, ends[position - 1].offset + 1)) == min(position + 1, len(lines))
    assert list(read_log(log_path, ends[4], ends[4].offset)) == []


@pytest.mark.parametrize("torn", [b"", b"x", b'{"position":', b"\0" * 600])
def test_a_torn_last_line_is_not_read(log_path: Path, lines: list[bytes], torn: bytes) -> None:
    log_path.write_bytes(b"".join(lines[:3]) + torn)
    assert list(read_log(log_path)) == decode_lines(lines[:3], START)


@pytest.mark.parametrize("position", [1, 2, CHUNK_LINES, CHUNK_LINES + 1, 2 * CHUNK_LINES + 10])
def test_a_damaged_line_is_named_after_the_records_before_it(log_path: Path, lines: list[bytes], position: int) -> None:
    lines[position - 1] = lines[position - 1].replace(b"locker-1", b"Locker-1")
    log_path.write_bytes(b"".join(lines))
    reading = read_log(log_path)
    assert len(list(islice(reading, position - 1))) == position - 1
    with pytest.raises(LogFileDamaged) as raised:
        next(reading)
    assert (raised.value.position, raised.value.offset) == (position, len(b"".join(lines[: position - 1])))
    assert str(log_path) in str(raised.value)


def test_an_open_file_is_read_wherever_its_name_leads(log_path: Path, lines: list[bytes]) -> None:
    file = os.open(log_path, os.O_RDONLY)
    log_path.rename(log_path.with_name("moved.jsonl"))
    log_path.write_bytes(lines[0])
    assert sum(1 for _ in read_log(log_path, opened=file)) == len(lines)
    os.close(file)


def test_records_that_are_appended_meanwhile_are_read(log_path: Path, lines: list[bytes]) -> None:
    log_path.write_bytes(b"".join(lines[:5]))
    reading = read_log(log_path)
    first = next(reading)
    with log_path.open("ab") as file:
        file.write(b"".join(lines[5:10]))
    assert [first, *reading] == decode_lines(lines[:10], START)


def test_the_last_position_is_the_one_that_the_last_complete_line_claims(log_path: Path, lines: list[bytes]) -> None:
    for content, expected in [
        (b"".join(lines), len(lines)),
        (b"".join(lines[:7]), 7),
        (b"".join(lines[:7]) + lines[7][:-1], 7),
        (lines[6], 7),
        (lines[0][:-1], 0),
        (b"", 0),
        (b"x\n", 0),
        (b"".join(lines[:7]) + b"x\n", 0),
    ]:
        log_path.write_bytes(content)
        assert last_position(log_path) == expected


@pytest.mark.parametrize("lengths", UNEQUAL_LENGTHS.values(), ids=UNEQUAL_LENGTHS)
def test_the_start_of_a_line_is_found_from_every_part_of_it(tmp_path: Path, lengths: list[int]) -> None:
    with written(tmp_path / "log", lengths) as (file, _, end):
        start = 0
        lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
        for position, line_end in enumerate(line_ends(lines, START), 1):
            for offset in (start, start + 1, (start + line_end.offset) // 2, line_end.offset - 1):
                assert line_start(file, offset) == start
            assert claimed_cursor(file, line_end.offset) == line_end
            assert count_lines(tmp_path / "log", line_end.offset) == position
            start = line_end.offset
        assert start == end.offset


def test_no_cursor_is_claimed_in_the_middle_of_a_line(log_path: Path, lines: list[bytes]) -> None:
    file = os.open(log_path, os.O_RDONLY)
    end = len(lines[0])
    for offset in (1, end - 1, end + 1, end + len(lines[1]) - 1):
        with pytest.raises(InvalidLine):
            claimed_cursor(file, offset)
    os.close(file)

"""Log writer: appends, durability, and the faults that poison the log.

Here is the writer alone. `tests/crash` covers whole stores on failing disks and on moved logs.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import LogFileDamaged, LogLocked, StartRefused, StoreUnavailable
from lockstream.infrastructure.codec.log_line import decode_lines, line_ends
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.tests.support.builders import RECORDED_AT, event, registered

TIMEOUT_SECONDS = 20

MORE_THAN_ANY_DISK = 2**62
"""Bytes."""


def some_events(count: int = 3) -> list[Event]:
    return [event(registered(f"c{number}")) for number in range(count)]


def events_in(path: Path) -> list[Event]:
    return [record.event for record in read_log(path)]


def moved(path: Path) -> None:
    path.rename(path.with_name("moved.jsonl"))


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    copy = path.with_name("copy.jsonl")
    shutil.copy(path, copy)
    copy.rename(path)


def shortened(path: Path) -> None:
    os.truncate(path, 10)


def lengthened(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"# a note\n")


each_harm = pytest.mark.parametrize("harm", [moved, removed, replaced, shortened, lengthened])


@contextmanager
def unflushable(log: LogWriter) -> Iterator[None]:
    """Let every flush of the log fail, for the block."""
    original, (reading, writing) = os.dup(log._file), os.pipe()
    os.dup2(writing, log._file)
    try:
        yield
    finally:
        os.dup2(original, log._file)
        for file in (original, reading, writing):
            os.close(file)


# open


def test_a_new_log_is_created_empty(log: LogWriter, log_path: Path) -> None:
    assert log.end == log.durable == START
    assert log_path.read_bytes() == b""


def test_a_log_goes_on_at_its_end(log_path: Path) -> None:
    events = some_events(4)
    for one in events:
        with closing(LogWriter(log_path)) as log:
            assert log.durable == log.end
            log.append([one], RECORDED_AT)
    assert events_in(log_path) == events


def test_a_log_has_one_writer_at_a_time(log: LogWriter, log_path: Path) -> None:
    with pytest.raises(LogLocked, match=str(log_path)):
        LogWriter(log_path)
    log.append(some_events(), RECORDED_AT)
    assert len(events_in(log_path)) == 3


def test_a_start_that_is_refused_leaves_the_log_unlocked_and_unchanged(log_path: Path) -> None:
    with closing(LogWriter(log_path)) as log:
        log.append(some_events(), RECORDED_AT)
    content = log_path.read_bytes()
    with pytest.raises(LogFileDamaged):
        LogWriter(log_path, lambda: 4)
    assert log_path.read_bytes() == content
    with closing(LogWriter(log_path, lambda: 4, may_be_older=True)) as log:
        assert log.end.position == 3


def test_acknowledged_events_are_counted_after_the_log_is_locked(log_path: Path) -> None:
    def acknowledged() -> int:
        with pytest.raises(LogLocked):
            LogWriter(log_path)
        return 0

    LogWriter(log_path, acknowledged).close()


def test_a_log_that_cannot_be_created_refuses_the_start(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "log"):
        with pytest.raises(StartRefused, match=str(path)):
            LogWriter(path)


# append and flush


def test_appended_events_are_written_in_order_and_durable_after_a_flush(log: LogWriter, log_path: Path) -> None:
    events = some_events()
    log.append(events, RECORDED_AT)
    assert events_in(log_path) == events
    assert (log.end.position, log.durable) == (3, START)
    log.flush()
    assert log.durable == log.end == line_ends(log_path.read_bytes().splitlines(keepends=True), START)[-1]


def test_only_durable_records_are_read(log: LogWriter) -> None:
    events = some_events(5)
    log.append(events[:2], RECORDED_AT)
    assert list(log.read(START)) == []
    log.flush()
    log.append(events[2:], RECORDED_AT)
    assert [record.event for record in log.read(START)] == events[:2]
    log.flush()
    first, *_ = log.read(START)
    assert [record.event for record in log.read(first.end)] == events[1:]


def test_a_flush_beside_the_event_loop_covers_only_earlier_appends(log: LogWriter) -> None:
    async def append_during_a_flush() -> None:
        ended = asyncio.Event()
        log.append(some_events(2), RECORDED_AT)
        end = log.end
        log.begin_flush(ended.set)
        log.append(some_events(1), RECORDED_AT)
        await asyncio.wait_for(ended.wait(), TIMEOUT_SECONDS)
        assert log.durable == end
        assert log.end.position == 3
        ended.clear()
        log.begin_flush(ended.set)
        await asyncio.wait_for(ended.wait(), TIMEOUT_SECONDS)
        assert log.durable == log.end

    asyncio.run(append_during_a_flush())


# unavailable_reason and check_writable


def test_a_healthy_log_is_available_and_writable(log: LogWriter) -> None:
    for count in (1, 3):
        assert log.unavailable_reason is None
        log.check_writable()
        log.append(some_events(count), RECORDED_AT)


@each_harm
def test_reading_the_unavailable_reason_changes_nothing(
    log: LogWriter, log_path: Path, harm: Callable[[Path], None]
) -> None:
    # given a log whose file was harmed
    log.append(some_events(), RECORDED_AT)
    log.flush()
    content, kept = log_path.read_bytes(), log_path.with_name("kept.jsonl")
    os.link(log_path, kept)
    harm(log_path)
    # when the reason is read
    for _ in range(2):
        reason = log.unavailable_reason
        assert (reason is None) == (harm is lengthened), "a file that another process appends to may be our own append"
        assert reason is None or str(log_path) in reason
        assert log.failure is None
    # then the log is available again after the harm was undone
    kept.write_bytes(content)
    kept.replace(log_path)
    assert log.unavailable_reason is None
    log.check_writable()
    log.append(some_events(1), RECORDED_AT)
    assert len(events_in(log_path)) == 4


@each_harm
def test_a_check_that_finds_harm_poisons_the_log(log: LogWriter, log_path: Path, harm: Callable[[Path], None]) -> None:
    # given a log whose file was harmed
    log.append(some_events(), RECORDED_AT)
    log.flush()
    content, kept = log_path.read_bytes(), log_path.with_name("kept.jsonl")
    os.link(log_path, kept)
    harm(log_path)
    # when it is checked
    with pytest.raises(StoreUnavailable, match=str(log_path)) as raised:
        log.check_writable()
    # then nothing is written any more, even after the harm was undone
    kept.write_bytes(content)
    kept.replace(log_path)
    assert log.failure == log.unavailable_reason == str(raised.value)
    for refused in (log.check_writable, lambda: log.append(some_events(), RECORDED_AT), log.flush):
        with pytest.raises(StoreUnavailable) as again:
            refused()
        assert str(again.value) == str(raised.value)
    assert log_path.read_bytes() == content
    # and durable records can still be read
    assert len(list(log.read(START))) == 3
    assert log.contains(log.durable)


def test_too_little_free_space_makes_the_log_unavailable_and_does_not_poison_it(log_path: Path) -> None:
    with closing(LogWriter(log_path, min_free_bytes=MORE_THAN_ANY_DISK)) as log:
        assert "LOCKSTREAM_MIN_FREE_BYTES" in str(log.unavailable_reason)
        with pytest.raises(StoreUnavailable, match="LOCKSTREAM_MIN_FREE_BYTES"):
            log.check_writable()
        assert log.failure is None
        log.flush()


def test_a_failed_flush_poisons_the_log_and_is_never_repeated(
    log: LogWriter, log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.append(some_events(1), RECORDED_AT)
    log.flush()
    durable = log.durable
    log.append(some_events(1), RECORDED_AT)
    with unflushable(log), pytest.raises(StoreUnavailable, match=str(log_path)):
        log.flush()
    for refused in (log.flush, log.check_writable, lambda: log.append(some_events(), RECORDED_AT)):
        with pytest.raises(StoreUnavailable, match="restarted"):
            refused()
    assert log.durable == durable
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def test_a_failed_flush_beside_the_event_loop_poisons_the_log(log: LogWriter) -> None:
    async def flush() -> None:
        ended = asyncio.Event()
        log.begin_flush(ended.set)
        await asyncio.wait_for(ended.wait(), TIMEOUT_SECONDS)

    log.append(some_events(), RECORDED_AT)
    with unflushable(log):
        asyncio.run(flush())
    assert log.failure is not None
    assert log.durable == START
    asyncio.run(flush())
    assert log.durable == START, "a later flush cannot make good an earlier one"


# contains


def test_a_log_contains_the_end_of_each_of_its_records(log: LogWriter, log_path: Path) -> None:
    log.append(some_events(5), RECORDED_AT)
    assert log.contains(START)
    for end in line_ends(log_path.read_bytes().splitlines(keepends=True), START):
        assert log.contains(end)


def test_a_log_contains_no_other_cursor(log: LogWriter, log_path: Path) -> None:
    log.append(some_events(5), RECORDED_AT)
    ends = line_ends(log_path.read_bytes().splitlines(keepends=True), START)
    for end in ends:
        assert not log.contains(replace(end, position=end.position + 1))
        assert not log.contains(replace(end, position=0))
        assert not log.contains(replace(end, chain="0" * 64))
        for offset in (0, 1, end.offset - 1, end.offset + 1, ends[-1].offset + 1, 10**9):
            assert not log.contains(replace(end, offset=offset))


def test_an_empty_log_contains_only_its_start(log: LogWriter) -> None:
    assert log.contains(START)
    for cursor in (Cursor(1, 300, "0" * 64), Cursor(1, 0, "0" * 64), Cursor(0, 1, "0" * 64), Cursor(0, 0, "1" * 64)):
        assert not log.contains(cursor)


# append_records


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another log of five records, which were accepted long ago."""
    path = tmp_path / "other.jsonl"
    with closing(LogWriter(path)) as log:
        log.append(some_events(5), RECORDED_AT)
    return path


def test_records_of_another_log_are_appended_unchanged(log: LogWriter, log_path: Path, other: Path) -> None:
    lines = other.read_bytes().splitlines(keepends=True)
    log.append_records(decode_lines(lines[:2], START))
    assert log.durable == START
    log.append_records(decode_lines(lines[2:], log.end))
    log.flush()
    assert log_path.read_bytes() == other.read_bytes()
    assert log.end == log.durable == line_ends(lines, START)[-1]
    log.append(some_events(1), RECORDED_AT)
    assert len(events_in(log_path)) == 6


@each_harm
def test_no_record_is_appended_to_a_harmed_log(
    log: LogWriter, log_path: Path, other: Path, harm: Callable[[Path], None]
) -> None:
    records = list(read_log(other))
    log.append_records(records[:3])
    end = log.end
    harm(log_path)
    content = log_path.read_bytes() if log_path.exists() else None
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=str(log_path)):
            log.append_records(records[3:])
    assert log.end == end
    assert (log_path.read_bytes() if log_path.exists() else None) == content


def test_no_record_is_appended_to_a_log_without_free_space(log_path: Path, other: Path) -> None:
    with closing(LogWriter(log_path, min_free_bytes=MORE_THAN_ANY_DISK)) as log:
        with pytest.raises(StoreUnavailable, match="LOCKSTREAM_MIN_FREE_BYTES"):
            log.append_records(list(read_log(other)))
        assert (log.end, log.failure) == (START, None)
    assert log_path.read_bytes() == b""

"""The log reader: records at any positions, of a log of any lengths, and of one that was altered."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.entities.log import Record
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.file_log.line_search import FoundLine, find_line
from lockstream.infrastructure.file_log.reader import PAGE_BYTES, LogReader, read_log
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.tests.infrastructure.file_log.log_files import LENGTHS, UNEQUAL_LENGTHS, written
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.builders import RECORDED_AT, event, registered


@contextmanager
def reading(path: Path, lengths: list[int]) -> Iterator[tuple[LogReader, list[Record]]]:
    """Write a log of events with notes of these lengths; give a reader of it, and its records."""
    with written(path, lengths), closing(LogReader.open(path)) as reader:
        yield reader, list(read_log(path))


@budget(100)
@given(lengths=st.lists(LENGTHS, min_size=1, max_size=60), data=st.data())
def test_records_are_read_at_any_positions_in_any_order(lengths: list[int], data: st.DataObject) -> None:
    with TemporaryDirectory() as directory, reading(Path(directory) / "log", lengths) as (reader, records):
        wanted = data.draw(st.lists(st.integers(1, len(records)), max_size=20))
        end = data.draw(st.sampled_from(records[max(wanted, default=1) - 1 :])).end
        assert reader.records(wanted, end) == [records[position - 1] for position in wanted]


@pytest.mark.parametrize("lengths", UNEQUAL_LENGTHS.values(), ids=UNEQUAL_LENGTHS)
def test_each_record_is_read_alone_and_all_are_read_together(tmp_path: Path, lengths: list[int]) -> None:
    with reading(tmp_path / "log", lengths) as (reader, records):
        end = records[-1].end
        for position in range(1, len(records) + 1):
            assert reader.records([position], end) == [records[position - 1]]
        assert reader.records(range(len(records), 0, -1), end) == records[::-1]
        assert reader.records([len(records), 1, 1, len(records)], end) == [records[-1], *records[:1] * 2, records[-1]]
        assert reader.records([], end) == []


def test_records_are_read_while_the_log_grows(tmp_path: Path) -> None:
    with reading(tmp_path / "log", [10] * 5) as (reader, records):
        with (tmp_path / "log").open("ab") as log:
            log.write(b'{"position":6,"recorded_at":"')
        assert reader.records([5, 1], records[-1].end) == [records[4], records[0]]


def test_records_of_a_log_that_was_moved_or_removed_are_read(tmp_path: Path) -> None:
    with reading(tmp_path / "log", [10] * 5) as (reader, records):
        (tmp_path / "log").rename(tmp_path / "moved")
        assert reader.records([1, 5], records[-1].end) == [records[0], records[4]]
        (tmp_path / "moved").unlink()
        assert reader.records([2, 4], records[-1].end) == [records[1], records[3]]


@budget(100)
@given(lengths=st.lists(LENGTHS, min_size=1, max_size=60), data=st.data())
def test_lines_are_read_from_any_position_to_any_end(lengths: list[int], data: st.DataObject) -> None:
    with TemporaryDirectory() as directory, reading(Path(directory) / "log", lengths) as (reader, records):
        lines = (Path(directory) / "log").read_bytes().splitlines(keepends=True)
        last = data.draw(st.integers(1, len(lines)))
        after, count = data.draw(st.integers(0, len(lines))), data.draw(st.integers(1, 70))
        # when lines are read until the reader gives none
        found, end = list[bytes](), records[last - 1].end
        while more := reader.lines(after + len(found), count, end):
            assert len(more) <= count
            found += more
        # then they are all lines after the position, up to the end
        assert found == lines[after:last]


@pytest.mark.parametrize("lengths", UNEQUAL_LENGTHS.values(), ids=UNEQUAL_LENGTHS)
def test_lines_are_read_after_each_position(tmp_path: Path, lengths: list[int]) -> None:
    with reading(tmp_path / "log", lengths) as (reader, records):
        lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
        for after in range(len(lines)):
            assert reader.lines(after, 1, records[-1].end) == [lines[after]]
        assert reader.lines(len(lines), 5, records[-1].end) == reader.lines(10**9, 5, records[-1].end) == []
        assert reader.lines(0, 0, records[-1].end) == []


def test_a_page_of_lines_has_about_a_mebibyte(tmp_path: Path) -> None:
    with reading(tmp_path / "log", [1_000] * 2_000) as (reader, records):
        lines = reader.lines(0, 10_000, records[-1].end)
        assert 0.99 * PAGE_BYTES < sum(map(len, lines)) <= PAGE_BYTES


@pytest.mark.parametrize("altered", range(1, 10))
def test_lines_before_an_altered_one_are_read_and_the_altered_one_is_unavailable(tmp_path: Path, altered: int) -> None:
    log = tmp_path / "log"
    with reading(log, [10] * 9) as (reader, records):
        lines = log.read_bytes().splitlines(keepends=True)
        changed = [*lines]
        changed[altered - 1] = lines[altered - 1].replace(b"x" * 10, b"y" * 10)
        log.write_bytes(b"".join(changed))
        if altered > 1:
            assert reader.lines(0, 9, records[-1].end) == lines[: altered - 1]
        with pytest.raises(StoreUnavailable, match="was altered or has lost lines"):
            reader.lines(altered - 1, 9, records[-1].end)
        assert reader.lines(altered, 9, records[-1].end) == lines[altered:]


@pytest.mark.parametrize("alter", ["overwrite", "cut", "rearrange_lines", "remove_lines"])
def test_an_altered_log_gives_lines_as_they_were_or_is_unavailable(alter: str) -> None:
    @budget(60)
    @given(lengths=st.lists(st.integers(1, 2_000), min_size=1, max_size=12), data=st.data())
    def assert_no_other_line_is_read(lengths: list[int], data: st.DataObject) -> None:
        with TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            with reading(log, lengths) as (reader, records):
                lines = log.read_bytes().splitlines(keepends=True)
                log.write_bytes(globals()[alter](log.read_bytes(), data))
                for after in range(len(lines)):
                    with suppress(StoreUnavailable):
                        found = reader.lines(after, 5, records[-1].end)
                        assert found == lines[after : after + len(found)] != []

    assert_no_other_line_is_read()


def overwrite(content: bytes, data: st.DataObject) -> bytes:
    """Overwrite a few bytes."""
    start, length = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 300))
    noise = data.draw(st.sampled_from([b"\0", b"\n", b"x", b"9", b'{"position":7,'])) * length
    return content[:start] + noise[:length] + content[start + length :]


def cut(content: bytes, data: st.DataObject) -> bytes:
    return content[: data.draw(st.integers(0, len(content)))]


def rearrange_lines(content: bytes, data: st.DataObject) -> bytes:
    """Remove, repeat and move lines."""
    lines = content.splitlines(keepends=True)
    return b"".join(data.draw(st.lists(st.sampled_from(lines), max_size=2 * len(lines))))


def remove_lines(content: bytes, data: st.DataObject) -> bytes:
    lines = content.splitlines(keepends=True)
    start = data.draw(st.integers(0, len(lines) - 1))
    return b"".join(lines[:start] + lines[start + data.draw(st.integers(1, 3)) :])


@pytest.mark.parametrize("alter", [overwrite, cut, rearrange_lines, remove_lines])
def test_an_altered_log_gives_each_record_as_it_was_or_makes_it_unavailable(
    alter: Callable[[bytes, st.DataObject], bytes],
) -> None:
    @budget(60)
    @given(lengths=st.lists(st.integers(1, 2_000), min_size=1, max_size=12), data=st.data())
    def assert_no_other_record_is_read(lengths: list[int], data: st.DataObject) -> None:
        with TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            with reading(log, lengths) as (reader, records):
                log.write_bytes(alter(log.read_bytes(), data))
                for record in records:
                    with suppress(StoreUnavailable):
                        [found] = reader.records([record.end.position], records[-1].end)
                        assert (found.event, found.recorded_at) == (record.event, record.recorded_at)
                        assert found.end.chain == record.end.chain

    assert_no_other_record_is_read()


@pytest.mark.parametrize("position", [1, 5, 9])
def test_an_altered_line_is_named_and_the_others_are_read(tmp_path: Path, position: int) -> None:
    log = tmp_path / "log"
    with reading(log, [10] * 9) as (reader, records):
        lines = log.read_bytes().splitlines(keepends=True)
        lines[position - 1] = lines[position - 1].replace(b"x" * 10, b"y" * 10)
        log.write_bytes(b"".join(lines))
        offset = len(b"".join(lines[: position - 1]))
        with pytest.raises(StoreUnavailable, match=rf"{log} is damaged at line {position} \(byte offset {offset}\)"):
            reader.records([position], records[-1].end)
        others = [record for record in records if record.end.position != position]
        assert reader.records([one.end.position for one in others], records[-1].end) == others


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_a_line_after_the_end_of_a_shortened_log_is_unavailable(tmp_path: Path, kept: int) -> None:
    log = tmp_path / "log"
    with reading(log, [10] * 9) as (reader, records):
        lines = log.read_bytes().splitlines(keepends=True)
        end = records[-1].end
        for torn in (b"", lines[kept][:-1], lines[kept][:30]):
            log.write_bytes(b"".join(lines[:kept]) + torn)
            assert reader.records(range(1, kept + 1), end) == records[:kept]
            for position in range(kept + 1, 10):
                with pytest.raises(StoreUnavailable, match=f"{log} (has no record at position|is damaged at line)"):
                    reader.records([position], end)


def test_a_page_is_unavailable_if_the_log_is_truncated_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(tmp_path / "log", [10] * 9) as (reader, records):

        def find_and_truncate(*arguments: Any) -> FoundLine | None:
            found = find_line(*arguments)
            os.truncate(tmp_path / "log", 0)
            return found

        monkeypatch.setattr("lockstream.infrastructure.file_log.reader.find_line", find_and_truncate)
        with pytest.raises(StoreUnavailable, match="has lost lines"):
            reader.lines(3, 5, records[-1].end)


def test_a_position_that_the_log_lacks_is_unavailable(tmp_path: Path) -> None:
    with reading(tmp_path / "log", [10] * 5) as (reader, records):
        for position in (-1, 0, 6, 2**63):
            with pytest.raises(StoreUnavailable, match=rf"no record at position {position}\. Run `lockstream verify`"):
                reader.records([1, position], records[-1].end)


def test_a_reader_that_was_closed_reads_nothing(tmp_path: Path) -> None:
    with written(tmp_path / "log", [10]):
        reader = LogReader.open(tmp_path / "log")
        [record] = read_log(tmp_path / "log")
        reader.close()
        with pytest.raises(StoreUnavailable, match=rf"{tmp_path / 'log'} cannot be read \(Bad file descriptor\)"):
            reader.records([1], record.end)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(reader._file)


def test_a_missing_log_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=rf"{tmp_path / 'log'} cannot be read \(No such file or directory\)"):
        LogReader.open(tmp_path / "log")


def test_the_reader_of_a_writer_has_a_descriptor_of_its_own(log_path: Path) -> None:
    # given a writer and its reader
    log = LogWriter(log_path)
    reader = log.reader()
    log.append([event(registered())], RECORDED_AT)
    log.flush()
    [record] = reader.records([1], log.end)
    # when the writer is closed, then the reader still reads
    assert not os.get_inheritable(reader._file)
    log.close()
    assert reader.records([1], record.end) == [record]
    reader.close()


def test_a_closed_reader_leaves_its_writer_open(log: LogWriter) -> None:
    log.reader().close()
    log.append([event(registered())], RECORDED_AT)
    log.flush()
    assert [record.end for record in log.records([1])] == [log.end]


def test_several_threads_read_at_once(tmp_path: Path) -> None:
    with reading(tmp_path / "log", [1, 3_000] * 40) as (reader, records):

        def read(first: int) -> list[Record]:
            return reader.records(range(first, len(records) + 1), records[-1].end)

        with ThreadPoolExecutor(4) as threads:
            for first, found in enumerate(threads.map(read, range(1, 41)), 1):
                assert found == records[first - 1 :]

"""The last line of a log: what was wholly written was acknowledged, and is never cut off."""

from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.errors import LogDamaged
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited


@pytest.fixture
def whole(log_path: Path) -> bytes:
    """A log of ten lines that the real system has written; its projection is lost, and cannot help."""
    record(log_path, history())
    projection_path(log_path).unlink()
    return log_path.read_bytes()


def opened(log: Path) -> LogDamaged | None:
    """Why a start is refused, if it is; then nothing may have changed."""
    before = files_beside(log)
    try:
        LogWriter(log).close()
    except LogDamaged as error:
        assert files_beside(log) == before
        return error
    return None


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_a_whole_last_line_never_costs_the_event(log_path: Path, whole: bytes, bit: int) -> None:
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    kept = []
    for index in range(last, len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 1 << bit
        log_path.write_bytes(damaged)
        if error := opened(log_path):
            assert (error.line, error.offset) == (10, last)
        else:
            assert log_path.read_bytes() == whole
            kept.append(index)
        for path in log_path.parent.glob("*.torn-*"):
            path.unlink()
    assert set(kept) <= {len(whole) - 1}, "only where the line end was hit, all of the event is there"


@pytest.mark.parametrize("where", ["first", "in the middle"])
@pytest.mark.parametrize("length", [2, 40, 400])
def test_a_stretch_of_zeros_in_a_whole_last_line_stops_the_start(
    log_path: Path, whole: bytes, where: str, length: int
) -> None:
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    begin = last if where == "first" else last + 20
    end = min(begin + length, len(whole) - 90)
    log_path.write_bytes(whole[:begin] + b"\x00" * (end - begin) + whole[end:])
    error = opened(log_path)
    assert error is not None
    assert (error.line, error.offset) == (10, last)


@pytest.mark.parametrize("number", [1, 2, 10])
def test_a_flipped_bit_in_the_only_or_last_line_stops_the_real_start(log_path: Path, number: int) -> None:
    record(log_path, history()[:number])
    content = log_path.read_bytes()
    log_path.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    before = files_beside(log_path)
    with pytest.raises(LogDamaged, match=rf"line {number}\b"):
        hashes_after_start(log_path)
    assert files_beside(log_path) == before


@pytest.mark.parametrize("ended", [b"", b"\n"])
@pytest.mark.parametrize("garbage", [b"garbage", b"\xff\xfe\x80", b"{}", b"[1, 2]", b"\x00" * 5_000, b'{"event_id":1}'])
def test_garbage_that_nobody_wrote_as_a_record_is_cut_off_and_kept(
    log_path: Path, whole: bytes, garbage: bytes, ended: bytes
) -> None:
    log_path.write_bytes(whole + garbage + ended)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == whole
    assert [path.read_bytes() for path in log_path.parent.glob("*.torn-*")] == [garbage + ended]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_a_part_of_a_record_without_a_line_end_is_cut_off_and_kept(log_path: Path, whole: bytes, share: float) -> None:
    record(log_path, [registered("c3")])
    torn = log_path.read_bytes()[len(whole) :]
    torn = torn[: int(share * len(torn))]
    projection_path(log_path).unlink()
    log_path.write_bytes(whole + torn)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == whole
    assert [path.read_bytes() for path in log_path.parent.glob("*.torn-*")] == [torn]
    record(log_path, [registered("c3")])
    assert len(audited(log_path)) == 11


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_part_of_a_record_with_zeros_behind_it_is_cut_off_and_kept(
    log_path: Path, whole: bytes, share: float
) -> None:
    """As after a power failure, where the length came to the disk before the content."""
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    begin = last + int(share * (len(whole) - last))
    log_path.write_bytes(whole[:begin] + b"\x00" * (len(whole) - begin))
    assert opened(log_path) is None
    assert log_path.read_bytes() == whole[:last]
    assert [path.read_bytes() for path in log_path.parent.glob("*.torn-*")] == [
        whole[last:begin] + b"\x00" * (len(whole) - begin)
    ]


SECTOR = 512


@pytest.fixture
def unflushed(log_path: Path, whole: bytes) -> bytes:
    """Ten lines more, which nobody was told of: all came to the disk, unless a test says otherwise."""
    record(log_path, history("locker-2"))
    projection_path(log_path).unlink()
    content = log_path.read_bytes()
    assert len(content) - len(whole) > 4 * SECTOR
    return content


def with_a_hole(content: bytes, begin: int, end: int) -> bytes:
    return content[:begin] + b"\0" * (end - begin) + content[end:]


@pytest.mark.parametrize("sectors", [1, 2, 3])
def test_a_flush_of_which_only_later_sectors_came_to_the_disk_is_cut_off_and_kept(
    log_path: Path, whole: bytes, unflushed: bytes, sectors: int
) -> None:
    """As after a power failure: what is not flushed comes to the disk in any order."""
    first = len(whole) // SECTOR
    for begin in (len(whole), (first + 1) * SECTOR, (first + 2) * SECTOR):
        left = with_a_hole(unflushed, begin, (first + 2 + sectors) * SECTOR)
        log_path.write_bytes(left)
        kept = left[: left.rindex(b"\n", 0, begin) + 1]
        assert hashes_after_start(log_path) == hashes_after_replay(log_path)
        assert log_path.read_bytes() == kept
        assert [path.read_bytes() for path in log_path.parent.glob("*.torn-*")] == [left[len(kept) :]]
        for path in log_path.parent.glob(f"{log_path.name}?*"):
            path.unlink()


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_hole_that_no_disk_leaves_stops_the_start(log_path: Path, whole: bytes, unflushed: bytes, shift: int) -> None:
    first = len(whole) // SECTOR
    log_path.write_bytes(with_a_hole(unflushed, (first + 1) * SECTOR, (first + 2) * SECTOR + shift))
    assert opened(log_path) is not None


def test_a_hole_in_what_the_projection_has_seen_stops_the_start(log_path: Path, whole: bytes) -> None:
    record(log_path, history("locker-2"))
    first = len(whole) // SECTOR
    log_path.write_bytes(with_a_hole(log_path.read_bytes(), (first + 1) * SECTOR, (first + 2) * SECTOR))
    with pytest.raises(LogDamaged, match=r"a line was altered|not the form of a record"):
        hashes_after_start(log_path)


def written_over(seconds: float) -> bytes:
    """Lines of which some half were written so many seconds before the others."""
    content, end, now = b"", START, datetime(2026, 11, 25, 8, tzinfo=UTC)
    events = [event(registered(f"c{number}")) for number in range(40)]
    for number, half in enumerate(batched(events, 20)):
        moment = (now + timedelta(seconds=number * seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lines, end = encode_lines(half, moment, end)
        content += lines
    return content


@pytest.mark.parametrize(("seconds", "refused"), [(1, False), (60, True)])
def test_a_hole_in_what_had_been_flushed_long_before_the_last_line_stops_the_start(
    log_path: Path, seconds: float, refused: bool
) -> None:
    log_path.write_bytes(with_a_hole(written_over(seconds), 2 * SECTOR, 3 * SECTOR))
    assert (opened(log_path) is not None) is refused

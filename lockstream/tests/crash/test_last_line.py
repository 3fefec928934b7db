"""The last line of a log: a completely written line was acknowledged, and is never truncated."""

from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.errors import LogFileDamaged
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited

SECTOR = 512


@pytest.fixture
def whole(log_path: Path) -> bytes:
    """A log of ten lines that the real store has written. Its projection is lost, so only the log can tell."""
    record(log_path, history())
    projection_path(log_path).unlink()
    return log_path.read_bytes()


def refusal_of(log: Path) -> LogFileDamaged | None:
    """Open the log, and return why that is refused, if it is. A refusal must have changed nothing."""
    before = files_beside(log)
    try:
        LogWriter(log).close()
    except LogFileDamaged as error:
        assert files_beside(log) == before
        return error
    return None


def torn_files(log: Path) -> list[bytes]:
    """Return the contents of the files in which starts have kept torn tails."""
    return [path.read_bytes() for path in log.parent.glob("*.torn-*")]


def last_line_start(log: bytes) -> int:
    return log.rindex(b"\n", 0, len(log) - 1) + 1


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_a_complete_last_line_never_loses_the_event(log_path: Path, whole: bytes, bit: int) -> None:
    last, accepted = last_line_start(whole), []
    every_byte = range(last, len(whole))
    for index in every_byte if FULL else sorted({*every_byte[bit::8], *every_byte[-10:]}):
        damaged = bytearray(whole)
        damaged[index] ^= 1 << bit
        log_path.write_bytes(damaged)
        if error := refusal_of(log_path):
            assert (error.position, error.offset) == (10, last)
        else:
            assert log_path.read_bytes() == whole
            accepted.append(index)
        for path in log_path.parent.glob("*.torn-*"):
            path.unlink()
    assert set(accepted) <= {len(whole) - 1}, "the event is complete only if the flipped bit is in the line end"


@pytest.mark.parametrize("at", ["first", "in the middle"])
@pytest.mark.parametrize("length", [2, 40, 400])
def test_zeros_in_a_complete_last_line_refuse_the_start(log_path: Path, whole: bytes, at: str, length: int) -> None:
    last = last_line_start(whole)
    begin = last if at == "first" else last + 20
    end = min(begin + length, len(whole) - 90)
    log_path.write_bytes(with_zeros(whole, begin, end))
    error = refusal_of(log_path)
    assert error is not None
    assert (error.position, error.offset) == (10, last)


@pytest.mark.parametrize("number", [1, 2, 10])
def test_a_flipped_bit_in_the_last_line_refuses_the_start_of_a_store(log_path: Path, number: int) -> None:
    record(log_path, history()[:number])
    content = log_path.read_bytes()
    log_path.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    before = files_beside(log_path)
    with pytest.raises(LogFileDamaged, match=rf"line {number}\b"):
        hashes_after_start(log_path)
    assert files_beside(log_path) == before


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("garbage", [b"garbage", b"\xff\xfe\x80", b"{}", b"[1, 2]", b"\x00" * 5_000, b'{"event_id":1}'])
def test_a_start_truncates_garbage_that_was_never_a_record_and_keeps_it(
    log_path: Path, whole: bytes, garbage: bytes, end: bytes
) -> None:
    log_path.write_bytes(whole + garbage + end)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == whole
    assert torn_files(log_path) == [garbage + end]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_a_start_truncates_a_part_of_a_record_without_a_line_end_and_keeps_it(
    log_path: Path, whole: bytes, share: float
) -> None:
    # given a log that ends in a part of a record
    record(log_path, [registered("c3")])
    torn = log_path.read_bytes()[len(whole) :]
    torn = torn[: int(share * len(torn))]
    projection_path(log_path).unlink()
    log_path.write_bytes(whole + torn)
    # when it is started, then that part is kept beside the log
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == whole
    assert torn_files(log_path) == [torn]
    # then the event can be sent again
    record(log_path, [registered("c3")])
    assert len(audited(log_path)) == 11


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_start_truncates_a_part_of_a_record_with_zeros_after_it_and_keeps_it(
    log_path: Path, whole: bytes, share: float
) -> None:
    """A power failure leaves zeros if the length reached the disk before the content."""
    last = last_line_start(whole)
    begin = last + int(share * (len(whole) - last))
    damaged = with_zeros(whole, begin, len(whole))
    log_path.write_bytes(damaged)
    assert refusal_of(log_path) is None
    assert log_path.read_bytes() == whole[:last]
    assert torn_files(log_path) == [damaged[last:]]


@pytest.fixture
def unflushed(log_path: Path, whole: bytes) -> bytes:
    """The log with ten more lines, none of which was acknowledged. Its projection is lost."""
    record(log_path, history("locker-2"))
    projection_path(log_path).unlink()
    content = log_path.read_bytes()
    assert len(content) - len(whole) > 4 * SECTOR
    return content


def with_zeros(content: bytes, begin: int, end: int) -> bytes:
    return content[:begin] + b"\0" * (end - begin) + content[end:]


@pytest.mark.parametrize("sectors", [1, 2, 3])
def test_a_start_truncates_from_the_first_unwritten_sector_on_and_keeps_the_rest(
    log_path: Path, whole: bytes, unflushed: bytes, sectors: int
) -> None:
    """Before a flush ends, sectors reach the disk in any order: later ones may be there without earlier ones."""
    first = len(whole) // SECTOR
    for begin in (len(whole), (first + 1) * SECTOR, (first + 2) * SECTOR):
        damaged = with_zeros(unflushed, begin, (first + 2 + sectors) * SECTOR)
        log_path.write_bytes(damaged)
        rest = damaged[: damaged.rindex(b"\n", 0, begin) + 1]
        assert hashes_after_start(log_path) == hashes_after_replay(log_path)
        assert log_path.read_bytes() == rest
        assert torn_files(log_path) == [damaged[len(rest) :]]
        for path in log_path.parent.glob(f"{log_path.name}?*"):
            path.unlink()


@pytest.mark.parametrize("shift", [-1, 1])
def test_zeros_that_do_not_end_where_a_sector_ends_refuse_the_start(
    log_path: Path, whole: bytes, unflushed: bytes, shift: int
) -> None:
    first = len(whole) // SECTOR
    log_path.write_bytes(with_zeros(unflushed, (first + 1) * SECTOR, (first + 2) * SECTOR + shift))
    assert refusal_of(log_path) is not None


def test_an_unwritten_sector_in_a_line_that_the_projection_has_seen_refuses_the_start(
    log_path: Path, whole: bytes
) -> None:
    record(log_path, history("locker-2"))
    first = len(whole) // SECTOR
    log_path.write_bytes(with_zeros(log_path.read_bytes(), (first + 1) * SECTOR, (first + 2) * SECTOR))
    with pytest.raises(LogFileDamaged, match=r"a line was altered|not the form of a record"):
        hashes_after_start(log_path)


def recorded_over(seconds: float) -> bytes:
    """Return 40 lines; the second half was recorded this many seconds after the first."""
    content, end, now = b"", START, datetime(2026, 11, 25, 8, tzinfo=UTC)
    events = [event(registered(f"c{number}")) for number in range(40)]
    for number, half in enumerate(batched(events, 20)):
        moment = (now + timedelta(seconds=number * seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lines, end = encode_lines(half, moment, end)
        content += b"".join(lines)
    return content


@pytest.mark.parametrize(("seconds", "is_refused"), [(1, False), (60, True)])
def test_an_unwritten_sector_refuses_the_start_if_later_lines_were_recorded_long_after_it(
    log_path: Path, seconds: float, is_refused: bool
) -> None:
    log_path.write_bytes(with_zeros(recorded_over(seconds), 2 * SECTOR, 3 * SECTOR))
    assert (refusal_of(log_path) is not None) is is_refused

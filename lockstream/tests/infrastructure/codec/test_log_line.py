"""A line of the log gives away any change to it and to its place."""

from itertools import permutations

import pytest
from msgspec.structs import replace

from lockstream.core.entities.log import START, Cursor
from lockstream.infrastructure.codec.log_line import InvalidLine, check_line, cursor_behind, decode_lines, encode_lines
from lockstream.tests.support.builders import deposited, event, fault_reported, registered, reserved

NOW = "2026-11-23T08:15:00.123456Z"


def written(count: int = 4) -> list[tuple[bytes, Cursor, Cursor]]:
    """Lines, each with the cursor before it and the one behind it."""
    bodies = [registered(locker="é \U0001f512"), reserved(), deposited(), fault_reported()][:count]
    lines, end = [], START
    for body in bodies:
        before = end
        line, end = encode_lines([event(body)], NOW, before)
        lines.append((line, before, end))
    together = encode_lines([event(body) for body in bodies], NOW, START)
    assert together == (b"".join(line for line, _, _ in lines), end), (
        "they are the same, however many are written at once"
    )
    return lines


def refuses(line: bytes, after: Cursor) -> None:
    with pytest.raises(InvalidLine):
        check_line(line, after)
    with pytest.raises(InvalidLine):
        decode_lines([line], after)


def follow_each_other(*lines: bytes) -> bool:
    end = START
    try:
        for line in lines:
            end = check_line(line, end)
    except InvalidLine:
        return False
    return True


def test_lines_that_follow_each_other_are_read_as_they_were_written() -> None:
    offset = 0
    for position, (line, before, end) in enumerate(written(), 1):
        offset += len(line)
        [record] = decode_lines([line], before)
        assert check_line(line, before) == record.end == end == cursor_behind(line, offset)
        assert (end.position, end.offset, record.recorded_at) == (position, offset, NOW)


def test_lines_that_are_read_together_are_read_up_to_the_first_that_is_not_what_was_written() -> None:
    lines, _, ends = zip(*written(), strict=True)
    whole = decode_lines(lines, START)
    assert tuple(record.end for record in whole) == ends
    for place in range(1, len(lines)):
        altered = [*lines[:place], lines[place].replace(b"locker", b"Locker"), *lines[place + 1 :]]
        assert decode_lines(altered, START) == whole[:place]
        empty, _ = encode_lines([replace(whole[place].event, payload=b"{}")], NOW, whole[place - 1].end)
        assert decode_lines([*lines[:place], empty], START) == whole[:place]


def test_it_is_told_what_is_wrong_with_a_line() -> None:
    (first, _, after_first), _, (third, _, _) = written(3)
    with pytest.raises(InvalidLine, match="position 2 should stand here"):
        check_line(third, after_first)
    with pytest.raises(InvalidLine, match="altered"):
        check_line(first.replace(b"compartment-1", b"compartment-2"), START)
    with pytest.raises(InvalidLine, match="torn"):
        check_line(first[:-1], START)


def test_every_flipped_bit_is_seen() -> None:
    for line, before, _ in written(2):
        for bit in range(8 * len(line)):
            flipped = bytearray(line)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(InvalidLine):
                check_line(bytes(flipped), before)


def test_every_truncation_is_seen() -> None:
    for line, before, _ in written(2):
        for length in range(len(line)):
            refuses(line[:length], before)
            refuses(line[length + 1 :], before)


def test_every_byte_that_is_dropped_or_doubled_is_seen() -> None:
    line, before, _ = written(1)[0]
    for place in range(len(line)):
        refuses(line[:place] + line[place + 1 :], before)
        if line[place] != line[place - 1]:
            refuses(line[: place + 1] + line[place:], before)


def test_every_order_but_the_one_they_were_written_in_is_seen() -> None:
    lines = written()
    for order in permutations(line for line, _, _ in lines):
        healthy = list(order) == [line for line, _, _ in lines]
        assert follow_each_other(*order) == healthy


def test_a_line_that_is_skipped_or_repeated_is_seen() -> None:
    lines = written()
    for place, (line, before, end) in enumerate(lines):
        refuses(line, end)
        for other, _, _ in lines[:place] + lines[place + 1 :]:
            refuses(other, before)


def test_a_line_of_another_log_is_seen_though_its_position_fits() -> None:
    (_, _, end), (line, _, _) = written(1)[0], written(2)[1]
    refuses(line, end)


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"null\n", b"\x00" * 300, b"\xff" * 300, b'{"position":1}\n'])
def test_what_was_never_a_line_is_seen(line: bytes) -> None:
    refuses(line, START)


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"\xff\n", b'{"position":1}\n'])
def test_what_was_never_a_line_gives_no_cursor(line: bytes) -> None:
    with pytest.raises(InvalidLine):
        cursor_behind(line, 1)


def test_a_line_whose_chain_fits_yet_holds_no_event_is_seen() -> None:
    forged, end = encode_lines([replace(event(registered()), payload=b"{}")], NOW, START)
    assert check_line(forged, START) == end
    with pytest.raises(InvalidLine, match="holds no event"):
        decode_lines([forged], START)

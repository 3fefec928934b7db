"""Log line: every change to a line, or to its place in the log, is found."""

from datetime import UTC, datetime
from hashlib import sha256
from itertools import permutations
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from lockstream.core.entities.events import JsonText, KeyId
from lockstream.core.entities.log import START, Cursor
from lockstream.infrastructure.codec.log_line import (
    InvalidLine,
    check_line,
    check_lines,
    claimed_end,
    claimed_position,
    claimed_time,
    decode_lines,
    encode_lines,
    encode_record,
    event_id_of,
    format_line,
    line_ends,
    looks_like_record,
    utc_now,
    whole_record,
)
from lockstream.tests.support.builders import deposited, event, fault_reported, registered, reserved

NOW = "2026-11-23T08:15:00.123456Z"
NOT_LINES = [b"", b"\n", b"{}\n", b"null\n", b"\x00" * 300, b"\xff" * 300, b"\xff\n", b'{"position":1}\n']


KEY = KeyId("k3y8char")


class Line(NamedTuple):
    """A line of a log, and the cursors around it."""

    text: bytes
    before: Cursor
    end: Cursor


def written(count: int = 4) -> list[Line]:
    """Return the first lines of a log. A key reported the second event."""
    bodies = [registered(locker="é \U0001f512"), reserved(), deposited(), fault_reported()][:count]
    events = [event(body) for body in bodies]
    if count > 1:
        events[1] = replace(events[1], recorded_by=KEY)
    lines: list[Line] = []
    end = START
    for one in events:
        before = end
        [text], end = encode_lines([one], NOW, before)
        lines.append(Line(text, before, end))
    together = encode_lines(events, NOW, START)
    assert together == ([line.text for line in lines], end), "lines depend on how many are encoded at once"
    return lines


def assert_invalid(text: bytes, after: Cursor) -> None:
    with pytest.raises(InvalidLine):
        check_line(text, after)
    with pytest.raises(InvalidLine):
        decode_lines([text], after)
    assert check_lines([text], after) == []


def is_chain(*texts: bytes) -> bool:
    """Return whether these lines are a log."""
    end = START
    try:
        for text in texts:
            end = check_line(text, end)
    except InvalidLine:
        return False
    return True


def test_lines_are_decoded_as_they_were_encoded() -> None:
    offset = 0
    for position, line in enumerate(written(), 1):
        offset += len(line.text)
        [record] = decode_lines([line.text], line.before)
        assert check_line(line.text, line.before) == record.end == line.end == claimed_end(line.text, offset)
        assert (line.end.position, line.end.offset, record.recorded_at) == (position, offset, NOW)
        assert encode_record(record) == line.text


def test_the_ends_of_lines_are_known_without_decoding_them() -> None:
    lines = written()
    texts, ends = [line.text for line in lines], [line.end for line in lines]
    assert line_ends(texts, START) == check_lines(texts, START) == ends
    assert line_ends(texts[2:], ends[1]) == check_lines(texts[2:], ends[1]) == ends[2:]
    assert line_ends([], ends[1]) == []


def test_the_members_of_a_line_are_known_without_decoding_it() -> None:
    for position, line in enumerate(written(), 1):
        [record] = decode_lines([line.text], line.before)
        assert event_id_of(line.text) == event_id_of(line.text[:150]) == record.event.event_id
        assert claimed_position(line.text) == claimed_position(line.text[:20]) == position
        assert claimed_time(line.text) == datetime(2026, 11, 23, 8, 15, 0, 123456, UTC)


def test_a_line_is_formatted_from_its_members() -> None:
    for line in written():
        [record] = decode_lines([line.text], line.before)
        one, end = record.event, record.end
        members = one.occurred_at, one.locker_id, type(one).__name__, one.payload_text.decode(), end.chain
        assert (
            format_line(end.position, record.recorded_at, one.recorded_by or None, one.event_id, *members) == line.text
        )


def test_lines_are_decoded_up_to_the_first_invalid_one() -> None:
    lines = [line.text for line in written()]
    records = decode_lines(lines, START)
    assert [record.end for record in records] == [line.end for line in by_published_format(lines)]
    for index in range(1, len(lines)):
        altered = [*lines[:index], lines[index].replace(b"locker", b"Locker"), *lines[index + 1 :]]
        assert decode_lines(altered, START) == records[:index]
        [without_fields], _ = encode_lines(
            [replace(records[index].event, payload_text=JsonText(b"{}"))], NOW, records[index - 1].end
        )
        assert decode_lines([*lines[:index], without_fields], START) == records[:index]


def test_an_invalid_line_is_explained() -> None:
    first, _, third = written(3)
    with pytest.raises(InvalidLine, match="the record of position 2 is expected here"):
        check_line(third.text, first.end)
    with pytest.raises(InvalidLine, match="altered"):
        check_line(first.text.replace(b"compartment-1", b"compartment-2"), START)
    with pytest.raises(InvalidLine, match="torn"):
        check_line(first.text[:-1], START)


def test_every_flipped_bit_is_found() -> None:
    for line in written(2):
        for bit in range(8 * len(line.text)):
            flipped = bytearray(line.text)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(InvalidLine):
                check_line(bytes(flipped), line.before)


def test_every_truncation_is_found() -> None:
    for line in written(2):
        for length in range(len(line.text)):
            assert_invalid(line.text[:length], line.before)
            assert_invalid(line.text[length + 1 :], line.before)


def test_every_dropped_or_doubled_byte_is_found() -> None:
    [(text, before, _)] = written(1)
    for index in range(len(text)):
        assert_invalid(text[:index] + text[index + 1 :], before)
        if text[index] != text[index - 1]:
            assert_invalid(text[: index + 1] + text[index:], before)


def test_every_other_order_of_the_lines_is_found() -> None:
    texts = [line.text for line in written()]
    for order in permutations(texts):
        assert is_chain(*order) == (list(order) == texts)


def test_a_skipped_or_repeated_line_is_found() -> None:
    lines = written()
    for index, line in enumerate(lines):
        assert_invalid(line.text, line.end)
        for other in lines[:index] + lines[index + 1 :]:
            assert_invalid(other.text, line.before)


def test_a_line_of_another_log_is_found_even_if_its_position_fits() -> None:
    [line] = written(1)
    _, other = written(2)
    assert_invalid(other.text, line.end)


@pytest.mark.parametrize("text", NOT_LINES)
def test_a_text_that_was_never_a_line_is_invalid(text: bytes) -> None:
    assert_invalid(text, START)
    with pytest.raises(InvalidLine):
        claimed_end(text, 1)
    assert claimed_time(text) is None
    assert whole_record(text, START) == b""


def test_a_line_without_an_event_is_invalid_even_if_its_chain_value_is_right() -> None:
    [forged], end = encode_lines([replace(event(registered()), payload_text=JsonText(b"{}"))], NOW, START)
    assert check_line(forged, START) == end
    with pytest.raises(InvalidLine, match="does not hold an event"):
        decode_lines([forged], START)


def test_a_whole_record_is_found_before_any_other_bytes() -> None:
    for line in written():
        record = line.text[:-1]
        for after in (b"", b"\n", b"\x00" * 40, b"x", line.text, b"}\n", b',"chain":"' + b"0" * 64 + b'"}'):
            assert whole_record(record + after, line.before) == record
        assert whole_record(record, line.end) == b""
        assert whole_record(record[:-1], line.before) == b""
        assert whole_record(b" " + record, line.before) == b""


def test_a_record_is_whole_only_at_its_own_chain_member() -> None:
    payload = b'{"compartment_id":"c","extra":{"a":1,"chain":"%b"}}' % (b"0" * 64)
    [text], _ = encode_lines([replace(event(registered()), payload_text=JsonText(payload))], NOW, START)
    inner = text[: text.index(b'"}') + 2]
    assert inner.endswith(b"0" * 64 + b'"}')
    assert whole_record(text, START) == text[:-1]
    assert whole_record(inner, START) == b""


def test_a_text_that_begins_or_ends_as_a_record_looks_like_one() -> None:
    for text, _, _ in written():
        assert looks_like_record(text)
        assert looks_like_record(text[:-1])
        assert looks_like_record(text[:20])
        assert looks_like_record(b"x" + text[5:])
        assert looks_like_record(text[-80:])
        assert not looks_like_record(text[1:-1])
        assert not looks_like_record(text[-70:])
    for text in (b"", b"\n", b"{}\n", b'{"event_id":1}\n', b"\x00" * 300):
        assert not looks_like_record(text)


@pytest.mark.parametrize(
    "recorded_at",
    [
        "2026-11-23T08:15:00.1234567",
        "2026-11-23T08:15:00.123456X",
        "2026-13-23T08:15:00.123456Z",
        "\x00" * 27,
        "\udcff" * 27,
    ],
)
def test_a_line_whose_time_was_overwritten_claims_no_time(recorded_at: str) -> None:
    [(text, _, _)] = written(1)
    assert claimed_time(text.replace(NOW.encode(), recorded_at.encode(errors="surrogateescape"))) is None


def test_the_time_of_acceptance_has_microseconds_and_is_in_utc() -> None:
    earlier = datetime.now(UTC)
    text = utc_now()
    assert len(text) == len(NOW)
    assert text.endswith("Z")
    assert earlier <= datetime.fromisoformat(text) <= datetime.now(UTC)


def by_published_format(texts: list[bytes]) -> list[Line]:
    """Return the lines of a log with the cursors around them, computed by the published format."""
    lines: list[Line] = []
    end = START
    for text in texts:
        content = text[: text.rindex(b',"chain":')]
        chain = sha256(end.chain.encode() + content).hexdigest()
        lines.append(Line(text, end, Cursor(end.position + 1, end.offset + len(text), chain)))
        end = lines[-1].end
    return lines


def chained(content: bytes) -> bytes:
    """Return the first line of a log with this content, and with the right chain value."""
    return content + b',"chain":"%b"}\n' % sha256(START.chain.encode() + content).hexdigest().encode()


def test_the_key_that_reported_an_event_is_read_back() -> None:
    first, second, third, _ = decode_lines([line.text for line in written()], START)
    assert [one.event.recorded_by for one in (first, second, third)] == ["", KEY, ""]
    assert type(second.event.recorded_by) is type(first.event.recorded_by) is KeyId


def test_a_line_with_a_key_has_one_more_member_behind_its_time() -> None:
    body = registered()
    [without], _ = encode_lines([event(body)], NOW, START)
    [line], _ = encode_lines([replace(event(body), recorded_by=KEY)], NOW, START)
    time = f'"recorded_at":"{NOW}",'.encode()
    assert (
        line.partition(b',"chain"')[0]
        == without.replace(time, time + b'"recorded_by":"k3y8char",').partition(b',"chain"')[0]
    )
    assert line == chained(line.partition(b',"chain"')[0])


@pytest.mark.parametrize("position", [1, 10**17, 10**18 - 1])
@pytest.mark.parametrize("key_id", ["", "k", "k3y8char", "x" * 64])
def test_a_key_of_any_length_is_read_back_at_any_position(position: int, key_id: str) -> None:
    before = Cursor(position - 1, 0, "0" * 64)
    [line], _ = encode_lines([replace(event(registered()), recorded_by=KeyId(key_id))], NOW, before)
    [record] = decode_lines([line], before)
    assert (record.event.recorded_by, record.recorded_at, encode_record(record)) == (key_id, NOW, line)
    assert (event_id_of(line), claimed_time(line) is not None) == (record.event.event_id, True)


@pytest.mark.parametrize("key_id", ["", "\\u0041", "a b", "ä", "x" * 65, 'k","recorded_by":"l'])
def test_a_line_whose_key_is_not_the_id_of_a_key_is_invalid_although_its_chain_value_is_right(key_id: str) -> None:
    [line], _ = encode_lines([replace(event(registered()), recorded_by=KEY)], NOW, START)
    forged = chained(line.partition(b',"chain"')[0].replace(KEY.encode(), key_id.encode()))
    assert check_line(forged, START).position == 1
    with pytest.raises(InvalidLine, match="does not hold an event"):
        decode_lines([forged], START)


def test_a_payload_that_looks_like_a_key_names_no_key() -> None:
    bodies = [
        registered(recorded_by="k3y8char", note='","recorded_by":"k3y8char","event_id":"'),
        registered('c","recorded_by":"k3y8char'),
        registered(locker='","recorded_by":"k3y8char","event_id":"x'),
    ]
    lines, _ = encode_lines([event(body) for body in bodies], NOW, START)
    assert [record.event.recorded_by for record in decode_lines(lines, START)] == ["", "", ""]
    assert [event_id_of(line) for line in lines] == [body["event_id"] for body in bodies]


def test_a_line_that_holds_only_its_position_is_invalid_although_its_chain_value_is_right() -> None:
    content = b'{"position":1'
    chain = sha256(START.chain.encode() + content).hexdigest()
    assert_invalid(content + f',"chain":"{chain}"}}\n'.encode(), START)

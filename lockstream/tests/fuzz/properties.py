"""What holds of the decoders whatever bytes they are given.

`test_decoders.py` tries it with what Hypothesis makes up, `make fuzz` with what leads to code that was not reached yet.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

import pytest
from fastapi.responses import JSONResponse
from msgspec.structs import replace

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_archived, decode_event, decode_events, encode_event
from lockstream.infrastructure.codec.log_line import (
    InvalidLine,
    check_lines,
    cursor_behind,
    decode_lines,
    encode_lines,
    looks_like_record,
    part_to_keep,
)
from lockstream.schemas.batches import Lines, MalformedItem, read_items, split_array, split_by_brackets
from lockstream.schemas.events import MalformedBody, parse_event
from lockstream.tests.support.builders import deposited, event, registered, reserved

LIMIT = 512
"""The largest event, in bytes: few enough for a fuzzer to go beyond."""

MOST = 8
"""Items of a batch."""

BLANKS = b" \t\r\n"
NOW = "2026-11-23T08:15:00.000000Z"
GOOD = [event(registered(locker="é")), event(reserved()), event(deposited(note=[1, {}]))]
TEXTS = [encode_event(each) for each in GOOD]
LOG, _ = encode_lines(GOOD, NOW, START)

CPU_SECONDS = 5
"""Far beyond what any input of a few KB takes, unless the time grows with a power of its length."""


def event_is_decoded_alike(text: bytes) -> None:
    """Alone and among others; and what is accepted is written on one line and read back equal."""
    alone = _alone(text)
    for decode in (decode_events, decode_archived):
        before, among, after = decode([TEXTS[0], text, TEXTS[1]])
        assert (before, after) == (GOOD[0], GOOD[1])
        if decode is decode_events or alone is not None:
            assert among == alone if alone is not None else isinstance(among, MalformedEvent)
    if alone is None:
        with pytest.raises(MalformedBody) as refused:
            parse_event(text)
        assert refused.value.errors
        JSONResponse({"detail": refused.value.errors})
    else:
        assert parse_event(text) == alone
        assert decode_event(encode_event(alone)) == alone
        line, end = encode_lines([alone], NOW, START)
        assert line.count(b"\n") == 1
        [record] = decode_lines([line], START)
        assert (record.event, record.recorded_at, record.end) == (alone, NOW, end)


def array_is_split_alike(body: bytes) -> None:
    """By the decoder and by its brackets; and each item comes to what it comes to alone."""
    try:
        fast = split_array(body, MOST)
        split = split_by_brackets(body, MOST, LIMIT)
    except MalformedBody as error:
        JSONResponse({"detail": error.errors})
        return
    assert len(split) <= MOST + 1
    if fast:
        assert fast == [item.strip(BLANKS) for item in split]
    if fast == []:
        assert [item.strip(BLANKS) for item in split] in ([], [b""])
    _items_are_read_alike([item.strip(BLANKS) for item in split])


def lines_are_split_alike(body: bytes) -> None:
    """However they come in: at once, or in pieces that are as long as the body's first bytes say."""
    whole = Lines(LIMIT)
    expected = [*whole.feed(body), *whole.finish()]
    pieces, found, start = Lines(LIMIT), [], 0
    for size in [*body[:16], len(body)]:
        found += pieces.feed(body[start : start + size])
        start += size
    found += pieces.finish()
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other or min(len(one), len(other)) > LIMIT
    plain = [text for line in body.split(b"\n") if (text := line.strip(BLANKS))]
    assert [text if len(text) <= LIMIT else None for text in plain] == [
        text if len(text) <= LIMIT else None for text in expected
    ]
    _items_are_read_alike(expected)


def altered_log_is_read_up_to_there(change: bytes) -> None:
    """`change` says where, and puts its rest there in the place of as many bytes as it says."""
    place, dropped = int.from_bytes(change[:2]) % (len(LOG) + 1), int.from_bytes(change[2:3])
    altered = LOG[:place] + change[3:] + LOG[place + dropped :]
    healthy = decode_lines(LOG.splitlines(keepends=True), START)
    try:
        read = decode_lines(altered.splitlines(keepends=True) or [b""], START)
    except InvalidLine:
        read = []
    assert read == healthy[: len(read)]
    same = 0
    while same < min(len(altered), len(LOG)) and altered[same] == LOG[same]:
        same += 1
    assert len(read) >= LOG[:same].count(b"\n")


def line_is_read_or_refused(content: bytes) -> None:
    """Whatever its chain value vouches for, and whatever stands there in a line's place."""
    behind = b"," + TEXTS[0].removeprefix(b"{").removesuffix(b"}")
    for text in (content, b'{"position":1,' + content, b'{"position":1,' + content + behind, _members(content)):
        chain = sha256(START.chain.encode() + text).hexdigest()
        for line in (text, text + b"\n", text + b',"chain":"%b"}\n' % chain.encode()):
            _line_is_read_or_refused(line)


PROPERTIES: list[Callable[[bytes], None]] = [
    event_is_decoded_alike,
    array_is_split_alike,
    lines_are_split_alike,
    altered_log_is_read_up_to_there,
    line_is_read_or_refused,
]


def in_bounded_time(holds: Callable[[bytes], None], data: bytes) -> None:
    """Whether a property holds of a few KB, without taking long."""
    before = time.process_time()
    holds(data)
    assert time.process_time() - before < CPU_SECONDS


def _alone(text: bytes) -> Event | None:
    try:
        return decode_event(text)
    except MalformedEvent:
        return None


def _items_are_read_alike(texts: list[bytes]) -> None:
    items = read_items(texts, 0, LIMIT)
    assert len(items) == len(texts)
    for text, item in zip(texts, items, strict=True):
        if isinstance(item, MalformedItem):
            assert len(text) > LIMIT or _alone(text) is None
            assert item.errors
            item.answer()
        else:
            assert item == _alone(text)


def _members(payload: bytes) -> bytes:
    """A record without its chain value, whose payload is this."""
    return encode_lines([replace(GOOD[0], payload=payload)], NOW, START)[0].rpartition(b',"chain":')[0]


def _line_is_read_or_refused(line: bytes) -> None:
    looks_like_record(line)
    for last in False, True:
        with suppress(InvalidLine):
            assert line.startswith(part_to_keep(line, START, last))
    ends = check_lines([line], START)
    with suppress(InvalidLine):
        [record] = decode_lines([line], START)
        assert ends == [record.end]
    with suppress(InvalidLine):
        assert cursor_behind(line, len(line)).offset == len(line)

"""Properties that the decoders have for any bytes.

`test_decoders` tries each with what Hypothesis generates, `make fuzz` with inputs that reach new code.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from msgspec.structs import replace

from lockstream.core.entities.events import NO_KEY, Event, KeyId
from lockstream.core.entities.log import START
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import (
    decode_archived,
    decode_events,
    decode_recorded,
    encode_event,
)
from lockstream.infrastructure.codec.log_line import (
    InvalidLine,
    check_lines,
    claimed_end,
    claimed_time,
    decode_lines,
    encode_lines,
    looks_like_record,
)
from lockstream.infrastructure.file_log.recovery import Tail, recoverable_prefix
from lockstream.schemas import batches
from lockstream.schemas.batches import MalformedEntry, NdjsonReader, parse_items
from lockstream.schemas.events import EVENT, MalformedBody
from lockstream.tests.support.builders import decode_event, deposited, event, registered, reserved

MAX_EVENT_BYTES = 512
"""The largest event, in bytes: few enough for a fuzzer to exceed."""

MAX_ITEMS = 8
"""Items of a batch."""

BLANKS = b" \t\r\n"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NOW = "2026-11-23T08:15:00.000000Z"
EVENTS = [event(registered(locker="é")), event(reserved()), event(deposited(note=[1, {}]))]
KEYS = [NO_KEY, KeyId("k3y8char"), NO_KEY]
TEXTS = [encode_event(each) for each in EVENTS]
LINES, _ = encode_lines([replace(one, recorded_by=key) for one, key in zip(EVENTS, KEYS, strict=True)], NOW, START)
LOG = b"".join(LINES)

CPU_SECONDS = 5
"""Longest time for one input. Inputs of a few KB take far less, unless the time grows with a power of the length."""


def event_is_decoded_alike(text: bytes) -> None:
    """An event is decoded alike alone and among others; an accepted event comes back equal from one line of a log."""
    alone = _decoded(text)
    for decode in (decode_events, decode_archived, decode_recorded):
        before, among, after = decode([TEXTS[0], text, TEXTS[1]])
        assert (before, after) == (EVENTS[0], EVENTS[1])
        if alone is not None:
            assert among == alone
        elif decode is decode_events:
            assert isinstance(among, MalformedEvent)
            assert among.kind != "duplicate_member" or repeats_a_member(text)
    if alone is None:
        with pytest.raises(MalformedEvent) as raised:
            decode_event(text)
        errors = EVENT.explain(text, raised.value)
        assert errors
        JSONResponse({"detail": errors})
    else:
        assert not repeats_a_member(text)
        _comes_back_from_the_log(alone)


def array_is_split_alike(body: bytes) -> None:
    """An array is split alike by the decoder and by the scanner; each item is parsed as it is alone."""
    split, scanned = _split(body, batches.MANY_COMMAS), _split(body, -1)
    assert scanned is None or len(scanned) <= MAX_ITEMS + 1
    if split:  # the scanner is used only for arrays with many commas, never for an empty one
        assert scanned is not None
        assert [_unless_too_long(item) for item in scanned] == [_unless_too_long(item) for item in split]
    _are_parsed_alike(scanned or [])


def lines_are_split_alike(body: bytes) -> None:
    """Lines are split alike from a whole body and from pieces, whose lengths are the first bytes of the body."""
    # given the body as a whole, and in pieces
    whole = NdjsonReader(MAX_EVENT_BYTES)
    expected = [*whole.feed(body), *whole.finish()]
    pieces, found, start = NdjsonReader(MAX_EVENT_BYTES), [], 0
    for size in [*body[:16], len(body)]:
        found += pieces.feed(body[start : start + size])
        start += size
    found += pieces.finish()
    # then the lines are equal, unless they are too long
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other or min(len(one), len(other)) > MAX_EVENT_BYTES
    # and they are those of the body
    lines = [line.strip(BLANKS) for line in body.removeprefix(BYTE_ORDER_MARK).split(b"\n")]
    assert [_unless_too_long(line) for line in lines if line] == [_unless_too_long(line) for line in expected]
    _are_parsed_alike(expected)


def altered_log_is_read_up_to_the_change(change: bytes) -> None:
    """An altered log is decoded up to the change. `change` is an offset, a length to drop, and the bytes to insert."""
    offset, dropped = int.from_bytes(change[:2]) % (len(LOG) + 1), int.from_bytes(change[2:3])
    altered = LOG[:offset] + change[3:] + LOG[offset + dropped :]
    records = decode_lines(LINES, START)
    try:
        decoded = decode_lines(altered.splitlines(keepends=True) or [b""], START)
    except InvalidLine:
        decoded = []
    assert decoded == records[: len(decoded)]
    equal = next((index for index, pair in enumerate(zip(altered, LOG, strict=False)) if len(set(pair)) == 2), len(LOG))
    assert len(decoded) >= altered[:equal].count(b"\n")


def line_is_decoded_or_invalid(content: bytes) -> None:
    """A line with any content is decoded or invalid, even if its chain value is right."""
    members = b"," + TEXTS[0].removeprefix(b"{").removesuffix(b"}")
    for text in (content, b'{"position":1,' + content, b'{"position":1,' + content + members, _record_of(content)):
        chain = sha256(START.chain.encode() + text).hexdigest()
        for line in (text, text + b"\n", text + b',"chain":"%b"}\n' % chain.encode()):
            _is_decoded_or_invalid(line)


PROPERTIES: list[Callable[[bytes], None]] = [
    event_is_decoded_alike,
    array_is_split_alike,
    lines_are_split_alike,
    altered_log_is_read_up_to_the_change,
    line_is_decoded_or_invalid,
]


def check_in_bounded_time(holds: Callable[[bytes], None], data: bytes) -> None:
    """Check a property with a few KB, and that this takes little CPU time."""
    before = time.process_time()
    holds(data)
    assert time.process_time() - before < CPU_SECONDS


def repeats_a_member(text: bytes) -> bool:
    """Return whether an object of this JSON text has the same member name twice, by Python's own decoder."""
    repeated = False

    def check(pairs: Iterable[tuple[str, Any]]) -> None:
        nonlocal repeated
        names = [name for name, _ in pairs]
        repeated = repeated or len(set(names)) < len(names)

    json.loads(text, object_pairs_hook=check, parse_int=str, parse_float=str)
    return repeated


def _decoded(text: bytes) -> Event | None:
    try:
        return decode_event(text)
    except MalformedEvent:
        return None


def _comes_back_from_the_log(accepted: Event) -> None:
    assert decode_event(encode_event(accepted)) == accepted
    [line], end = encode_lines([accepted], NOW, START)
    assert line.count(b"\n") == 1
    [record] = decode_lines([line], START)
    assert (record.event, record.recorded_at, record.end) == (accepted, NOW, end)


def _split(body: bytes, many_commas: int) -> list[bytes] | None:
    """Return the items of an array, or None if it is malformed. With more commas than `many_commas`, scan it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "MANY_COMMAS", many_commas)
        try:
            return batches.split_array(body, MAX_ITEMS, MAX_EVENT_BYTES)
        except MalformedBody as error:
            JSONResponse({"detail": error.errors})
            return None


def _unless_too_long(text: bytes) -> bytes | None:
    return text if len(text) <= MAX_EVENT_BYTES else None


def _are_parsed_alike(texts: list[bytes]) -> None:
    items = parse_items(texts, 0, MAX_EVENT_BYTES)
    assert len(items) == len(texts)
    for text, item in zip(texts, items, strict=True):
        if isinstance(item, MalformedEntry):
            assert len(text) > MAX_EVENT_BYTES or _decoded(text) is None
            assert item.errors
            item.encode()
        else:
            assert item == _decoded(text)


def _record_of(payload: bytes) -> bytes:
    """Return a record with this payload, without its chain value."""
    [line], _ = encode_lines([replace(EVENTS[0], payload=payload)], NOW, START)
    return line.rpartition(b',"chain":')[0]


def _is_decoded_or_invalid(line: bytes) -> None:
    looks_like_record(line)
    for size in len(line), len(line) + 1:
        with suppress(InvalidLine):
            assert line.startswith(recoverable_prefix(Tail(Path(os.devnull), line, START, size, acknowledged=0)))
    ends = check_lines([line], START)
    with suppress(InvalidLine):
        [record] = decode_lines([line], START)
        assert ends == [record.end]
    with suppress(InvalidLine):
        assert claimed_end(line, len(line)).offset == len(line)
    claimed = claimed_time(line)
    assert claimed is None or claimed.tzinfo is not None

"""An event as one line of the log, and back: the only place that knows the stored form.

A line is one JSON object:

    {"position":…,"recorded_at":…,"event_id":…,"occurred_at":…,"locker_id":…,"type":…,"payload":{…},"chain":…}

`chain` is the SHA-256 (hexadecimal) of the chain value of the line before it (64 zeros before the first) followed by
all of this line's bytes up to the comma in front of "chain". So a line cannot be edited, dropped, repeated or moved
without its own check or the next line's failing.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.event_codec import decode_events, encode_members, encode_text

SECTOR = 512
"""Bytes that a disk writes as a whole, or not at all; what it calls a block is one of them, or many."""

_RECORD = re.compile(rb'\{"position":([0-9]{1,18}),.*,"chain":"([0-9a-f]{64})"\}\n', re.DOTALL)
_END = re.compile(rb',"chain":"[0-9a-f]{64}"\}\n\Z')
_RECORDED_AT = slice(-len('2026-11-23T08:15:00.000000Z"'), -1)
"""Where it stands in what is in front of a line's event."""

_TAIL = len(b',"chain":"') + 64 + len(b'"}\n')


class InvalidLine(Exception):
    """A line is not the one that follows here; the text says why."""


def stamp() -> str:
    """The time now as lines bear it: RFC 3339 in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def encode_lines(events: Sequence[Event], recorded_at: str, after: Cursor) -> tuple[bytes, Cursor]:
    """Write the lines for `events` that follow `after`; returns them with the cursor behind them."""
    position, chain = after.position, after.chain.encode()
    parts: list[bytes] = []
    for event in events:
        position += 1
        content = encode_members(event, f'{{"position":{position},"recorded_at":"{recorded_at}",')
        chain = sha256(chain + content).hexdigest().encode()
        parts += content, b',"chain":"', chain, b'"}\n'
    text = b"".join(parts)
    return text, Cursor(position, after.offset + len(text), chain.decode())


def ends_of(lines: bytes, after: Cursor) -> list[Cursor]:
    """The cursor behind each line that `encode_lines` has written behind `after`."""
    position, offset = after.position, after.offset
    ends: list[Cursor] = []
    for line in lines.split(b"\n")[:-1]:
        position += 1
        offset += len(line) + 1
        ends.append(Cursor(position, offset, line[-66:-2].decode()))
    return ends


def line_of(record: Record) -> bytes:
    """The line that holds a record."""
    head = f'{{"position":{record.end.position},"recorded_at":"{record.recorded_at}",'
    return encode_members(record.event, head) + b',"chain":"%b"}\n' % record.end.chain.encode()


def line_with(position: int, recorded_at: str, event_id: str, *rest: str) -> bytes:
    """A line by its members, in their order."""
    occurred_at, locker_id, kind, payload, chain = rest
    return (
        f'{{"position":{position},"recorded_at":"{recorded_at}","event_id":"{event_id}","occurred_at":"{occurred_at}",'
        f'"locker_id":{encode_text(locker_id)},"type":"{kind}","payload":{payload},"chain":"{chain}"}}\n'
    ).encode()


def check_lines(lines: Sequence[bytes], after: Cursor) -> list[Cursor]:
    """The cursors behind `lines`, which follow `after`: all, or up to the first that is not what was written there."""
    position, offset, chain = after.position, after.offset, after.chain.encode()
    ends: list[Cursor] = []
    for line in lines:
        content = line[:-_TAIL]
        chain = sha256(chain + content).hexdigest().encode()
        position += 1
        offset += len(line)
        if line[-_TAIL:] != b',"chain":"%b"}\n' % chain or not content.startswith(b'{"position":%d,' % position):
            break
        ends.append(Cursor(position, offset, chain.decode()))
    return ends


def check_line(line: bytes, after: Cursor) -> Cursor:
    """The cursor behind a line that follows `after`.

    Raises:
        InvalidLine: it is not the line that was written there.
    """
    for end in check_lines([line], after):
        return end
    if line[-_TAIL:-67] != b',"chain":"' or line[-3:] != b'"}\n':
        raise InvalidLine("the line has not the form of a record; it is torn or was overwritten.")
    position = after.position + 1
    if not line.startswith(b'{"position":%d,' % position):
        raise InvalidLine(f"the record of position {position} should stand here; a line is missing, repeated or moved.")
    raise InvalidLine("its content and the records before it do not give its chain value; a line was altered.")


def part_to_keep(line: bytes, after: Cursor, last: bool, flushed: bool = False) -> bytes:
    """What a log can be mended from whose line behind `after` is not what should stand there.

    That is the record that the line begins with, without its line end, or nothing. What stands behind was not wholly
    written: the line is the log's `last` and torn, or parts of it never came to the disk, and then all that is behind
    it had not been flushed either. Where that was `flushed`, nothing can be mended.

    Raises:
        InvalidLine: all of the line was written, and is not what was written.
    """
    record = _whole_record(line, after)
    if has_hole(line, after.offset) and not flushed:
        return record
    if record and looks_like_record(line[len(record) + 1 :]):
        raise InvalidLine("the line end behind the record was overwritten.")
    if not last or (not record and line.endswith(b"\n") and looks_like_record(line)):  # a torn line has no end
        check_line(line, after)
    return record


def looks_like_record(text: bytes) -> bool:
    """Whether `text` begins or ends as records do, so that somebody must have altered it after it was written."""
    return text.startswith(b'{"position":') or _END.search(text) is not None


def has_hole(text: bytes, offset: int) -> bool:
    """Whether parts of `text`, which stands at `offset`, have never come to the disk: zeros up to where a sector ends.

    No line has a zero in it. Of what was not flushed, a power failure may leave the later sectors without the earlier.
    """
    holes = [hole.end() for hole in re.finditer(rb"\0+", text)]
    return bool(holes) and all((offset + end) % SECTOR == 0 for end in holes)


def decode_lines(lines: Sequence[bytes], after: Cursor) -> list[Record]:
    """Read the lines that follow `after`: all of them, or those up to the first that is not what was written.

    Raises:
        InvalidLine: that is the first one already.
    """
    ends = check_lines(lines, after) or [check_line(lines[0], after)]
    parts = [line.partition(b',"event_id"') for line in lines[: len(ends)]]
    events = decode_events([b'{"event_id"%b}' % members[:-_TAIL] for _, _, members in parts])
    records: list[Record] = []
    for (head, _, _), event, end in zip(parts, events, ends, strict=True):
        if isinstance(event, MalformedEvent):
            if not records:
                raise InvalidLine(f"its chain value is right, yet it holds no event: {event}") from event
            break
        recorded_at = head[_RECORDED_AT].decode(errors="replace")  # by the chain anything may stand there
        records.append(Record(event, recorded_at, end))
    return records


def cursor_behind(line: bytes, end: int) -> Cursor:
    """The cursor behind a line that ends at offset `end`, by the line's own account.

    Raises:
        InvalidLine: it has not the form of a record.
    """
    found = _RECORD.fullmatch(line)
    if found is None:
        raise InvalidLine("the line has not the form of a record.")
    return Cursor(int(found[1]), end, found[2].decode())


def position_of(line: bytes) -> int:
    """The position that a line has by its own account; its beginning will do."""
    return int(line[len(b'{"position":') : line.index(b",")])


def time_of(line: bytes) -> datetime | None:
    """When a line was written, by its own account; None where it has not the form of a record."""
    head, found, _ = line.partition(b',"event_id"')
    if not found or not _RECORD.fullmatch(line):
        return None
    try:
        return datetime.fromisoformat(head[_RECORDED_AT].decode())
    except ValueError:
        return None


def id_of(line: bytes) -> str:
    """The id of the event in a line that was checked; its beginning will do."""
    return line.split(b'"', 10)[9].decode()


def _whole_record(text: bytes, after: Cursor) -> bytes:
    """The record that follows `after` and that `text` begins with, without its line end; empty where there is none."""
    for chain in re.finditer(rb',"chain":"[0-9a-f]{64}"\}', text):  # a payload may hold the like
        record = text[: chain.end()]
        try:
            check_line(record + b"\n", after)
        except InvalidLine:
            continue
        return record
    return b""

"""An event as one line of the log, and back: the only place that knows the stored form.

A line is one JSON object:

    {"position":…,"recorded_at":…,"event_id":…,"occurred_at":…,"locker_id":…,"type":…,"payload":{…},"chain":…}

`chain` is the SHA-256 (hexadecimal) of the chain value of the line before it (64 zeros before the first) followed by
all of this line's bytes up to the comma in front of "chain". So a line cannot be edited, dropped, repeated or moved
without its own check or the next line's failing.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.event_codec import decode_archived, encode_members

_RECORD = re.compile(rb'\{"position":([0-9]{1,18}),.*,"chain":"([0-9a-f]{64})"\}\n', re.DOTALL)
_END = re.compile(rb',"chain":"[0-9a-f]{64}"\}\n\Z')
_TAIL = len(b',"chain":"') + 64 + len(b'"}\n')


class InvalidLine(Exception):
    """A line is not the one that follows here; the text says why."""


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


def check_line(line: bytes, after: Cursor) -> Cursor:
    """Hold a line's form, position and chain to what must follow `after`; returns the cursor behind it.

    Raises:
        InvalidLine: it is not the line that was written there.
    """
    content, chain = line[:-_TAIL], line[-67:-3]
    position = after.position + 1
    if line[-_TAIL:-67] != b',"chain":"' or line[-3:] != b'"}\n':
        raise InvalidLine("the line has not the form of a record; it is torn or was overwritten.")
    if not content.startswith(b'{"position":%d,' % position):
        raise InvalidLine(f"the record of position {position} should stand here; a line is missing, repeated or moved.")
    if chain != sha256(after.chain.encode() + content).hexdigest().encode():
        raise InvalidLine("its content and the records before it do not give its chain value; a line was altered.")
    return Cursor(position, after.offset + len(line), chain.decode())


def whole_record(text: bytes, after: Cursor) -> bytes:
    """The record that follows `after` and that `text` begins with, without its line end; empty where there is none."""
    for chain in re.finditer(rb',"chain":"[0-9a-f]{64}"\}', text):  # a payload may hold the like
        record = text[: chain.end()]
        try:
            check_line(record + b"\n", after)
        except InvalidLine:
            continue
        return record
    return b""


def looks_like_record(text: bytes) -> bool:
    """Whether `text` begins or ends as records do, so that somebody must have altered it after it was written."""
    return text.startswith(b'{"position":') or _END.search(text) is not None


def decode_lines(lines: Sequence[bytes], after: Cursor) -> list[Record]:
    """Read the lines that follow `after`: all of them, or those up to the first that is not what was written.

    Raises:
        InvalidLine: that is the first one already.
    """
    ends = _ends(lines, after)
    events = decode_archived(lines[: len(ends)])
    records: list[Record] = []
    for line, event, end in zip(lines, events, ends, strict=False):
        if isinstance(event, MalformedEvent):
            if not records:
                raise InvalidLine(f"its chain value is right, yet it holds no event: {event}") from event
            break
        records.append(Record(event, line.split(b'"', 6)[5].decode(), end))
    return records


def _ends(lines: Sequence[bytes], after: Cursor) -> list[Cursor]:
    """The cursors behind the lines that are what was written.

    Raises:
        InvalidLine: the first one is not.
    """
    ends: list[Cursor] = []
    for line in lines:
        try:
            after = check_line(line, after)
        except InvalidLine:
            if ends:
                break
            raise
        ends.append(after)
    return ends


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


def id_of(line: bytes) -> str:
    """The id of the event in a line that was checked; its beginning will do."""
    return line.split(b'"', 10)[9].decode()

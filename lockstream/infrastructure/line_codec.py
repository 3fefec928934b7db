"""An event as one line of the log, and back: the only place that knows the stored form.

A line is one JSON object:

    {"position":…,"recorded_at":…,"event_id":…,"occurred_at":…,"locker_id":…,"type":…,"payload":{…},"chain":…}

`chain` is the SHA-256 (hexadecimal) of the chain value of the line before it (64 zeros before the first) followed by
all of this line's bytes up to the comma in front of "chain". So a line cannot be edited, dropped, repeated or moved
without its own check or the next line's failing.
"""

import re
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


def encode_line(event: Event, recorded_at: str, after: Cursor) -> tuple[bytes, Cursor]:
    """Write the line for `event` that follows `after`; returns it with the cursor behind it."""
    position = after.position + 1
    content = b'{"position":%d,"recorded_at":"%b",%b' % (position, recorded_at.encode(), encode_members(event))
    chain = _chain(after, content)
    line = b'%b,"chain":"%b"}\n' % (content, chain)
    return line, Cursor(position, after.offset + len(line), chain.decode())


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
    if chain != _chain(after, content):
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


def decode_line(line: bytes, after: Cursor) -> Record:
    """Read the line that follows `after`.

    Raises:
        InvalidLine: it is not the line that was written there, or holds no event.
    """
    end = check_line(line, after)
    try:
        event = decode_archived(line)
    except MalformedEvent as error:
        raise InvalidLine(f"its chain value is right, yet it holds no event: {error}") from error
    return Record(event, line.split(b'"', 6)[5].decode(), end)


def cursor_behind(line: bytes, end: int) -> Cursor:
    """The cursor behind a line that ends at offset `end`, by the line's own account.

    Raises:
        InvalidLine: it has not the form of a record.
    """
    found = _RECORD.fullmatch(line)
    if found is None:
        raise InvalidLine("the line has not the form of a record.")
    return Cursor(int(found[1]), end, found[2].decode())


def _chain(after: Cursor, content: bytes) -> bytes:
    return sha256(after.chain.encode() + content).hexdigest().encode()

"""One line of the log: a record as JSON, chained to the line before it. Only this module knows the stored form.

    {"position":…,"recorded_at":…,"event_id":…,"occurred_at":…,"locker_id":…,"type":…,"payload":{…},"chain":…}

If a key reported the event, `"recorded_by":"…"` stands between the time and the event id (docs/decisions/0002).

The chain value is the SHA-256, in hexadecimal, of the previous line's chain value (64 zeros before the first line),
followed by this line's bytes up to the comma before "chain". An edited, missing, repeated or moved line therefore
fails its own check or the check of the next line.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from msgspec.structs import force_setattr

from lockstream.core.entities.events import Event, KeyId
from lockstream.core.entities.fields import KEY_ID
from lockstream.core.entities.log import Cursor, Record, present_time, recorded_at_of
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_recorded, encode_members, encode_text

_RECORD = re.compile(rb'\{"position":([0-9]{1,18}),.*,"chain":"([0-9a-f]{64})"\}\n', re.DOTALL)
_CHAIN_MEMBER = re.compile(rb',"chain":"[0-9a-f]{64}"\}')
_RECORDED_AT = slice(-len('2026-11-23T08:15:00.000000Z"'), -1)
"""Place of the recorded time in the part of a line before its event, without the member of the key."""

_BEFORE_KEY = b',"recorded_by":"'
_KEY_AND_QUOTE = re.compile(KEY_ID.encode() + b'"')
_HEAD_BYTES = len('{"position":,"recorded_at":"2026-11-23T08:15:00.000000Z"') + 17
"""Most bytes of the part of a line before its event if it contains no key, at positions below 10^17.

The member of a key adds at least 17 bytes. Only in longer parts is a key searched for, which takes 0.3 µs.
"""

_TAIL_BYTES = len(b',"chain":"') + 64 + len(b'"}\n')


class InvalidLine(Exception):
    """Raised when a line differs from the line that was written at its place."""


def utc_now() -> str:
    """Return the present time as lines contain it: RFC 3339 in UTC, with microseconds."""
    return recorded_at_of(present_time())


def encode_lines(events: Sequence[Event], recorded_at: str, after: Cursor) -> tuple[list[bytes], Cursor]:
    """Encode the lines for `events` that follow `after`, and return them with the end of the last one."""
    position, chain = after.position, after.chain.encode()
    time_member = f'"recorded_at":"{recorded_at}",'
    lines: list[bytes] = []
    for event in events:
        position += 1
        before = f'{{"position":{position},{time_member}'
        if event.recorded_by:
            before = f'{before}"recorded_by":"{event.recorded_by}",'
        content = encode_members(event, before)
        chain = sha256(chain + content).hexdigest().encode()
        lines.append(content + b',"chain":"' + chain + b'"}\n')
    return lines, Cursor(position, after.offset + sum(map(len, lines)), chain.decode())


def line_ends(lines: Sequence[bytes], after: Cursor) -> list[Cursor]:
    """Return the end of each of `lines`, which follow `after` and are valid."""
    offset = after.offset
    ends: list[Cursor] = []
    for position, line in enumerate(lines, after.position + 1):
        offset += len(line)
        ends.append(Cursor(position, offset, line[-67:-3].decode()))
    return ends


def encode_record(record: Record) -> bytes:
    """Encode a record as the line that holds it."""
    head = f'{{"position":{record.end.position},"recorded_at":"{record.recorded_at}",'
    if key_id := record.event.recorded_by:
        head = f'{head}"recorded_by":"{key_id}",'
    return encode_members(record.event, head) + b',"chain":"%b"}\n' % record.end.chain.encode()


def format_line(position: int, recorded_at: str, recorded_by: str | None, event_id: str, *rest: str) -> bytes:
    """Return a line with these members, in the order of the stored form. None stands for an absent member."""
    occurred_at, locker_id, event_type, payload, chain = rest
    by = "" if recorded_by is None else f'"recorded_by":"{recorded_by}",'
    return (
        f'{{"position":{position},"recorded_at":"{recorded_at}",{by}"event_id":"{event_id}",'
        f'"occurred_at":"{occurred_at}","locker_id":{encode_text(locker_id)},"type":"{event_type}",'
        f'"payload":{payload},"chain":"{chain}"}}\n'
    ).encode()


def count_valid(lines: Sequence[bytes], after: Cursor) -> int:
    """Return how many of `lines`, which follow `after`, come before the first invalid one."""
    position, chain = after.position, after.chain.encode()
    for line in lines:
        position += 1
        content = line[:-_TAIL_BYTES]
        chain = sha256(chain + content).hexdigest().encode()
        if not (line.endswith(b',"chain":"%b"}\n' % chain) and content.startswith(b'{"position":%d,' % position)):
            return position - after.position - 1
    return len(lines)


def check_lines(lines: Sequence[bytes], after: Cursor) -> list[Cursor]:
    """Return the ends of `lines`, which follow `after`, up to the first invalid line."""
    return line_ends(lines[: count_valid(lines, after)], after)


def check_line(line: bytes, after: Cursor) -> Cursor:
    """Return the end of `line`, which follows `after`.

    Raises:
        InvalidLine: `line` is another line, or was altered.
    """
    for end in check_lines([line], after):
        return end
    if line[-_TAIL_BYTES:-67] != b',"chain":"' or line[-3:] != b'"}\n':
        raise InvalidLine("the line does not have the form of a record; it is torn or was overwritten.")
    position = after.position + 1
    if not line.startswith(b'{"position":%d,' % position):
        raise InvalidLine(f"the record of position {position} is expected here; a line is missing, repeated or moved.")
    raise InvalidLine("its chain value does not match its content and the records before it; a line was altered.")


def count_checked(lines: Sequence[bytes], after: Cursor) -> int:
    """Return how many of `lines`, which follow `after`, come before the first invalid one.

    Raises:
        InvalidLine: the first of `lines` is invalid.
    """
    if not (count := count_valid(lines, after)):
        check_line(lines[0], after)
    return count


def decode_lines(lines: Sequence[bytes], after: Cursor) -> list[Record]:
    """Decode the lines that follow `after`, up to the first invalid line.

    Raises:
        InvalidLine: the first of `lines` is invalid.
    """
    ends = line_ends(lines[: count_checked(lines, after)], after)
    parts = [line.partition(b',"event_id"') for line in lines[: len(ends)]]
    events = decode_recorded([b'{"event_id"%b}' % members[:-_TAIL_BYTES] for _, _, members in parts])
    records: list[Record] = []
    for (given, _, _), decoded, end in zip(parts, events, ends, strict=True):
        head, event = _with_key(given, decoded) if len(given) > _HEAD_BYTES else (given, decoded)
        if isinstance(event, MalformedEvent):
            if not records:
                raise InvalidLine(f"its chain value is right, but it does not hold an event: {event}") from event
            break
        recorded_at = head[_RECORDED_AT].decode(errors="replace")  # the chain value does not prove that this is a time
        records.append(Record(event, recorded_at, end))
    return records


def whole_record(text: bytes, after: Cursor) -> bytes:
    """Return the record after `after` that `text` begins with, without its line end, or nothing if there is none."""
    for member in _CHAIN_MEMBER.finditer(text):  # a payload may contain the same bytes
        record = text[: member.end()]
        if check_lines([record + b"\n"], after):
            return record
    return b""


def looks_like_record(text: bytes) -> bool:
    """Return whether `text` begins or ends as a record does. A complete line that does so was a record when written."""
    return text.startswith(b'{"position":') or (
        text.endswith(b"\n") and _CHAIN_MEMBER.fullmatch(text[-_TAIL_BYTES:-1]) is not None
    )


def claimed_end(line: bytes, offset: int) -> Cursor:
    """Return the end of a line at `offset`, by the line's own position and chain value.

    Raises:
        InvalidLine: the line does not have the form of a record.
    """
    found = _RECORD.fullmatch(line)
    if found is None:
        raise InvalidLine("the line does not have the form of a record.")
    return Cursor(int(found[1]), offset, found[2].decode())


def claimed_position(line: bytes) -> int:
    """Return the position that a checked line claims. The beginning of the line is enough."""
    return int(line[len(b'{"position":') : line.index(b",")])


def claimed_time(line: bytes) -> datetime | None:
    """Return the time of acceptance that a line claims, or None if it does not have the form of a record.

    The time has an offset.
    """
    head, found, _ = line.partition(b',"event_id"')
    if not found or not _RECORD.fullmatch(line):
        return None
    head, _, _ = head.partition(_BEFORE_KEY)
    try:
        time = datetime.fromisoformat(head[_RECORDED_AT].decode())
    except ValueError:
        return None
    return time if time.tzinfo else None


def event_id_of(line: bytes) -> str:
    """Return the event id in a checked line. The beginning of the line is enough."""
    before_id = line.split(b'"', 10)
    return (before_id[9] if before_id[7] == b"event_id" else line.split(b'"', 14)[13]).decode()


def _with_key(head: bytes, event: Event | MalformedEvent) -> tuple[bytes, Event | MalformedEvent]:
    """Note the key in `event` that `head`, the part of its line before the event, names. Return `head` without it."""
    head, has_key, key_and_quote = head.partition(_BEFORE_KEY)
    if not has_key:
        return head, event
    if not _KEY_AND_QUOTE.fullmatch(key_and_quote):
        return head, MalformedEvent("The member recorded_by is not the id of a key.")
    if not isinstance(event, MalformedEvent):
        force_setattr(event, "recorded_by", KeyId(key_and_quote[:-1].decode()))
    return head, event

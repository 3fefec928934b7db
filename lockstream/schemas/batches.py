"""Many events as one request body: a JSON array, or one event a line (NDJSON)."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw, Struct

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.schemas.events import EVENT, malformed

MANY_COMMAS = 200_000
"""Commas beyond which an array is scanned item by item, because each item takes some 100 bytes of memory."""

_BLANK = b" \t\r\n"

_NOT_AN_ARRAY = (
    "A batch is a list of events, and the body does not begin with a bracket. "
    "Send a JSON array, or one event a line with the Content-Type application/x-ndjson."
)
_SEVERAL_EVENTS = (
    "Several events stand on one line. "
    "End each with a newline; with curl, send the file by --data-binary, because -d removes newlines."
)


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """An item of a batch that is not an event. A plain class: isinstance with a Struct takes 0.3 µs more an event."""

    event_id: str | None
    errors: list[dict[str, Any]]

    def encode(self) -> str:
        """Return the item in the response to the batch."""
        item = {"event_id": self.event_id, "status": 422, "code": "malformed", "detail": self.errors}
        return msgspec.json.encode(item).decode()


class _WithId(Struct):
    event_id: str


_blanks = re.compile(r"[ \t\r\n]*")
_tokens = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]},]', re.DOTALL)
"""Strings, opening brackets, and the bytes that may end an item."""

_arrays = msgspec.json.Decoder(list[Raw])
_ids = msgspec.json.Decoder(_WithId)
_scanner = json.JSONDecoder(parse_int=str, parse_float=str)


def split_array(body: bytes, max_items: int, max_item_bytes: int) -> list[bytes]:
    """Return the texts of a JSON array's items, at most one more than `max_items`. Takes 0.5 µs an item.

    Of an item longer than `max_item_bytes`, perhaps only the beginning is returned: enough to see that it is too long.

    Raises:
        MalformedBody: the body is not a JSON array.
    """
    try:
        body.decode()
        if body.count(b",") <= MANY_COMMAS:
            return [bytes(item) for item in _arrays.decode(body)[: max_items + 1]]
    except msgspec.ValidationError as error:
        raise malformed("list_type", _NOT_AN_ARRAY) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise malformed("json_invalid", f"The body is not JSON: {error}.") from error
    except msgspec.DecodeError:
        pass  # this may concern a single item, such as NaN, which harms no other
    return _scan_array(body.decode(), max_items, max_item_bytes)


def _scan_array(text: str, max_items: int, max_item_bytes: int) -> list[bytes]:
    """Return the items, without looking beyond one more than `max_items`. Takes 10 µs an item of 700 bytes.

    Python's decoder accepts a little more than JSON, such as NaN. That item is found to be malformed when it is parsed.

    Raises:
        MalformedBody: the body is not a JSON array, as far as it was scanned.
    """
    items: list[bytes] = []
    try:
        place = _skip_blanks(text, 0)
        if text[place] != "[":
            raise malformed("list_type", _NOT_AN_ARRAY)
        while len(items) <= max_items:
            start = _skip_blanks(text, place + 1)
            end = _end_of_item(text, start, max_item_bytes)
            items.append(text[start : min(end, start + max_item_bytes + 1)].encode())
            place = _skip_blanks(text, end)
            if text[place] == "]" and _skip_blanks(text, place + 1) == len(text):
                break
            if text[place] != ",":
                raise ValueError(f"a comma is missing at character {place}")
    except IndexError as error:
        raise malformed("json_invalid", "The body is not JSON: it ends before its array does.") from error
    except (ValueError, RecursionError) as error:
        raise malformed("json_invalid", f"The body is not JSON: {error}.") from error
    return items


def _end_of_item(text: str, start: int, max_length: int) -> int:
    """Return the end of the item that begins at `start`. A longer one is not decoded: it could fill the memory.

    Raises:
        ValueError: the item is not JSON.
        IndexError: the text ends before the item does.
    """
    window = text[start : start + max_length + 1]
    try:
        _, length = _scanner.raw_decode(window)
        if length <= max_length and text[start + length] in " \t\r\n,]":
            return start + length
        reason = f"a comma is missing at character {start + length}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {start + error.pos}"
    if len(window) > max_length and (end := _end_of_brackets(text, start)) - start > max_length:
        return end
    raise ValueError(reason)


def _end_of_brackets(text: str, start: int) -> int:
    """Return the place of the first comma or closing bracket that belongs to no bracket opened since `start`."""
    depth = 0
    for token in _tokens.finditer(text, start):
        place = token.start()
        character = text[place]
        if character in "[{":
            depth += 1
        elif character != '"' and depth == 0:
            return place
        elif character in "]}":
            depth -= 1
    raise IndexError("the array does not end")


def _skip_blanks(text: str, place: int) -> int:
    found = _blanks.match(text, place)
    return found.end() if found else place


class NdjsonReader:
    """Splits an NDJSON body, which arrives in pieces of any length, into lines. Blank lines are skipped."""

    def __init__(self, max_line_bytes: int) -> None:
        """Of a line longer than `max_line_bytes`, only its beginning is kept: enough to see that it is too long."""
        self._limit = max_line_bytes
        self._rest = bytearray()
        self._start: bytes | None = b""
        """The first bytes of the body while they may be a part of a byte order mark, then None."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in `piece`."""
        if self._start is not None:
            piece = self._start + piece
            self._start = piece if len(piece) < len(BOM_UTF8) and BOM_UTF8.startswith(piece) else None
            if self._start is not None:
                return []
            piece = piece.removeprefix(BOM_UTF8)
        first, *others = piece.split(b"\n")
        self._extend(first)
        if not others:
            return []
        lines = [self._take_rest(), *others[:-1]]
        self._extend(others[-1])
        return [text for line in lines if (text := line.strip(_BLANK))]

    def finish(self) -> list[bytes]:
        """Return the last line if it has no line end."""
        self._extend(self._start or b"")
        return [text] if (text := self._take_rest().strip(_BLANK)) else []

    def _take_rest(self) -> bytes:
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _extend(self, more: bytes) -> None:
        if not self._rest:
            more = more.lstrip(_BLANK)
        room = max(self._limit + 1 - len(self._rest), 0)
        self._rest += more[:room]
        if more[room:].strip(_BLANK):  # blanks at the end do not count, but anything else makes the line too long
            self._rest[-1:] = b"x"


def parse_items(texts: Sequence[bytes], first: int, max_event_bytes: int) -> list[Event | MalformedEntry]:
    """Parse a part of a batch that begins with the item of index `first`."""
    events = decode_events([text if len(text) <= max_event_bytes else b"" for text in texts])
    return [
        _malformed_entry(text, event, index, max_event_bytes) if isinstance(event, MalformedEvent) else event
        for index, (text, event) in enumerate(zip(texts, events, strict=True), first)
    ]


def _malformed_entry(text: bytes, error: MalformedEvent, index: int, max_event_bytes: int) -> MalformedEntry:
    is_too_large = len(text) > max_event_bytes
    if _has_several_objects(text[: max_event_bytes + 1]):  # a larger event is not decoded: it could fill the memory
        kind = "event_too_large" if is_too_large else "json_invalid"
        return MalformedEntry(None, malformed(kind, _SEVERAL_EVENTS, index).errors)
    if is_too_large:
        message = f"The event is larger than {max_event_bytes} bytes. Split it, or raise LOCKSTREAM_MAX_EVENT_BYTES."
        return MalformedEntry(None, malformed("event_too_large", message, index).errors)
    try:
        event_id = _ids.decode(text).event_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        event_id = None
    return MalformedEntry(event_id, EVENT.explain(text, error, index))


def _has_several_objects(text: bytes) -> bool:
    """Return whether a text has an object and then the beginning of another, as lines without line ends have."""
    characters = text.decode(errors="replace")
    try:
        _, end = _scanner.raw_decode(characters)
    except (ValueError, RecursionError):
        return False
    return characters[:1] == "{" == characters[end:].lstrip()[:1]

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
from lockstream.schemas.events import explain, malformed

MANY_COMMAS = 200_000
"""Beyond so many commas, the items are counted before all of them are in memory: each takes some 100 bytes."""

_BLANK = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """An item of a batch that is not an event. A plain class: isinstance with a Struct takes 0.3 µs more an event."""

    event_id: str | None
    errors: list[dict[str, Any]]

    def encode(self) -> bytes:
        """Return the item in the response to the batch."""
        return msgspec.json.encode(
            {"event_id": self.event_id, "status": 422, "code": "malformed", "detail": self.errors}
        )


class _WithId(Struct):
    event_id: str


_blanks = re.compile(r"[ \t\r\n]*")
_arrays = msgspec.json.Decoder(list[Raw])
_ids = msgspec.json.Decoder(_WithId)
_scanner = json.JSONDecoder(parse_int=str, parse_float=str)


def split_array(body: bytes, max_items: int) -> list[bytes]:
    """Return the texts of a JSON array's items, at most one more than `max_items`. Takes 0.5 µs an item.

    Raises:
        MalformedBody: the body is not a JSON array.
    """
    if body.count(b",") > MANY_COMMAS:
        return _scan_array(body, max_items)
    try:
        body.decode()
        return [bytes(item) for item in _arrays.decode(body)[: max_items + 1]]
    except msgspec.ValidationError as error:
        raise malformed("list_type", f"A batch is a list of events. {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed("json_invalid", f"The body is not JSON: {error}") from error


def _scan_array(body: bytes, max_items: int) -> list[bytes]:
    """Return the items one after the other, without looking beyond one more than `max_items`.

    Raises:
        MalformedBody: the body is not a JSON array, as far as it was scanned.
    """
    items: list[bytes] = []
    try:
        text = body.decode()
        place = _skip_blanks(text, 0)
        if text[place] != "[":
            raise malformed("list_type", "A batch is a list of events. The body does not begin with a bracket.")
        while len(items) <= max_items:
            start = _skip_blanks(text, place + 1)
            _, end = _scanner.raw_decode(text, start)
            items.append(text[start:end].encode())
            place = _skip_blanks(text, end)
            if text[place] == "]" and _skip_blanks(text, place + 1) == len(text):
                break
            if text[place] != ",":
                raise malformed("json_invalid", f"The body is not JSON: a comma is missing at character {place}.")
    except (ValueError, IndexError, RecursionError) as error:
        raise malformed("json_invalid", f"The body is not JSON: {error}.") from error
    return items


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
    if len(text) > max_event_bytes:
        message = f"The event is larger than {max_event_bytes} bytes. Split it, or raise LOCKSTREAM_MAX_EVENT_BYTES."
        return MalformedEntry(None, malformed("event_too_large", message, index).errors)
    try:
        event_id = _ids.decode(text).event_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        event_id = None
    return MalformedEntry(event_id, explain(text, error, index))

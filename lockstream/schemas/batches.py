"""Many events as one request body: a JSON array, or one event a line (NDJSON)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.event_codec import decode_events
from lockstream.schemas.events import explain, malformed


@dataclass(frozen=True, slots=True)
class MalformedItem:
    """What stands in a batch where an event should. No `Struct`: to ask whether an event is one would cost 0.3 µs."""

    event_id: str | None
    errors: list[dict[str, Any]]

    def answer(self) -> bytes:
        """What the answer to the batch says of it."""
        return msgspec.json.encode(
            {"event_id": self.event_id, "status": 422, "code": "malformed", "detail": self.errors}
        )


class _Named(Struct):
    event_id: str


_array = msgspec.json.Decoder(list[Raw])
_named = msgspec.json.Decoder(_Named)

_MANY_COMMAS = 200_000
"""Beyond that there may be millions of items, which take a hundred bytes each to be cut out before they are counted."""

_BLOCK = 1 << 16
"""Bytes that are looked through in one go for brackets and commas."""

_BLANK = b" \t\r\n"
_STEPS = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
"""How much deeper each byte leads, in eight bits with a sign."""


def split_array(body: bytes, most: int) -> list[bytes] | None:
    """The texts of a JSON array's items, one more than `most` at most; None where `split_by_brackets` has to find them.

    Raises:
        MalformedBody: it is none.
    """
    if body.count(b",") > _MANY_COMMAS:
        return None
    try:
        body.decode()
        return [bytes(item) for item in _array.decode(body)[: most + 1]]
    except msgspec.ValidationError as error:
        raise malformed("list_type", f"A batch is a list of events. {error}.") from error
    except UnicodeDecodeError as error:
        raise malformed("json_invalid", f"The body is no JSON: {error}") from error
    except (msgspec.DecodeError, RecursionError):
        return None


def split_by_brackets(body: bytes, most: int, limit: int) -> list[bytes]:
    """The same, whatever the items are: what is wrong with one is left to be found when it is read, and harms no other.

    It ends with one item more than `most`, whatever stands behind it, and looks into none that is longer than `limit`
    bytes. A body of 16 MB takes it half a second and twice its memory, whatever it is.

    Raises:
        MalformedBody: it is no array.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise malformed("json_invalid", f"The body is no JSON: {error}") from error
    if body.lstrip(_BLANK)[:1] != b"[":
        raise malformed("json_invalid", "The body is no JSON array: it does not begin with a bracket.")
    closed, commas = _find_marks(body, most)
    edges = [body.index(b"["), *commas[: most + 1]]
    if len(commas) <= most:
        if len(closed) != 1 or body[closed[0] :].strip(_BLANK) != b"]":
            raise malformed("json_invalid", "The body is no JSON array: its brackets do not match.")
        edges += closed
    items = [body[start + 1 : end] for start, end in pairwise(edges)]
    for item in items:
        if len(item) <= limit:
            _require_json(item)
    return items


def _find_marks(body: bytes, most: int) -> tuple[list[int], list[int]]:
    """Where the brackets end that stand in no others, and where the commas are that stand in the outermost.

    It looks no further than to a few more commas than `most`, or to the second such bracket.
    """
    plain = body.replace(rb"\\", b"__").replace(rb"\"", b"__")
    deep, inside = 0, 0
    closed: list[int] = []
    commas: list[int] = []
    for start in range(0, len(plain), _BLOCK):
        block = plain[start : start + _BLOCK]
        text, steps = np.frombuffer(block, np.uint8), np.frombuffer(block.translate(_STEPS), np.int8)
        quotes = np.cumsum(text == ord('"')) + inside
        outside = quotes & 1 == 0
        depth = np.cumsum(steps * outside) + deep
        closed += (start + np.flatnonzero((depth == 0) & (steps < 0) & outside)).tolist()
        commas += (start + np.flatnonzero((depth == 1) & (text == ord(",")) & outside)).tolist()
        deep, inside = depth[-1], quotes[-1]
        if len(commas) > most or len(closed) > 1:
            break
    return closed, commas


def _require_json(item: bytes) -> None:
    """Hold what stands between two commas to what is JSON, or near enough for the item to be told what is wrong."""
    try:
        json.loads(item.decode(), parse_int=str, parse_float=str)  # it takes some of what no event may have: NaN
    except RecursionError:
        return
    except ValueError as error:
        raise malformed("json_invalid", f"The body is no JSON: {error}") from error


class Lines:
    """NDJSON as it comes in: pieces of any length become lines, blank ones left out."""

    def __init__(self, limit: int) -> None:
        """Of a line that is longer than `limit` bytes a little more than that is kept, and not the rest."""
        self._limit = limit
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end in `piece`."""
        first, *others = piece.split(b"\n")
        self._extend(first)
        if not others:
            return []
        lines = [bytes(self._rest), *others[:-1]]
        self._rest.clear()
        self._extend(others[-1])
        return [text for line in lines if (text := line.strip(_BLANK))]

    def finish(self) -> list[bytes]:
        """The last line, where it has no end."""
        return [text] if (text := bytes(self._rest).strip(_BLANK)) else []

    def _extend(self, more: bytes) -> None:
        if not self._rest:
            more = more.lstrip(_BLANK)
        room = max(self._limit + 1 - len(self._rest), 0)
        self._rest += more[:room]
        if more[room:].strip(_BLANK):  # blanks are no part of it, whatever else is makes it too long
            self._rest[-1:] = b"x"


def read_items(texts: Sequence[bytes], first: int, limit: int) -> list[Event | MalformedItem]:
    """Read a part of a batch that begins with the item of index `first`; each is at most `limit` bytes long."""
    events = decode_events([text if len(text) <= limit else b"" for text in texts])
    return [
        _malformed(text, event, index, limit) if isinstance(event, MalformedEvent) else event
        for index, (text, event) in enumerate(zip(texts, events, strict=True), first)
    ]


def _malformed(text: bytes, error: MalformedEvent, index: int, limit: int) -> MalformedItem:
    if len(text) > limit:
        message = f"The event is larger than {limit} bytes. LOCKSTREAM_MAX_EVENT_BYTES sets the limit."
        return MalformedItem(None, malformed("event_too_large", message, index).errors)
    try:
        event_id = _named.decode(text).event_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        event_id = None
    return MalformedItem(event_id, explain(text, str(error), index))

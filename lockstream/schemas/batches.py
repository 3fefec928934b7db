"""Many events as one request body: a JSON array, or one event a line (NDJSON)."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.event_codec import decode_events
from lockstream.schemas.events import explain, malformed


class MalformedItem(Struct, frozen=True):
    """What stands in a batch where an event should."""

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
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BLANK = b" \t\r\n"
_STEPS = np.zeros(256, np.int8)
_STEPS[[*b"[{"]] = 1
_STEPS[[*b"]}"]] = -1


def split_array(body: bytes) -> list[bytes] | None:
    """The texts of a JSON array's items; None where one of them is such that `split_by_brackets` has to find them.

    Raises:
        MalformedBody: it is none.
    """
    try:
        body.decode()
        return [bytes(item) for item in _array.decode(body)]
    except msgspec.ValidationError as error:
        raise malformed("list_type", f"A batch is a list of events. {error}.") from error
    except UnicodeDecodeError as error:
        raise malformed("json_invalid", f"The body is no JSON: {error}") from error
    except (msgspec.DecodeError, RecursionError):
        return None


def split_by_brackets(body: bytes) -> list[bytes]:
    """The same, whatever the items are: what is wrong with one is left to be found when it is read, and harms no other.

    It takes half a second for 16 MB, and several where they are nothing but short strings.

    Raises:
        MalformedBody: it is no array.
    """
    try:
        json.loads(body, parse_int=str, parse_float=str)  # it takes some of what no event may have, such as NaN
    except RecursionError:
        pass
    except ValueError as error:
        raise malformed("json_invalid", f"The body is no JSON: {error}") from error
    blank = _STRING.sub(lambda found: b" " * len(found[0]), body)
    text = np.frombuffer(blank, np.uint8)
    depth = _STEPS[text].cumsum(dtype=np.int32)
    [closed] = np.nonzero((depth == 0) & (_STEPS[text] < 0))
    if (
        depth.min() < 0
        or closed.size != 1
        or blank[: closed[0] + 1].lstrip(_BLANK)[:1] != b"["
        or body[closed[0] :].strip(_BLANK) != b"]"
    ):
        raise malformed("json_invalid", "The body is no JSON array: its brackets do not match.")
    [commas] = np.nonzero((depth == 1) & (text == ord(",")))
    edges = [body.index(b"["), *commas.tolist(), int(closed[0])]
    items = [body[start + 1 : end] for start, end in pairwise(edges)]
    if not all(item.strip(_BLANK) for item in items):
        raise malformed("json_invalid", "The body is no JSON array: an item is missing.")
    return items


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

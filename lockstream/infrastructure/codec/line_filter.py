"""Filter lines of the log without decoding them: 1 µs a line, where decoding takes 10."""

import re
from collections.abc import Callable

import msgspec

from lockstream.core.entities.feed import FeedFilter
from lockstream.infrastructure.codec.event_json import encode_text

_BEFORE_LOCKER = (
    rb'\{"position":\d+,"recorded_at":"[^"]*",(?:"recorded_by":"[^"]*",)?'
    rb'"event_id":"[^"]*","occurred_at":"[^"]*","locker_id":'
)
_TEXT = rb'"(?:[^"\\]|\\.)*+"'

_text = msgspec.json.Decoder(str)

type Matches = Callable[[bytes], bool]
"""Returns whether a reader wants the event of a line, which was checked before."""


def line_filter(wanted: FeedFilter) -> Matches | None:
    """Return a function that filters lines, or None if the reader wants all of them."""
    if wanted == FeedFilter():
        return None
    locker = _TEXT if wanted.locker_id is None else re.escape(encode_text(wanted.locker_id).encode())
    event_type = "[A-Za-z]+" if wanted.event_type is None else wanted.event_type
    match = re.compile(rb'%b(%b),"type":"%b"' % (_BEFORE_LOCKER, locker, event_type.encode())).match
    partition = wanted.partition
    if partition is None:
        return lambda line: match(line) is not None

    def matches(line: bytes) -> bool:
        found = match(line)
        return found is not None and partition.contains(_text.decode(found[1]))

    return matches

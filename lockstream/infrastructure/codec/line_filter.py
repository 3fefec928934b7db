"""Filter lines of the log without decoding them, which would take several times as long."""

import re
from collections.abc import Callable

import msgspec

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.feed import FeedFilter, Partition
from lockstream.infrastructure.codec.event_json import encode_text

_BEFORE_LOCKER = (
    rb'\{"position":\d+,"recorded_at":"[^"]*",(?:"recorded_by":"[^"]*",)?'
    rb'"event_id":"[^"]*","occurred_at":"[^"]*","locker_id":'
)
_TEXT = rb'"(?:[^"\\]|\\.)*+"'

_text = msgspec.json.Decoder(str)

type Matches = Callable[[bytes], bool]
"""Returns whether a reader wants the event of a checked line, or of a locker whose id has this JSON text."""


def line_filter(wanted: FeedFilter) -> Matches | None:
    """Return a function that filters lines, or None if the reader wants all of them."""
    if wanted == FeedFilter():
        return None
    locker = _TEXT if wanted.locker_id is None else re.escape(encode_text(wanted.locker_id).encode())
    event_type = "[A-Za-z]+" if wanted.event_type is None else wanted.event_type
    match = re.compile(rb'%b(%b),"type":"%b"' % (_BEFORE_LOCKER, locker, event_type.encode())).match
    checks = [check for check in (_of_lockers(wanted.lockers), _of_partition(wanted.partition)) if check]
    if not checks:
        return lambda line: match(line) is not None

    def matches(line: bytes) -> bool:
        found = match(line)
        return found is not None and all(check(found[1]) for check in checks)

    return matches


def _of_lockers(lockers: Lockers | None) -> Matches | None:
    """Return a function that tells whether the JSON text of a locker's id names one of `lockers`."""
    if lockers is None:
        return None
    ids = {encode_text(locker_id).encode() for locker_id in lockers.ids}
    beginnings = tuple(encode_text(prefix)[:-1].encode() for prefix in lockers.prefixes)  # without the closing quote
    return lambda text: text in ids or text.startswith(beginnings)


def _of_partition(partition: Partition | None) -> Matches | None:
    return None if partition is None else lambda text: partition.contains(_text.decode(text))

"""The feed: all accepted events in the order of the log, for other systems to follow."""

from hashlib import sha256
from typing import NamedTuple

from msgspec import Struct

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.log import START

LOG_ID_LENGTH = 32
"""Digits of a log's id."""

MAX_PARTITIONS = 1_024
"""Most partitions of a feed. More readers than this would mostly read the same pages."""


def log_id_of(first_chain: str) -> str:
    """Return the id of the log whose first record has this chain value.

    The chain value covers the first event's id and its recorded time, so no two logs share it. Copies and exports of a
    log have its id, on every store. A log without records has the id of `START`, 32 zeros.
    """
    return first_chain[:LOG_ID_LENGTH]


EMPTY_LOG_ID = log_id_of(START.chain)
"""The id of every log that has no record yet."""


class LogPage(NamedTuple):
    """Consecutive lines of the log, as they are stored, with their line ends."""

    lines: list[bytes]
    head: int
    """Position of the last durable record."""

    log_id: str


class Partition(Struct, frozen=True):
    """One of `count` parts of the feed. The events of one locker are in one part."""

    number: int
    """From 0 to `count` - 1."""

    count: int

    def contains(self, locker_id: str) -> bool:
        return partition_of(locker_id, self.count) == self.number


def partition_of(locker_id: str, count: int) -> int:
    """Return the number of a locker's partition, from 0 to `count` - 1.

    The first 8 bytes of the SHA-256 of the id, in UTF-8, are an unsigned big-endian number; the partition is its
    remainder on division by `count`. docs/feed.md has test vectors.
    """
    return int.from_bytes(sha256(locker_id.encode()).digest()[:8]) % count


class FeedFilter(Struct, frozen=True):
    """The events that a reader wants. None means all."""

    event_type: str | None = None
    locker_id: str | None = None
    partition: Partition | None = None
    lockers: Lockers | None = None
    """The lockers that the reader may see."""


class FeedPage(NamedTuple):
    """The lines of events that a reader wants, and how far the log was searched."""

    items: list[bytes]
    through: int
    """Position up to which the log was searched. The next page begins behind this position."""

    head: int
    """Position of the last durable record."""

    log_id: str

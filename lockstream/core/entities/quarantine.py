"""The quarantine: events that were not accepted, kept aside until one is accepted, discarded or dropped.

An entry stands for all arrivals of one event id. Times are RFC 3339 in UTC with six digits of a second, so their texts
sort as the times do.
"""

import re
from collections import deque
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import Event
from lockstream.core.entities.log import recorded_at_of, time_of


class EntryKind(StrEnum):
    """Why an event is in the quarantine. Later versions may add kinds, such as `waiting`."""

    REFUSED = "refused"
    """The rules refused the event, and no event with the same id was accepted since."""

    REUSED_ID = "reused_id"
    """Another event with the same id was accepted before."""


class EntryStatus(StrEnum):
    """Whether an entry still needs a decision."""

    OPEN = "open"
    DISCARDED = "discarded"


EVENT_ID_REUSED = "event_id_reused"
"""Code of every entry of the kind `reused_id`."""


class Discard(Struct, frozen=True):
    """An operator's note that an event needs no further work."""

    reason: str
    at: str

    def __post_init__(self) -> None:
        _make_storable(self, "reason")


class Entry(Struct, frozen=True):
    """An event in the quarantine."""

    event_id: str
    """A UUID in lower case."""

    kind: EntryKind
    code: str
    """Name of the newest refusal, for programs."""

    detail: str
    """Explanation of the newest refusal, for people."""

    locker_id: str
    type: str
    occurred_at: str
    """Time by the locker's clock, exactly as sent."""

    first_at: str
    """Time of the first arrival."""

    last_at: str
    """Time of the last arrival."""

    count: int
    """Number of arrivals. 0 stands for a resubmission: a new decision on the event as it was kept."""

    address: str
    """Remote address of the last arrival, or an empty text if it came through a Unix socket."""

    body: str
    """JSON text of the event as it last came."""

    discard: Discard | None = None
    number: int = 0
    """Order of the first arrivals, counted from 1. The store assigns it; 0 stands for none yet."""

    def __post_init__(self) -> None:
        _make_storable(self, "detail", "locker_id", "occurred_at", "address", "body")

    @property
    def status(self) -> EntryStatus:
        return EntryStatus.DISCARDED if self.discard else EntryStatus.OPEN


def merged(earlier: Entry, later: Entry) -> Entry:
    """Return the entry for all arrivals that two entries with the same event id stand for.

    A discarded event is open again if it arrives with another body. If the lockers differ, the later entry replaces
    the earlier one, so that no locker learns of another locker's arrivals.
    """
    if not later.count:
        return replace(earlier, kind=later.kind, code=later.code, detail=later.detail)
    if earlier.locker_id != later.locker_id:
        return replace(later, number=earlier.number)
    return replace(
        later,
        first_at=earlier.first_at,
        count=earlier.count + later.count,
        discard=earlier.discard if earlier.body == later.body else None,
        number=earlier.number,
    )


def with_reused_id(entry: Entry, position: int) -> Entry:
    """Return an entry whose event has the id of another event, which was accepted at `position`."""
    detail = (
        f"Another event with the id {entry.event_id} was accepted at position {position}, and this one was not. Find "
        "the device that uses an id twice, and send the event under an id of its own if it happened."
    )
    return replace(entry, kind=EntryKind.REUSED_ID, code=EVENT_ID_REUSED, detail=detail)


class AcceptedEvent(NamedTuple):
    """An accepted event. The quarantine may have an entry with the same id."""

    event: Event
    position: int


class MalformedBody(Struct, frozen=True):
    """A body, or an item of a batch, that was not an event."""

    reason: str
    """Name of its first error, for programs."""

    detail: str
    first_at: str
    last_at: str
    count: int
    """Arrivals of this body in direct succession."""

    address: str
    body: str
    """Beginning of the body. Bytes that are not UTF-8 are escaped as `\\xff`."""

    number: int = 0
    """Order of arrival, counted from 1. The store assigns it; 0 stands for none yet."""

    def __post_init__(self) -> None:
        _make_storable(self, "reason", "detail", "address", "body")

    def after(self, last: "MalformedBody | None") -> "MalformedBody":
        """Return the body to store after the `last` one: with the next number, or counted on `last` if it is equal."""
        if last and (last.reason, last.address, last.body) == (self.reason, self.address, self.body):
            return replace(last, count=last.count + self.count, last_at=self.last_at)
        return replace(self, number=last.number + 1 if last else 1)


def put_last(bodies: deque[MalformedBody], body: MalformedBody) -> None:
    """Append a malformed body, or replace the last one if both have the same number."""
    if bodies and bodies[-1].number == body.number:
        bodies.pop()
    bodies.append(body)


class QuarantineQuery(Struct, frozen=True):
    """Filters of entries, which are listed by number."""

    status: EntryStatus = EntryStatus.OPEN
    kind: EntryKind | None = None
    code: str | None = None
    locker_id: str | None = None
    event_type: type[Event] | None = None
    since: str = ""
    """Lowest time of the last arrival."""

    descending: bool = True
    lockers: Lockers | None = None
    """The lockers that the reader may see."""

    def matches(self, entry: Entry) -> bool:
        """Return whether an entry passes all filters."""
        return (
            entry.status is self.status
            and self.kind in (None, entry.kind)
            and self.code in (None, entry.code)
            and self.locker_id in (None, entry.locker_id)
            and (self.event_type is None or self.event_type.__name__ == entry.type)
            and entry.last_at >= self.since
            and (self.lockers is None or self.lockers.allow(entry.locker_id))
        )


class QuarantineTotals(Struct):
    """Counts over the whole quarantine."""

    open: dict[str, int] = field(default_factory=dict)
    """Open entries by code."""

    discarded: int = 0
    """Discarded entries."""

    dropped: int = 0
    """Entries that had to leave, and arrivals that could not be kept, because of the bounds of the quarantine."""

    unchecked_duplicates: int = 0
    """Duplicates that were not compared with the accepted event: too many came, or it could not be read."""

    malformed: dict[str, int] = field(default_factory=dict)
    """Malformed bodies by reason."""


class QuarantineChanges(Struct):
    """Changes of the quarantine that are written together."""

    at: str
    entries: list[Entry] = field(default_factory=list)
    """New arrivals, one entry for each event id."""

    accepted: list[AcceptedEvent] = field(default_factory=list)
    """Accepted events. An entry of the kind `refused` with the same id leaves if its content is the same, too.

    An entry with other content gets the kind `reused_id`.
    """

    malformed: list[MalformedBody] = field(default_factory=list)
    """The newest malformed bodies, in order of arrival."""

    malformed_counts: dict[str, int] = field(default_factory=dict)
    """Malformed bodies since the last write by reason, including those that are not kept."""

    dropped: int = 0
    unchecked_duplicates: int = 0


class QuarantineLimits(Struct, frozen=True):
    """Bounds of the quarantine."""

    entries: int = 50_000
    bytes: int = 64 * 1024 * 1024
    """Sum of the sizes of all entries, each its body and some 300 bytes."""

    days: int = 30
    """Days after the last arrival of an event until its entry leaves."""

    def oldest_at(self, time: str) -> str:
        """Return the earliest last arrival of an entry that may still be kept at `time`."""
        return recorded_at_of(time_of(time) - timedelta(days=self.days) // timedelta(microseconds=1))


ENTRY_BYTES = 300
"""Size of an entry beside its body, as the bounds count it: slightly more than its other members fill in a file."""


MALFORMED_BODIES = 1_000
"""Malformed bodies that are kept: the newest ones."""

MALFORMED_BYTES = 4_096
"""Bytes of a malformed body that are kept: its beginning."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """Return a text that every store can hold: NUL, and surrogates without a partner, are escaped."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}" if found[0] != "\0" else "\\x00", text)


def _make_storable(struct: Struct, *names: str) -> None:
    for name in names:
        text = getattr(struct, name)
        if (changed := storable(text)) != text:
            force_setattr(struct, name, changed)

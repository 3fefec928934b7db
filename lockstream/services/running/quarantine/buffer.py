"""Arrivals at the quarantine that wait for their write, merged: one entry for each event id."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.entities.quarantine import (
    EVENT_ID_REUSED,
    MALFORMED_BODIES,
    MALFORMED_BYTES,
    Entry,
    EntryKind,
    MalformedBody,
    QuarantineChanges,
    merged,
)
from lockstream.core.outcomes import Refusal
from lockstream.infrastructure.codec.event_json import encode_event

BUFFERED_ENTRIES = 10_000
"""Most event ids that wait for a write. Further ones are dropped, and counted."""

BUFFERED_BYTES = 16 * 1024 * 1024
"""Most bytes of bodies that wait for a write."""

COMPARED_DUPLICATES = 5_000
"""Most duplicates between two writes that are compared with the accepted event. Further ones are only counted."""


class Origin(Struct, frozen=True, gc=False):
    """The origin of events: a remote address, and their texts."""

    address: str = ""
    """Remote address, or an empty text for a Unix socket."""

    texts: Sequence[bytes] = ()
    """JSON text of each event, or nothing if the events never were a text."""

    is_arrival: bool = True
    """False for events that are decided afresh from the quarantine."""


UNKNOWN_ORIGIN = Origin()
"""Origin of events that came neither from a network nor from a text."""


class Arrival(NamedTuple):
    """An arrival of an event that was not accepted."""

    event: Event
    body: str
    address: str
    at: str

    @classmethod
    def of(cls, event: Event, index: int, origin: Origin, at: str) -> "Arrival":
        """Return the arrival of `event`, which has this index among the events of its origin."""
        text = origin.texts[index] if origin.texts else encode_event(event)
        return cls(event, text.decode(), origin.address, at)

    def entry(self, kind: EntryKind, code: str, detail: str, count: int) -> Entry:
        """Return an entry for this arrival."""
        return Entry(
            event_id=self.event.event_id,
            kind=kind,
            code=code,
            detail=detail,
            locker_id=self.event.locker_id,
            type=type(self.event).__name__,
            occurred_at=self.event.occurred_at,
            first_at=self.at,
            last_at=self.at,
            count=count,
            address=self.address,
            body=self.body,
        )


class NotedDuplicate(NamedTuple):
    """A duplicate, which is to be compared with the accepted event."""

    arrival: Arrival
    position: int
    """Position of the accepted event with the same id."""

    def entry(self) -> Entry:
        """Return the entry of a duplicate whose content differs from the accepted event's."""
        detail = (
            f"Another event with the id {self.arrival.event.event_id} was accepted at position {self.position}, and "
            "this one was not. Find the device that uses an id twice, and send the event under an id of its own if it "
            "happened."
        )
        return self.arrival.entry(EntryKind.REUSED_ID, EVENT_ID_REUSED, detail, 1)


class QuarantineBuffer:
    """Changes of the quarantine since the last write."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.duplicates: list[NotedDuplicate] = []
        self._bytes = 0
        self._accepted: dict[str, None] = {}
        self._malformed: deque[MalformedBody] = deque(maxlen=MALFORMED_BODIES)
        self._malformed_counts: dict[str, int] = {}
        self._dropped = self._unchecked_duplicates = 0

    def __bool__(self) -> bool:
        """Whether anything waits for a write."""
        counts = self._malformed_counts, self._dropped, self._unchecked_duplicates
        return any((self.entries, self.duplicates, self._accepted, *counts))

    def add_refused(self, arrival: Arrival, refusal: Refusal, *, is_arrival: bool) -> None:
        """Add an event that was refused. Without `is_arrival`, it was in the quarantine already."""
        detail = refusal.explain(arrival.event)
        self.add(arrival.entry(EntryKind.REFUSED, refusal.code, detail, 1 if is_arrival else 0))

    @property
    def takes_duplicates(self) -> bool:
        """Whether one more duplicate may be added."""
        return len(self.duplicates) < COMPARED_DUPLICATES

    def add_duplicate(self, arrival: Arrival, position: int) -> None:
        """Add a duplicate of the event at `position`."""
        self.duplicates.append(NotedDuplicate(arrival, position))

    def add_unchecked(self, count: int) -> None:
        """Count duplicates that are not compared with the accepted event."""
        self._unchecked_duplicates += count

    def add(self, entry: Entry) -> None:
        """Add an entry, or merge it into the one with its id."""
        earlier = self.entries.get(entry.event_id)
        size = len(entry.body) - (len(earlier.body) if earlier else 0)
        if self._bytes + size > BUFFERED_BYTES or (earlier is None and len(self.entries) >= BUFFERED_ENTRIES):
            self._dropped += 1
            return
        self._bytes += size
        self.entries[entry.event_id] = merged(earlier, entry) if earlier else entry

    def add_accepted(self, event_id: str, *, is_held: bool) -> None:
        """Note that an event was accepted. `is_held` tells whether the quarantine has an entry that must leave."""
        if entry := self.entries.pop(event_id, None):
            self._bytes -= len(entry.body)
        if is_held:
            self._accepted[event_id] = None

    def add_malformed(self, reason: str, detail: str, body: bytes, address: str, at: str) -> None:
        """Add a malformed body. The same body again is counted on the last one."""
        self._malformed_counts[reason] = self._malformed_counts.get(reason, 0) + 1
        shown = body[:MALFORMED_BYTES].decode(errors="backslashreplace")
        last = self._malformed[-1] if self._malformed else None
        noted = MalformedBody(reason, detail, at, at, 1, address, shown).after(last)
        if last and noted.number == last.number:
            self._malformed.pop()
        self._malformed.append(noted)

    def changes(self, at: str) -> QuarantineChanges:
        """Return all changes but uncompared duplicates, to be written at this time."""
        return QuarantineChanges(
            at,
            list(self.entries.values()),
            list(self._accepted),
            list(self._malformed),
            self._malformed_counts,
            self._dropped,
            self._unchecked_duplicates,
        )

    def put_back(self, changes: QuarantineChanges) -> None:
        """Take back earlier changes that could not be written."""
        newer, self.entries, self._bytes = self.entries, {}, 0
        for entry in [*changes.entries, *newer.values()]:
            if entry.event_id not in self._accepted:
                self.add(entry)
        self._accepted |= dict.fromkeys(changes.accepted)
        self._malformed.extendleft(reversed(changes.malformed[len(self._malformed) :]))
        for reason, count in changes.malformed_counts.items():
            self._malformed_counts[reason] = self._malformed_counts.get(reason, 0) + count
        self._dropped += changes.dropped
        self._unchecked_duplicates += changes.unchecked_duplicates

"""Arrivals at the quarantine that wait for their write, merged: one entry for each event id."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from lockstream.core.entities.events import Event
from lockstream.core.entities.quarantine import (
    MALFORMED_BODIES,
    MALFORMED_BYTES,
    AcceptedEvent,
    Entry,
    EntryKind,
    MalformedBody,
    QuarantineChanges,
    merged,
    put_last,
    with_reused_id,
)
from lockstream.core.outcomes import Refusal
from lockstream.infrastructure.codec.event_json import encode_event
from lockstream.services.running.group_commit import Origin

BUFFERED_ENTRIES = 50_000
"""Most event ids that wait for a write. Further events are dropped, and counted."""

BUFFERED_BYTES = 64 * 1024 * 1024
"""Most bytes of bodies that wait for a write. Of a known id, only the larger body is dropped."""

COMPARED_DUPLICATES = 5_000
"""Most duplicates that are compared with the accepted event in one write. Further duplicates are only counted."""

COMPARED_BYTES = 4 * 1024 * 1024
"""Most bytes of bodies of these duplicates."""

MALFORMED_BYTES_A_WRITE = 1024 * 1024
"""Most bytes of malformed bodies in one write. In a flood, older bodies are only counted."""


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

    def entry(self, code: str, detail: str, count: int) -> Entry:
        """Return an entry of the kind `refused` for this arrival."""
        return Entry(
            event_id=self.event.event_id,
            kind=EntryKind.REFUSED,
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
        return with_reused_id(self.arrival.entry("", "", 1), self.position)


class QuarantineBuffer:
    """Changes of the quarantine since the last write."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.duplicates: list[NotedDuplicate] = []
        self._duplicate_bytes = 0
        self._bytes = 0
        self._entries_of, self._bytes_of = Counter[str](), Counter[str]()
        """Numbers of entries, and bytes of their bodies, by remote address."""

        self._accepted: dict[str, AcceptedEvent] = {}
        self._malformed: deque[MalformedBody] = deque(maxlen=MALFORMED_BODIES)
        self._malformed_counts: dict[str, int] = {}
        self._dropped = self._unchecked_duplicates = 0

    def __bool__(self) -> bool:
        """Whether anything waits for a write."""
        counts = self._malformed_counts, self._dropped, self._unchecked_duplicates
        return any((self.entries, self.duplicates, self._accepted, *counts))

    def add_refused(self, arrival: Arrival, refusal: Refusal, *, is_arrival: bool) -> None:
        """Add an event that was refused. Without `is_arrival`, the event was resubmitted from the quarantine."""
        detail = refusal.explain(arrival.event)
        self.add(arrival.entry(refusal.code, detail, 1 if is_arrival else 0))

    @property
    def takes_duplicates(self) -> bool:
        """Whether one more duplicate may be added."""
        return len(self.duplicates) < COMPARED_DUPLICATES and self._duplicate_bytes < COMPARED_BYTES

    def add_duplicate(self, arrival: Arrival, position: int) -> None:
        """Add a duplicate of the event at `position`."""
        self.duplicates.append(NotedDuplicate(arrival, position))
        self._duplicate_bytes += len(arrival.body)

    def add_unchecked(self, count: int) -> None:
        """Count duplicates that are not compared with the accepted event."""
        self._unchecked_duplicates += count

    def add(self, entry: Entry) -> None:
        """Add an entry, or merge it into the one with its id, if there is room.

        A remote address may take as much room as is still free. So an address that floods the buffer
        takes half of it, and leaves room for the others. If a larger body of an earlier entry has no room, the entry
        keeps its body, and counts the arrival.
        """
        earlier = self.entries.get(entry.event_id)
        later, entry = entry, merged(earlier, entry) if earlier else entry
        if not self._has_room_for(entry, earlier):
            if earlier is None or earlier.locker_id != later.locker_id:
                self._dropped += later.count  # 0 for an entry that was only decided afresh
                return
            entry = replace(earlier, last_at=entry.last_at, count=entry.count)
        if earlier:
            self._remove(earlier)
        self.entries[entry.event_id] = entry
        self._bytes += len(entry.body)
        self._entries_of[entry.address] += 1
        self._bytes_of[entry.address] += len(entry.body)

    def add_accepted(self, event: Event, position: int) -> None:
        """Note that an event was accepted although an entry has its id."""
        self._accepted[event.event_id] = AcceptedEvent(event, position)

    def add_malformed(self, reason: str, detail: str, body: bytes, address: str, at: str) -> None:
        """Add a malformed body, or count it if it equals the last one."""
        self._malformed_counts[reason] = self._malformed_counts.get(reason, 0) + 1
        shown = body[:MALFORMED_BYTES].decode(errors="backslashreplace")[:MALFORMED_BYTES]
        last = self._malformed[-1] if self._malformed else None
        put_last(self._malformed, MalformedBody(reason, detail, at, at, 1, address, shown).after(last))

    def changes(self, at: str) -> QuarantineChanges:
        """Return all changes, to be written at the time `at`, except duplicates that are not compared yet."""
        return QuarantineChanges(
            at,
            list(self.entries.values()),
            list(self._accepted.values()),
            _newest(self._malformed),
            self._malformed_counts,
            self._dropped,
            self._unchecked_duplicates,
        )

    def put_back(self, changes: QuarantineChanges) -> None:
        """Merge earlier changes, which could not be written, with the changes since."""
        newer, self.entries, self._bytes = self.entries, {}, 0
        self._entries_of, self._bytes_of = Counter(), Counter()
        for entry in [*changes.entries, *newer.values()]:
            self.add(entry)
        self._accepted = {one.event.event_id: one for one in changes.accepted} | self._accepted
        malformed = [*changes.malformed, *self._malformed]
        self._malformed.clear()
        self._malformed.extend(malformed)
        for reason, count in changes.malformed_counts.items():
            self._malformed_counts[reason] = self._malformed_counts.get(reason, 0) + count
        self._dropped += changes.dropped
        self._unchecked_duplicates += changes.unchecked_duplicates

    def _has_room_for(self, entry: Entry, earlier: Entry | None) -> bool:
        """Return whether an entry has room in the place of the earlier entry with its id."""
        growth = len(entry.body) - (len(earlier.body) if earlier else 0)
        if earlier and growth <= 0:
            return True
        free_entries, free_bytes = BUFFERED_ENTRIES - len(self.entries), BUFFERED_BYTES - self._bytes
        has_place = earlier is not None or self._entries_of[entry.address] < free_entries
        return has_place and self._bytes_of[entry.address] + growth <= free_bytes

    def _remove(self, entry: Entry) -> None:
        del self.entries[entry.event_id]
        self._bytes -= len(entry.body)
        self._entries_of[entry.address] -= 1
        self._bytes_of[entry.address] -= len(entry.body)


def _newest(bodies: Sequence[MalformedBody]) -> list[MalformedBody]:
    """Return the newest of some bodies, as many as one write may have."""
    size, newest = 0, list[MalformedBody]()
    for body in reversed(bodies):
        size += len(body.body)
        if size > MALFORMED_BYTES_A_WRITE:
            break
        newest.append(body)
    return newest[::-1]

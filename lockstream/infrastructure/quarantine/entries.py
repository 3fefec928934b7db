"""Entries in memory, within bounds: when they are full, whoever takes the most bytes loses an entry first.

The room is divided between remote addresses, and the room of an address between lockers. So a client that reports
nothing but nonsense displaces its own entries, and those of others stay.
"""

from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import islice

from msgspec.structs import replace

from lockstream.core.entities.quarantine import (
    ENTRY_BYTES,
    Entry,
    EntryKind,
    EntryStatus,
    QuarantineLimits,
    QuarantineQuery,
    merged,
)

STALE_ITEMS = 1_024
"""Outdated items of a heap that are tolerated before it is built again."""


class BoundedEntries:
    """Entries by event id, in the order of their last arrivals."""

    def __init__(self, limits: QuarantineLimits) -> None:
        self.by_id: dict[str, Entry] = {}
        self.refused_ids: dict[str, None] = {}
        """Ids of the entries that leave once their event is accepted."""

        self.bytes = 0
        self.last_number = 0
        """Number of the newest entry, even if it has left."""

        self.open = Counter[str]()
        """Open entries by code."""

        self._limits = limits
        self._numbers: dict[tuple[int, str], None] = {}
        """Numbers with their event ids, in ascending order. A damaged file may have one number twice."""

        self._shares: dict[str, _Share] = {}
        """The share of each remote address."""

        self._addresses = _Tally()

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the entry with the same id.

        Only a new arrival changes the place of an entry in the order of arrivals. A new decision on it does not.
        """
        earlier = self.by_id.get(entry.event_id)
        if earlier and earlier.number != entry.number:  # only in a damaged file
            del self._numbers[earlier.number, earlier.event_id]
        if earlier and _place_of(earlier) == _place_of(entry):
            self._uncount(earlier)
            self.by_id[entry.event_id] = entry
            self._count(entry)
            return
        if earlier:
            self._take_out(earlier)
        self.by_id[entry.event_id] = entry
        self._count(entry)
        self.bytes += _size_of(entry)
        self._addresses.add(entry.address, _size_of(entry))
        self._shares.setdefault(entry.address, _Share()).add(entry)

    def merge(self, entry: Entry) -> Entry | None:
        """Merge new arrivals into the entry with the same id, and return the result.

        Return None for a new decision on an entry that has left.
        """
        earlier = self.by_id.get(entry.event_id)
        if earlier is None and not entry.count:
            return None
        result = merged(earlier, entry) if earlier else replace(entry, number=self.last_number + 1)
        self.put(result)
        return result

    def remove(self, event_id: str) -> Entry | None:
        """Remove the entry with this id, and return it."""
        entry = self.by_id.get(event_id)
        if entry is not None:
            self._take_out(entry)
            del self._numbers[entry.number, event_id]
        return entry

    def drop_excess(self, oldest: str) -> Iterator[Entry]:
        """Remove and yield entries until the bounds hold, and all entries whose last arrival was before `oldest`."""
        while self.by_id and (first := next(iter(self.by_id.values()))).last_at < oldest:
            self.remove(first.event_id)
            yield first
        while len(self.by_id) > self._limits.entries or self.bytes > self._limits.bytes:
            dropped = self.remove(self._shares[self._addresses.largest()].oldest_of_largest())
            assert dropped is not None  # noqa: S101  # each id of a share is the id of an entry
            yield dropped

    def sort(self) -> None:
        """Bring the entries into the order of their numbers, after they were put in another order."""
        self._numbers = dict.fromkeys(sorted(self._numbers))

    def list(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        """Return up to `limit` entries behind the entry with number `after`, in the order of the query."""
        numbers = reversed(self._numbers) if query.descending else iter(self._numbers)
        if after is not None:
            numbers = (pair for pair in numbers if pair[0] != after and (pair[0] < after) is query.descending)
        entries = (self.by_id[event_id] for _, event_id in numbers)
        return list(islice(filter(query.matches, entries), limit))

    def _take_out(self, entry: Entry) -> None:
        """Remove an entry from everything but the order of numbers, in which an entry keeps its place."""
        del self.by_id[entry.event_id]
        self._uncount(entry)
        self.bytes -= _size_of(entry)
        self._addresses.add(entry.address, -_size_of(entry))
        share = self._shares[entry.address]
        share.remove(entry)
        if not share.ids:
            del self._shares[entry.address]

    def _count(self, entry: Entry) -> None:
        self._numbers[entry.number, entry.event_id] = None
        self.last_number = max(self.last_number, entry.number)
        if entry.status is EntryStatus.OPEN:
            self.open[entry.code] += 1
        if entry.kind is EntryKind.REFUSED:
            self.refused_ids[entry.event_id] = None

    def _uncount(self, entry: Entry) -> None:
        """Take an entry out of the counts of open entries and out of the ids of refused events."""
        if entry.status is EntryStatus.OPEN:
            self.open[entry.code] -= 1
        self.refused_ids.pop(entry.event_id, None)


class _Share:
    """The entries of one remote address, by locker."""

    def __init__(self) -> None:
        self.ids: dict[str, dict[str, None]] = {}
        """Event ids of each locker, in the order of their last arrivals."""

        self._lockers = _Tally()

    def add(self, entry: Entry) -> None:
        self.ids.setdefault(entry.locker_id, {})[entry.event_id] = None
        self._lockers.add(entry.locker_id, _size_of(entry))

    def remove(self, entry: Entry) -> None:
        ids = self.ids[entry.locker_id]
        del ids[entry.event_id]
        if not ids:
            del self.ids[entry.locker_id]
        self._lockers.add(entry.locker_id, -_size_of(entry))

    def oldest_of_largest(self) -> str:
        """Return the oldest event id of the locker with the most bytes."""
        return next(iter(self.ids[self._lockers.largest()]))


class _Tally:
    """Numbers by name, with the name of the largest. A change takes about as long for any number of names."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        """A pair of negative number and name for each change. A pair whose number is not the present one is stale."""

    def add(self, name: str, number: int) -> None:
        self._numbers[name] = total = self._numbers.get(name, 0) + number
        if not total:
            del self._numbers[name]
        heappush(self._heap, (-total, name))
        if len(self._heap) > 2 * len(self._numbers) + STALE_ITEMS:
            self._heap = [(-total, name) for name, total in self._numbers.items()]
            heapify(self._heap)

    def largest(self) -> str:
        while -self._heap[0][0] != self._numbers.get(self._heap[0][1], 0):
            heappop(self._heap)
        return self._heap[0][1]


def _place_of(entry: Entry) -> tuple[str, str, str, int]:
    """Return the members of an entry that decide its place in the order of arrivals, and its share."""
    return entry.last_at, entry.address, entry.locker_id, _size_of(entry)


def _size_of(entry: Entry) -> int:
    return (len(entry.body) if entry.body.isascii() else len(entry.body.encode())) + ENTRY_BYTES

"""The rows that recent events touched, in memory and bounded: loads what is missing, hands on what has changed.

Over `Nothing` it is a projection of its own: that is the memory store.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, count, islice
from typing import Any

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row
from lockstream.core.keys import Keys
from lockstream.infrastructure.backing import Backing, Changes
from lockstream.infrastructure.held_rows import HeldRows, Shelf
from lockstream.infrastructure.known_keys import KnownKeys, Recent, compartment_key, reservation_key

SETTLE_ROWS = 2_000
"""So many changed rows share a transaction well, and to collect them holds up requests for some 3 ms."""

BEHIND_ROWS = 50_000
"""Where settling is slower than events come in, they have to wait for it from here on."""

EVICTED_SHARE = 16
"""One row in so many is let go of at a time: often enough to stay near capacity, too few to hold up a request."""


class _Shelf(Shelf):
    """One that knows what is on its way to the backing."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_on: set[Key] = set()

    def evict(self, share: int) -> None:
        """Let go of the first row in `share`, but not of what the backing does not hold yet."""
        kept = self.changed | self.handed_on
        for key in list(islice(self.rows, len(self.rows) // share + 1)):
            if key not in kept:
                del self.rows[key]


class WorkingSet(HeldRows[_Shelf]):
    """Rows over a backing. Not for two threads at a time.

    What is saved can be undone until `advance`. It is handed to the backing by `collect`, followed by `confirm` or
    `restore`, between which events go on: see `Settling`.
    """

    def __init__(
        self,
        backing: Backing,
        reached: Cursor = START,
        capacity: float = float("inf"),
        known: KnownKeys | None = None,
    ) -> None:
        """`capacity` bounds the rows kept between batches; those not settled yet are kept in any case."""
        super().__init__(_Shelf)
        self.reached = self.settled = reached
        self.known = known or KnownKeys()
        self._backing = backing
        self._capacity = capacity
        self.places: dict[str, list[int]] = {}
        """Where else in the log to look for the ids of events, and keys of rows, that were prefetched: blocks' first
        positions."""

        self._given: dict[str, int] = {}
        self._unkept: list[dict[str, int]] = []
        self._added: dict[str, list[Compartment | Fault]] = {}
        self._added_before: dict[str, list[Compartment | Fault]] = {}

    @property
    def due(self) -> bool:
        """Whether there is enough to settle for it to be worth while."""
        return self.crowded or self.changed > SETTLE_ROWS

    @property
    def crowded(self) -> bool:
        """Whether there are more rows than capacity; settling lets go of some."""
        return sum(len(shelf.rows) for shelf in self._shelves.values()) > self._capacity

    @property
    def behind(self) -> bool:
        """Whether so many rows wait to be handed on that memory would fill up with them."""
        return self.changed > BEHIND_ROWS

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        """Have at hand all that `events` can see, whose keys are `wanted`.

        Raises:
            StoreUnavailable: the backing cannot be read.
        """
        reservations, compartments, faults = self._reservations, self._compartments, self._faults
        named = {key.reservation for key in wanted if key.reservation is not None}
        placed = {key.compartment for key in wanted if key.compartment is not None}
        new_reservations = {reservation_key(key): key for key in named if key not in reservations}
        new_compartments = {compartment_key(key): key for key in placed if key not in compartments}
        ids = [event.event_id for event in events]
        self.places = self.known.places([*ids, *new_reservations, *new_compartments])
        self._fetch_given(Reservation, new_reservations)
        self._fetch_given(Compartment, new_compartments)
        meant = {row.where for key in named if (row := reservations[key]) is not None}
        self._fetch(Compartment, [key for key in meant if key not in compartments])
        self._fetch(Fault, {key.fault for key in wanted if key.fault is not None and key.fault not in faults})

    def recorded(self, event_ids: Iterable[str]) -> dict[str, int]:
        """Those of events that were recorded recently, with their positions in the log."""
        recent = self.known.recent
        return {event_id: recent[event_id] for event_id in event_ids if event_id in recent}

    def record(self, event_ids: Sequence[str], first: int) -> None:
        self._given.update(zip(event_ids, count(first)))

    def advance(self, to: Cursor) -> None:
        """Keep what was saved: it can't be undone any more."""
        first = self.reached.position + 1
        for row in self._new:
            if type(row) is Reservation:
                self._given[reservation_key(row.reservation_id)] = first
            elif type(row) is Compartment:
                self._given[compartment_key((row.locker_id, row.compartment_id))] = first
                self._added.setdefault(row.locker_id, []).append(row)
            elif type(row) is Fault:
                self._added.setdefault(row.locker_id, []).append(row)
        self._new.clear()
        self._undo.clear()
        self.known.add(self._given)
        self._unkept.append(self._given)
        self._given = {}
        self.reached = to

    def undo(self) -> None:
        super().undo()
        self._given.clear()

    def collect(self) -> Changes:
        """What the backing does not hold yet."""
        rows: dict[type[Row], list[Row]] = {}
        for kind, shelf in self._shelves.items():
            rows[kind] = self.changed_rows(kind)
            shelf.handed_on, shelf.changed = shelf.changed, set()
        self._added_before, self._added = self._added, {}
        given, self._unkept = self._unkept, []
        recent = Recent(list(chain(*given)), list(chain.from_iterable(one.values() for one in given)))
        return Changes(rows, recent, self.reached)

    def confirm(self, changes: Changes) -> None:
        """The backing holds what was collected. Over capacity, some rows are let go of."""
        self.settled = changes.reached
        self._added_before = {}
        for shelf in self._shelves.values():
            shelf.handed_on = set()
        if self.crowded:
            self.evict(EVICTED_SHARE)

    def restore(self, changes: Changes) -> None:
        """The backing took nothing of what was collected: it is collected again the next time."""
        for shelf in self._shelves.values():
            shelf.changed |= shelf.handed_on
            shelf.handed_on = set()
        for locker_id, rows in self._added_before.items():
            self._added[locker_id] = rows + self._added.get(locker_id, [])
        self._added_before = {}
        self._unkept.insert(0, dict(zip(changes.recent.keys, changes.recent.positions, strict=True)))

    def evict(self, share: int) -> None:
        """Let go of one row in `share`, of those that came first and that the backing holds."""
        for shelf in self._shelves.values():
            shelf.evict(share)

    @property
    def lockers_added(self) -> set[str]:
        """The lockers that have rows which the backing may not hold yet."""
        return self._added_before.keys() | self._added.keys()

    def added(self, locker_id: str) -> tuple[set[str], list[Fault]]:
        """The compartments of a locker, by id, and its faults that the backing may not hold yet."""
        rows = [*self._added_before.get(locker_id, ()), *self._added.get(locker_id, ())]
        faults = [row for row in rows if isinstance(row, Fault)]
        return {row.compartment_id for row in rows if isinstance(row, Compartment)}, faults

    def _fetch_given(self, kind: type[Row], missing: dict[str, Any]) -> None:
        """Fetch those of the missing rows, by how their keys are known, whose key may have been given."""
        maybe = [key for name, key in missing.items() if name in self.places or name in self.known.recent]
        self._fetch(kind, maybe)
        rows = self._shelves[kind].rows
        for key in missing.values():
            rows.setdefault(key, None)

    def _fetch(self, kind: type[Row], missing: Collection[Key]) -> None:
        if not missing:
            return
        # Only when all were found: what could not be read is not absent.
        self.hold(kind, missing, list(self._backing.fetch(kind, missing)))

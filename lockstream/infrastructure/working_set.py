"""The rows that recent events touched, in memory and bounded: loads what is missing, hands on what has changed.

Over `Nothing` it is a projection of its own: that is the memory store.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault, Key, Receipt, Reservation, Row, Slice
from lockstream.core.keys import Keys, keys

SETTLE_ROWS = 1_000
"""So many changed rows share a transaction well, and do not yet hold up the next batch: some 10 ms."""

type Rows = Mapping[type[Row], Sequence[Row]]


class Backing(Protocol):
    """Where rows are kept for good."""

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        """Those of the rows that are there.

        Raises:
            StoreUnavailable: they cannot be read.
        """

    def write(self, rows: Rows, reached: Cursor) -> None:
        """Keep `rows`, and how far they bring the projection, both or neither.

        Raises:
            StoreUnavailable: neither is kept.
        """


class Nothing:
    """A backing that holds nothing: what is not in memory is nowhere."""

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        return ()

    def write(self, rows: Rows, reached: Cursor) -> None:
        return


class WorkingSet:
    """Rows over a backing. Not for two threads at a time.

    What is saved can be undone until `advance`, and is handed to the backing by `settle`.
    """

    def __init__(self, backing: Backing, reached: Cursor = START, capacity: float = float("inf")) -> None:
        """`capacity` bounds the rows kept between batches; those not settled yet are kept in any case."""
        self.reached = reached
        self._backing = backing
        self._capacity = capacity
        self._compartments: dict[Key, Compartment | None] = {}
        self._reservations: dict[Key, Reservation | None] = {}
        self._faults: dict[Key, Fault | None] = {}
        self._receipts: dict[Key, Receipt | None] = {}
        self._shelves: dict[type, dict[Key, Any]] = {
            Compartment: self._compartments,
            Reservation: self._reservations,
            Fault: self._faults,
            Receipt: self._receipts,
        }
        self._dirty: dict[type[Row], set[Key]] = {kind: set() for kind in self._shelves}
        self._undo: list[tuple[type[Row], Key, Row | None]] = []

    @property
    def due(self) -> bool:
        """Whether there is enough to settle for it to be worth while."""
        return self.crowded or sum(map(len, self._dirty.values())) > SETTLE_ROWS

    @property
    def crowded(self) -> bool:
        """Whether there are more rows than capacity; `settle` lets go of some."""
        return sum(map(len, self._shelves.values())) > self._capacity

    def prefetch(self, events: Sequence[Event]) -> None:
        """Have at hand all that `events` can see.

        Raises:
            StoreUnavailable: the backing cannot be read.
        """
        wanted = [keys(event) for event in events]
        self._fetch(Receipt, {event.event_id for event in events})
        self._fetch(Fault, {key.fault for key in wanted if key.fault is not None})
        reservations = {key.reservation for key in wanted if key.reservation is not None}
        self._fetch(Reservation, reservations)
        found = [reservation for key in reservations if (reservation := self._reservations[key])]
        compartments = {key.compartment for key in wanted if key.compartment is not None}
        self._fetch(Compartment, compartments | {row.where for row in found})

    def recorded(self, event_id: str) -> int | None:
        receipt = self._receipts[event_id]
        return None if receipt is None else receipt.position

    def load(self, keys: Keys) -> Slice:
        reservation = None if keys.reservation is None else self._reservations[keys.reservation]
        where = keys.compartment
        if where is None and reservation is not None:
            where = reservation.where
        return Slice(
            None if where is None else self._compartments[where],
            reservation,
            None if keys.fault is None else self._faults[keys.fault],
        )

    def save(self, before: Slice, after: Slice) -> None:
        if after.compartment is not None and after.compartment is not before.compartment:
            self._put(after.compartment)
        if after.reservation is not None and after.reservation is not before.reservation:
            self._put(after.reservation)
        if after.fault is not None and after.fault is not before.fault:
            self._put(after.fault)

    def record(self, event_id: str, position: int) -> None:
        self._put(Receipt(event_id, position))

    def advance(self, to: Cursor) -> None:
        """Keep what was saved: it can't be undone any more."""
        for kind, key, _ in self._undo:
            self._dirty[kind].add(key)
        self._undo.clear()
        self.reached = to

    def undo(self) -> None:
        """Forget what was saved since the last `advance`."""
        for kind, key, row in reversed(self._undo):
            self._shelves[kind][key] = row
        self._undo.clear()

    def settle(self) -> None:
        """Hand to the backing what it does not hold yet, sorted by key; over capacity, let go of what came first.

        Raises:
            StoreUnavailable: the backing took nothing; all is kept here.
        """
        if any(self._dirty.values()):
            changed = {
                kind: [row for key in sorted(dirty) if (row := self._shelves[kind][key])]
                for kind, dirty in self._dirty.items()
            }
            self._backing.write(changed, self.reached)
            for dirty in self._dirty.values():
                dirty.clear()
        if self.crowded:
            for shelf in self._shelves.values():
                for key in list(islice(shelf, len(shelf) // 2)):
                    del shelf[key]

    def every[RowT: Row](self, kind: type[RowT]) -> Iterable[RowT]:
        """Each row of a kind that is in memory."""
        return (row for row in self._shelves[kind].values() if row is not None)

    def get[RowT: Row](self, kind: type[RowT], key: Key) -> RowT | None:
        """One row, where it is in memory."""
        row: RowT | None = self._shelves[kind].get(key)
        return row

    def _put(self, row: Row) -> None:
        shelf = self._shelves[type(row)]
        self._undo.append((type(row), row.key, shelf.get(row.key)))
        shelf[row.key] = row

    def _fetch(self, kind: type[Row], wanted: Collection[Key]) -> None:
        shelf = self._shelves[kind]
        missing = [key for key in wanted if key not in shelf]
        if not missing:
            return
        found = {row.key: row for row in self._backing.fetch(kind, missing)}
        shelf.update({key: found.get(key) for key in missing})  # only now: what could not be read is not absent

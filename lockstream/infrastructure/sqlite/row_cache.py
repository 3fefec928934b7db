"""The row cache: rows that recent events touched, in memory over a row store, write-back and bounded.

Changed rows collect in a change set until a checkpoint writes them. A second change set may be in flight meanwhile.
All other rows can be read again, so the cache drops them one generation at a time.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row
from lockstream.core.read_set import ReadSet
from lockstream.infrastructure.id_index.index import IdIndex, NewIds, compartment_id_of, reservation_id_of
from lockstream.infrastructure.rows.row_set import ChangedRows, RowSet

CHECKPOINT_ROWS = 2_000
"""Changed rows that are worth a checkpoint: enough to share one transaction well."""

OVERLOAD_ROWS = 50_000
"""Changed rows beyond which events wait for the checkpoint, if it is slower than they arrive."""


class RowStore(Protocol):
    """The storage behind a row cache."""

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        """Return the rows that exist.

        Raises:
            StoreUnavailable: they cannot be read.
        """


class NullRowStore:
    """A row store that is always empty: a cache over it that is never checkpointed is a projection in memory."""

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        return ()


class ChangeSet:
    """All that changed between two checkpoints."""

    def __init__(self, reached: Cursor) -> None:
        self.reached = reached
        self.rows = ChangedRows()
        self.added: dict[str, list[Compartment | Fault]] = {}
        """Compartments and faults that are new, by locker id."""

        self._ids: list[Mapping[str, int]] = []

    def new_ids(self) -> NewIds:
        """Return the ids that were first used by the events of this change set."""
        return NewIds(
            [used for ids in self._ids for used in ids],
            [position for ids in self._ids for position in ids.values()],
        )

    def add(self, rows: RowSet, ids: Mapping[str, int], reached: Cursor) -> None:
        """Add what one batch changed."""
        self.rows.update(rows.changed)
        for row in rows.added:
            if not isinstance(row, Reservation):
                self.added.setdefault(row.locker_id, []).append(row)
        self._ids.append(ids)
        self.reached = reached

    def merge(self, newer: "ChangeSet") -> None:
        """Add all of a newer change set."""
        self.rows.update(newer.rows)
        for locker_id, rows in newer.added.items():
            self.added.setdefault(locker_id, []).extend(rows)
        self._ids += newer._ids
        self.reached = newer.reached


class RowCache:
    """The rows of a projection as of `reached`. For one thread."""

    def __init__(
        self,
        store: RowStore,
        reached: Cursor = START,
        capacity: float = float("inf"),
        ids: IdIndex | None = None,
    ) -> None:
        """`capacity` bounds the rows in memory, apart from changed rows that wait for a checkpoint.

        `ids` holds the ids used up to `reached`.
        """
        self.reached = self.checkpointed = reached
        self.ids = ids or IdIndex()
        self._store = store
        self._capacity = capacity
        self._changed = ChangeSet(reached)
        self._in_flight: ChangeSet | None = None
        self._young, self._old, self._expired = ChangedRows(), ChangedRows(), ChangedRows()

    @property
    def needs_checkpoint(self) -> bool:
        """Whether enough rows have changed for a checkpoint to be worth while."""
        return len(self._changed.rows) > min(CHECKPOINT_ROWS, self._capacity)

    @property
    def is_full(self) -> bool:
        """Whether more changed rows wait for a checkpoint than the cache should hold."""
        return sum(len(change_set.rows) for change_set in self._change_sets) > self._capacity

    @property
    def is_overloaded(self) -> bool:
        """Whether events should wait for the checkpoint."""
        return len(self._changed.rows) > OVERLOAD_ROWS

    @property
    def lockers_added(self) -> set[str]:
        """Ids of the lockers that have rows which the row store may not hold yet."""
        return {locker_id for change_set in self._change_sets for locker_id in change_set.added}

    def fetch(self, read_sets: Sequence[ReadSet]) -> RowSet:
        """Fetch the rows that a batch needs.

        Raises:
            StoreUnavailable: the row store cannot be read.
        """
        self._age()
        reservations = self._load(
            Reservation, {keys.reservation for keys in read_sets if keys.reservation is not None}, reservation_id_of
        )
        compartments = self._load(
            Compartment, {keys.compartment for keys in read_sets if keys.compartment is not None}, compartment_id_of
        )
        occupied = {row.compartment_key for row in reservations.values() if row is not None}
        compartments |= self._load(Compartment, occupied - compartments.keys())
        faults = self._load(Fault, {keys.fault for keys in read_sets if keys.fault is not None})
        return RowSet(compartments, reservations, faults)

    def apply(self, rows: RowSet, event_ids: Sequence[str], end: Cursor) -> None:
        """Keep what a batch saved in `rows`. Its last event ends at `end`."""
        first = self.reached.position + 1
        ids = dict(zip(event_ids, count(first)))
        for row in rows.added:
            if isinstance(row, Reservation):
                ids[reservation_id_of(row.reservation_id)] = first
            elif isinstance(row, Compartment):
                ids[compartment_id_of(row.key)] = first
        self.ids.add(ids)
        self._changed.add(rows, ids, end)
        self._young.update(rows.changed)
        self.reached = end

    def get[RowT: (Compartment, Reservation, Fault)](self, row_class: type[RowT], key: Key) -> RowT | None:
        """Return a row if it is in memory."""
        row: RowT | None = self._young.by_class[row_class].get(key) or self._find_older(row_class, key)
        return row

    def added(self, locker_id: str) -> tuple[set[str], list[Fault]]:
        """Return the locker's compartment ids and faults that the row store may not hold yet."""
        rows = [row for change_set in self._change_sets for row in change_set.added.get(locker_id, ())]
        compartment_ids = {row.compartment_id for row in rows if isinstance(row, Compartment)}
        return compartment_ids, [row for row in rows if isinstance(row, Fault)]

    def changed_rows[RowT: (Compartment, Reservation, Fault)](self, row_class: type[RowT]) -> Iterable[RowT]:
        """Return the rows that changed since the last checkpoint began: all rows, if there never was one."""
        rows: Iterable[RowT] = self._changed.rows.by_class[row_class].values()
        return rows

    def begin_checkpoint(self) -> ChangeSet:
        """Return what the row store does not hold yet. One checkpoint at a time; batches may go on meanwhile."""
        if self._in_flight is not None:
            raise RuntimeError("A checkpoint is in flight, and a second one would lose its changes.")
        self._in_flight, self._changed = self._changed, ChangeSet(self.reached)
        return self._in_flight

    def end_checkpoint(self, *, is_written: bool) -> None:
        """End the checkpoint. If it was not written, the next one includes its changes."""
        if self._in_flight is None:
            return
        if is_written:
            self.checkpointed = self._in_flight.reached
        else:
            self._in_flight.merge(self._changed)
            self._changed = self._in_flight
        self._in_flight = None

    @property
    def _change_sets(self) -> list[ChangeSet]:
        return [self._changed] if self._in_flight is None else [self._in_flight, self._changed]

    def _load(
        self, row_class: type[Row], keys: Collection[Key], index_name: Callable[[Any], str] | None = None
    ) -> dict[Any, Any]:
        """Return the rows by key, from memory or from the row store, and None for each key without a row.

        `index_name` gives the name of a key in the id index, which knows of most absent rows that they are absent.
        """
        rows: dict[Any, Any] = dict.fromkeys(keys)
        young, missing = self._young.by_class[row_class], []
        for key in keys:
            row = young.get(key)
            if row is None and (row := self._find_older(row_class, key)) is None:
                missing.append(key)
            else:
                rows[key] = young[key] = row
        if missing and index_name:
            names = {index_name(key): key for key in missing}
            candidates = self.ids.candidate_blocks(list(names))
            missing = [key for name, key in names.items() if name in candidates or name in self.ids.memtable]
        if missing:
            found = {row.key: row for row in self._store.fetch(row_class, missing)}
            rows |= found
            young |= found
        return rows

    def _find_older(self, row_class: type[Row], key: Key) -> Any:
        """Return a row that is in memory, but not in the young generation."""
        row = self._old.by_class[row_class].get(key)
        for change_set in self._change_sets if row is None else ():
            row = change_set.rows.by_class[row_class].get(key, row)
        return row

    def _age(self) -> None:
        """Start a new generation if the young one is full, and drop as many expired rows as the young one has gained.

        Dropping a whole generation at once would stall requests. This happens before every batch, because refused
        events and duplicates load rows, too.
        """
        generation = self._capacity / 2
        if len(self._young) > generation:
            self._young, self._old, self._expired = ChangedRows(), self._young, self._old
        excess = len(self._young) + len(self._expired) - generation
        for rows in self._expired.by_class.values():
            while rows and excess > 0:
                rows.popitem()
                excess -= 1

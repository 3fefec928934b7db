"""The row cache: rows that recent events touched, in memory over a row store, write-back and bounded.

Rows are kept in generations, the newest first. The change set is the first generation; once a checkpoint has written
it, its rows stay as a generation that can be dropped at any time, because the row store has them. Each row is looked
for in one generation after the other, so it is found in its newest state.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol, cast

from lockstream.core.entities.events import CompartmentRegistered, Event, FaultReported, ReservationCreated
from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row
from lockstream.core.row_set import RowsByClass, RowSet, read_set_of
from lockstream.infrastructure.id_index.index import IdIndex, NewIds, compartment_id_of, reservation_id_of

CHECKPOINT_ROWS = 50_000
"""Changed rows that are worth a checkpoint. A row that changes three times until then is written once."""

OVERLOAD_ROWS = 200_000
"""Changed rows beyond which events wait for the checkpoint, if it is slower than they arrive: some 60 MB."""

GENERATIONS = 8
"""Generations into which the capacity is divided. More would make a miss slower, fewer would drop more rows at once."""

DROPPED_PER_BATCH = 500
"""Expired rows of one class that each batch drops."""

SLICE_IDS = 1_000
"""Ids that are handed to a checkpoint at once, before it lets another thread take Python's lock."""


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


def no_rows() -> RowsByClass:
    return {Compartment: {}, Reservation: {}, Fault: {}}


def _size(rows: RowsByClass) -> int:
    return sum(map(len, rows.values()))


class ChangeSet:
    """All that changed between two checkpoints."""

    def __init__(self, reached: Cursor) -> None:
        self.reached = reached
        self.rows = no_rows()
        """The changed rows, each in its newest state."""

        self.added: dict[str, list[Compartment | Fault]] = {}
        """Compartments and faults that are new, by locker id."""

        self._ids: list[Mapping[str, int]] = []

    def new_ids(self) -> Iterator[NewIds]:
        """Yield the ids that were first used by the events of this change set, a slice at a time, in order."""
        ids: list[str] = []
        positions: list[int] = []
        for batch in self._ids:
            ids += batch
            positions += batch.values()
            if len(ids) >= SLICE_IDS:
                yield NewIds(ids, positions)
                ids, positions = [], []
        if ids:
            yield NewIds(ids, positions)

    def add(self, rows: RowsByClass, ids: Mapping[str, int], reached: Cursor) -> None:
        """Add what one batch changed."""
        for row_class, changed in rows.items():
            self.rows[row_class].update(changed)
        self._ids.append(ids)
        self.reached = reached

    def merge(self, newer: "ChangeSet") -> None:
        """Add all of a newer change set."""
        for row_class, changed in newer.rows.items():
            self.rows[row_class].update(changed)
        for locker_id, added in newer.added.items():
            self.added.setdefault(locker_id, []).extend(added)
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
        self._fetched = no_rows()
        """Rows that were read from the row store since the last checkpoint began."""

        self._older: list[RowsByClass] = []
        """Generations from before the last checkpoint began, the newest first."""

        self._expired: list[RowsByClass] = []
        """Generations that are being dropped."""

    @property
    def needs_checkpoint(self) -> bool:
        """Whether enough rows have changed for a checkpoint to be worth while."""
        return _size(self._changed.rows) > min(CHECKPOINT_ROWS, self._capacity)

    @property
    def is_full(self) -> bool:
        """Whether more changed rows wait for a checkpoint than the cache should hold."""
        return sum(_size(change_set.rows) for change_set in self._change_sets) > self._capacity

    @property
    def is_overloaded(self) -> bool:
        """Whether events should wait for the checkpoint."""
        return _size(self._changed.rows) > OVERLOAD_ROWS

    @property
    def lockers_added(self) -> set[str]:
        """Ids of the lockers that have rows which the row store may not hold yet."""
        return {locker_id for change_set in self._change_sets for locker_id in change_set.added}

    def fetch(self, events: Sequence[Event]) -> RowSet:
        """Fetch the rows that a batch needs.

        Raises:
            StoreUnavailable: the row store cannot be read.
        """
        self._drop_expired()
        keys = read_set_of(events)
        reservations = self._find(Reservation, keys.reservations, reservation_id_of)
        keys.compartments.update([(row.locker_id, row.compartment_id) for row in reservations.values()])
        compartments = self._find(Compartment, keys.compartments, compartment_id_of)
        return RowSet(compartments, reservations, self._find(Fault, keys.faults, str))

    def apply(self, rows: RowSet, events: Sequence[Event], end: Cursor) -> None:
        """Keep what was saved in `rows`. The last of `events` ends at `end`."""
        first, added = self.reached.position + 1, self._changed.added
        ids = dict(zip([event.event_id for event in events], count(first)))
        for position, event in enumerate(events, first):
            if isinstance(event, ReservationCreated):
                ids[reservation_id_of(event.payload.reservation_id)] = position
            elif isinstance(event, CompartmentRegistered):
                key = event.locker_id, event.payload.compartment_id
                ids[compartment_id_of(key)] = position
                added.setdefault(event.locker_id, []).append(rows.compartments[key])
            elif isinstance(event, FaultReported):
                added.setdefault(event.locker_id, []).append(rows.faults[event.event_id])
        self.ids.add(ids)
        self._changed.add(rows.changed, ids, end)
        self.reached = end

    def get[RowT: (Compartment, Reservation, Fault)](self, row_class: type[RowT], key: Key) -> RowT | None:
        """Return a row if it is in memory."""
        for generation in self._generations():
            if row := generation[row_class].get(key):
                return cast(RowT, row)
        return None

    def added(self, locker_id: str) -> tuple[set[str], list[Fault]]:
        """Return the locker's compartment ids and faults that the row store may not hold yet."""
        rows = [row for change_set in self._change_sets for row in change_set.added.get(locker_id, ())]
        compartment_ids = {row.compartment_id for row in rows if isinstance(row, Compartment)}
        return compartment_ids, [row for row in rows if isinstance(row, Fault)]

    def changed_rows[RowT: (Compartment, Reservation, Fault)](self, row_class: type[RowT]) -> Iterable[RowT]:
        """Return the rows that changed since the last checkpoint began: all rows, if there never was one."""
        return self._changed.rows[row_class].values()

    def begin_checkpoint(self) -> ChangeSet:
        """Return what the row store does not hold yet. One checkpoint at a time; batches may go on meanwhile."""
        if self._in_flight is not None:
            raise RuntimeError("A checkpoint is in flight, and a second one would lose its changes.")
        self._in_flight, self._changed = self._changed, ChangeSet(self.reached)
        self._older.insert(0, self._fetched)
        self._fetched = no_rows()
        return self._in_flight

    def end_checkpoint(self, *, is_written: bool) -> None:
        """End the checkpoint. If it was not written, the next one includes its changes."""
        if self._in_flight is None:
            return
        if is_written:
            self.checkpointed = self._in_flight.reached
            self._older.insert(0, self._in_flight.rows)
            self._expire()
        else:
            self._in_flight.merge(self._changed)
            self._changed = self._in_flight
        self._in_flight = None

    @property
    def _change_sets(self) -> list[ChangeSet]:
        """The change sets that the row store may not hold, newest first."""
        return [self._changed] if self._in_flight is None else [self._changed, self._in_flight]

    def _generations(self) -> list[RowsByClass]:
        return [*(change_set.rows for change_set in self._change_sets), self._fetched, *self._older]

    def _find(self, row_class: type[Row], keys: Collection[Key], index_name: Callable[[Any], str]) -> dict[Any, Any]:
        """Return the rows with these keys, from memory or from the row store.

        `index_name` gives the name of a key in the id index, which knows of most absent rows that they are absent.
        """
        found: dict[Key, Row] = {}
        for generation in self._generations():
            if not keys:
                return found
            if rows := generation[row_class]:
                found.update([(key, rows[key]) for key in keys if key in rows])
                keys = [key for key in keys if key not in found]
        if keys:
            names = {index_name(key): key for key in keys}
            candidates = self.ids.candidate_blocks(list(names))
            keys = [key for name, key in names.items() if name in candidates or name in self.ids.memtable]
        if keys:
            fetched = {row.key: row for row in self._store.fetch(row_class, keys)}
            self._fetched[row_class].update(fetched)
            found |= fetched
        return found

    def _expire(self) -> None:
        """Join small neighbouring generations, and give up the oldest ones beyond the capacity."""
        generations, total = self._older, 0
        self._older = []
        for generation in generations:
            if self._older and _size(self._older[-1]) + _size(generation) <= self._capacity / GENERATIONS:
                newer = self._older[-1]
                for row_class, rows in generation.items():
                    newer[row_class] = rows | newer[row_class]
            elif (total := total + _size(generation)) <= self._capacity:
                self._older.append(generation)
            else:
                self._expired.append(generation)

    def _drop_expired(self) -> None:
        """Drop some expired rows: dropping a whole generation at once would stall requests for milliseconds."""
        if self._expired:
            tables = [rows for rows in self._expired[-1].values() if rows]
            for rows in tables:
                for _ in range(min(len(rows), DROPPED_PER_BATCH)):
                    rows.popitem()
            if not tables:
                self._expired.pop()

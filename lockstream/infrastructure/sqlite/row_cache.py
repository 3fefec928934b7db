"""The row cache: rows that recent events touched, in memory over a row store, write-back and bounded.

Nearly all rows that an event needs are in memory, where the rules find each with one lookup. Changed rows collect in a
change set until a checkpoint writes them. While a checkpoint writes one change set, another one collects. All other
rows can be read again, so the cache drops them one generation at a time.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any, Protocol, cast

from lockstream.core.entities.events import CompartmentRegistered, Event, FaultReported, ReservationCreated
from lockstream.core.entities.log import START, Cursor, Moment
from lockstream.core.entities.state import Compartment, Fault, Key, LockerTotals, Reservation, Row
from lockstream.core.row_set import RowsByClass, RowSet, RowsNotLoaded, no_rows, read_set_of, with_absent
from lockstream.infrastructure.id_index.index import IdIndex, NewIds, compartment_id_of, reservation_id_of

CHECKPOINT_ROWS = 20_000
"""Changed rows that are worth a checkpoint. A row that changes three times until then is written once.

50,000 rows would make batches 3 % faster, and take 80 bytes more for each of a million compartments (`make bench`)."""

OVERLOAD_ROWS = 80_000
"""Changed rows, some 25 MB, beyond which events wait for the end of the checkpoint that is being written."""

SLICE_IDS = 1_000
"""Ids that are handed to a checkpoint at once, before it lets another thread take Python's lock."""


class RowStore(Protocol):
    """The storage behind a row cache."""

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        """Return the rows that exist.

        Raises:
            StoreUnavailable: the rows cannot be read.
        """


class NullRowStore:
    """A row store that is always empty. A row cache over it without checkpoints is a projection in memory."""

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        return ()


class CacheCounts:
    """Counts of the use of a row cache. A cache that replaces another one goes on with its counts."""

    __slots__ = ("batches", "missing_batches", "read_rows")

    def __init__(self) -> None:
        self.batches = 0
        self.missing_batches = 0
        """Batches that needed a row which was not in memory, and which the row store may hold."""

        self.read_rows = 0
        """Rows that were looked up in the row store."""


def _size(rows: RowsByClass) -> int:
    return sum(map(len, rows.values()))


class ChangeSet:
    """The changes between two checkpoints."""

    def __init__(self, reached: Cursor) -> None:
        self.reached = reached
        self.rows = no_rows()
        """The changed rows, each in its newest state."""

        self.added: dict[str, list[Compartment | Fault]] = {}
        """Compartments and faults that are new, by locker id."""

        self.moments: list[Moment] = []
        """The recorded times of the events of this change set."""

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

    def add(self, rows: RowsByClass, ids: Mapping[str, int], moments: Iterable[Moment], reached: Cursor) -> None:
        """Add the changes of one batch."""
        for row_class, changed in rows.items():
            self.rows[row_class].update(changed)
        self._ids.append(ids)
        self.moments += moments
        self.reached = reached

    def merge(self, newer: "ChangeSet") -> None:
        """Add all of a newer change set."""
        for row_class, changed in newer.rows.items():
            self.rows[row_class].update(changed)
        for locker_id, added in newer.added.items():
            self.added.setdefault(locker_id, []).extend(added)
        self._ids += newer._ids
        self.moments += newer.moments
        self.reached = newer.reached


class RowCache:
    """The rows of a projection as of `reached`. For one thread."""

    def __init__(
        self,
        store: RowStore,
        reached: Cursor = START,
        capacity: float = float("inf"),
        ids: IdIndex | None = None,
        counts: CacheCounts | None = None,
    ) -> None:
        """`capacity` bounds the rows in memory, apart from changed rows that wait for a checkpoint.

        `ids` holds the ids used up to `reached`. The use of the cache is added to `counts`.
        """
        self.counts = counts or CacheCounts()
        self.reached = self.checkpointed = reached
        self.ids = ids or IdIndex()
        self._store = store
        self._capacity = capacity
        self._changed = ChangeSet(reached)
        self._in_flight: ChangeSet | None = None
        self._young = self._new_generation()
        self._old, self._expired = no_rows(), no_rows()

    @property
    def needs_checkpoint(self) -> bool:
        """Whether enough rows have changed for a checkpoint to be due."""
        return _size(self._changed.rows) > min(CHECKPOINT_ROWS, self._capacity)

    @property
    def is_full(self) -> bool:
        """Whether more changed rows wait for a checkpoint than the cache should hold."""
        return self.changed_count > self._capacity

    @property
    def is_overloaded(self) -> bool:
        """Whether events should wait for the checkpoint."""
        return _size(self._changed.rows) > OVERLOAD_ROWS

    @property
    def rows(self) -> int:
        """Number of rows in memory, without those that are about to be dropped."""
        return sum(map(_size, (self._young, self._old)))

    @property
    def changed_count(self) -> int:
        """Number of changed rows that wait for a checkpoint, or for the end of one."""
        return sum(_size(change_set.rows) for change_set in self._change_sets)

    @property
    def lockers_added(self) -> set[str]:
        """Ids of the lockers that have rows which the row store may not hold yet."""
        return {locker_id for change_set in self._change_sets for locker_id in change_set.added}

    @property
    def changed_moments(self) -> Sequence[Moment]:
        """The recorded times of the events since the last checkpoint began: of all events, if there never was one."""
        return self._changed.moments

    def begin(self) -> RowSet:
        """Return a row set for one batch, which raises RowsNotLoaded for a row that is not in memory.

        Rows that are saved in the row set are in the cache at once. The batch ends with `apply` or `discard`.
        """
        self._age()
        self.counts.batches += 1
        return RowSet(*self._young.values())

    def load(self, events: Sequence[Event]) -> None:
        """Load all rows that `events` need into memory.

        Raises:
            StoreUnavailable: the row store cannot be read.
        """
        keys, reservations, before = read_set_of(events), self._young[Reservation], self.counts.read_rows
        self._load(Reservation, keys.reservations, reservation_id_of)
        found = [row for key in keys.reservations if (row := reservations[key])]
        keys.compartments.update([(row.locker_id, row.compartment_id) for row in found])
        self._load(Compartment, keys.compartments, compartment_id_of)
        self._load(Fault, keys.faults, str)
        self._load(LockerTotals, keys.lockers)
        self.counts.missing_batches += self.counts.read_rows > before

    def fetch(self, events: Sequence[Event]) -> RowSet:
        """Return a row set with all rows that `events` need. Raises StoreUnavailable if they cannot be read."""
        rows = self.begin()
        self.load(events)
        return rows

    def expect_new(self, row_class: type[Row], key: Key) -> None:
        """Note that no row has this key, because the id index does not know it."""
        self._young[row_class].setdefault(key, None)

    def apply(self, rows: RowSet, events: Sequence[Event], moments: Sequence[Moment], end: Cursor) -> None:
        """Keep the rows saved in `rows`. The last of `events`, which have these recorded times, ends at `end`."""
        first, added = self.reached.position + 1, self._changed.added
        ids = dict(zip([event.event_id for event in events], count(first)))
        for position, event in enumerate(events, first):
            if isinstance(event, ReservationCreated):
                ids[reservation_id_of(event.payload.reservation_id)] = position
            elif isinstance(event, CompartmentRegistered):
                key = event.locker_id, event.payload.compartment_id
                ids[compartment_id_of(key)] = position
                added.setdefault(event.locker_id, []).append(rows.changed[Compartment][key])
            elif isinstance(event, FaultReported):
                added.setdefault(event.locker_id, []).append(rows.changed[Fault][event.event_id])
        self.ids.add(ids)
        self._changed.add(rows.changed, ids, moments, end)
        self.reached = end

    def discard(self, rows: RowSet) -> None:
        """Drop the rows saved in `rows`. Change sets and row store still hold these rows as they were before."""
        for row_class, changed in rows.changed.items():
            for key in changed:
                self._young[row_class].pop(key, None)
                self._old[row_class].pop(key, None)

    def get[RowT: (Compartment, Reservation, Fault, LockerTotals)](
        self, row_class: type[RowT], key: Key
    ) -> RowT | None:
        """Return a row if it is in memory. The row stays in its generation, so reads take no memory."""
        for rows in (self._young, *self._older()):
            if row := rows[row_class].get(key):
                return cast(RowT, row)
        return None

    def added(self, locker_id: str) -> tuple[set[str], list[Fault]]:
        """Return the locker's compartment ids and faults that the row store may not hold yet."""
        rows = [row for change_set in self._change_sets for row in change_set.added.get(locker_id, ())]
        compartment_ids = {row.compartment_id for row in rows if isinstance(row, Compartment)}
        return compartment_ids, [row for row in rows if isinstance(row, Fault)]

    def time_at(self, position: int) -> int | None:
        """Return the recorded time at a position, or None if the row store holds it."""
        for change_set in self._change_sets:
            if change_set.moments and position >= change_set.moments[0].position:
                return change_set.moments[bisect_right(change_set.moments, position, key=itemgetter(0)) - 1].time
        return None

    def has_changed(self, row_class: type[Row], key: Key) -> bool:
        """Return whether the row store may hold an older state of a row than the cache, or lack the row."""
        return any(key in change_set.rows[row_class] for change_set in self._change_sets)

    def changed_rows[RowT: (Compartment, Reservation, Fault, LockerTotals)](
        self, row_class: type[RowT]
    ) -> Iterable[RowT]:
        """Return the rows that changed since the last checkpoint began: all rows, if there never was one."""
        return self._changed.rows[row_class].values()

    def begin_checkpoint(self) -> ChangeSet:
        """Return the change set that the row store lacks. One checkpoint at a time; batches may go on meanwhile."""
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
        """The change sets that the row store may not hold, newest first."""
        return [self._changed] if self._in_flight is None else [self._changed, self._in_flight]

    def _load(self, row_class: type[Row], keys: Iterable[Key], index_name: Callable[[Any], str] | None = None) -> None:
        """Bring the rows with these keys into the young generation, and None for keys that no row has.

        `index_name` gives the name of a key in the id index. Keys that the index rules out are not looked up in the
        row store.
        """
        young = self._young[row_class]
        missing = [key for key in keys if key not in young and not self._bring(row_class, key)]
        if not missing:
            return
        possible = missing
        if index_name:
            names = {index_name(key): key for key in missing}
            candidates = self.ids.candidate_blocks(list(names))
            possible = [key for name, key in names.items() if name in candidates or name in self.ids.memtable]
        self.counts.read_rows += len(possible)
        found = self._store.fetch(row_class, possible) if possible else ()
        young.update(with_absent(missing, found))

    def _bring(self, row_class: type[Row], key: Key) -> bool:
        """Bring a row that is in memory into the young generation. Return whether it is in memory."""
        for rows in self._older():
            if key in rows[row_class]:
                self._young[row_class][key] = rows[row_class][key]
                return True
        return False

    def _older(self) -> list[RowsByClass]:
        """Return all rows in memory that the young generation may lack, the newest first."""
        return [*(change_set.rows for change_set in self._change_sets), self._old]

    def _new_generation(self) -> RowsByClass:
        return {row_class: _Generation(partial(self._bring, row_class)) for row_class in no_rows()}

    def _age(self) -> None:
        """Start a new generation if the young one is full, and drop as many expired rows as the young one has gained.

        Dropping a whole generation at once would stall requests. This happens before every batch, because refused
        events and duplicates load rows, too.
        """
        generation = self._capacity / 2
        if _size(self._young) > generation:
            self._young, self._old, self._expired = self._new_generation(), self._young, self._old
        excess = _size(self._young) + _size(self._expired) - generation
        for rows in self._expired.values():
            while rows and excess > 0:
                rows.popitem()
                excess -= 1


class _Generation(dict[Any, Any]):
    """Rows of one class by key, and None for keys that no row has. A lookup also brings older rows in memory here."""

    def __init__(self, bring: Callable[[Any], bool]) -> None:
        super().__init__()
        self._bring = bring

    def __missing__(self, key: Any) -> Any:
        if self._bring(key):
            return self[key]
        raise RowsNotLoaded(key)

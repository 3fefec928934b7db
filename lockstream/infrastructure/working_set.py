"""The rows that recent events touched, in memory and bounded: loads what is missing, hands on what has changed.

Over `Nothing` it is a projection of its own: that is the memory store.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row, Slice
from lockstream.core.keys import Keys
from lockstream.infrastructure.known_keys import KnownKeys, Recent

SETTLE_ROWS = 5_000
"""So many changed rows share a transaction well, and a read need not wait long for them: some 20 ms."""

BEHIND_ROWS = 50_000
"""Where settling is slower than events come in, they have to wait for it from here on."""

EVICTED_SHARE = 16
"""One row in so many is let go of at a time: often enough to stay near capacity, too few to hold up a request."""

RESERVATION = "reservation/{}".format
"""How the id of a reservation stands among the known keys. No id of an event holds a `/`."""


class Changes(Struct, frozen=True):
    """What a backing does not hold yet."""

    rows: dict[type[Row], list[Row]]
    recent: Recent
    reached: Cursor
    """How far along the log all of this brings it."""


class Backing(Protocol):
    """Where rows are kept for good."""

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        """Those of the rows that are there.

        Raises:
            StoreUnavailable: they cannot be read.
        """

    def write(self, changes: Changes) -> None:
        """Keep all of `changes`, or nothing. It may be called on another thread than `fetch`, at the same time.

        Raises:
            StoreUnavailable: nothing is kept.
        """


class Nothing:
    """A backing that holds nothing: what is not in memory is nowhere."""

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        return ()

    def write(self, changes: Changes) -> None:
        return


class _Shelf:
    """The rows of one kind; None where it is known that there is none."""

    def __init__(self) -> None:
        self.rows: dict[Key, Any] = {}
        self.changed: set[Key] = set()
        self.handed_on: set[Key] = set()

    def put(self, key: Key, row: Row, undo: "list[tuple[_Shelf, Key, Row | None]]") -> None:
        undo.append((self, key, self.rows.get(key)))
        self.rows[key] = row

    def evict(self) -> None:
        """Let go of some of what came first; not of what the backing does not hold yet."""
        kept = self.changed | self.handed_on
        for key in list(islice(self.rows, len(self.rows) // EVICTED_SHARE + 1)):
            if key not in kept:
                del self.rows[key]


class WorkingSet:
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
        self.reached = self.settled = reached
        self.known = known or KnownKeys()
        self._backing = backing
        self._capacity = capacity
        self._compartments, self._reservations, self._faults = _Shelf(), _Shelf(), _Shelf()
        self._shelves: dict[type[Row], _Shelf] = {
            Compartment: self._compartments,
            Reservation: self._reservations,
            Fault: self._faults,
        }
        self._places: dict[str, list[int]] = {}
        self._undo: list[tuple[_Shelf, Key, Row | None]] = []
        self._given: list[str] = []
        self._unkept: list[str] = []

    @property
    def changed(self) -> int:
        """How many rows wait to be handed on."""
        return sum(len(shelf.changed) for shelf in self._shelves.values())

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
        reservations, compartments, faults = self._reservations.rows, self._compartments.rows, self._faults.rows
        new = {key.reservation for key in wanted if key.reservation is not None and key.reservation not in reservations}
        named = {reservation: RESERVATION(reservation) for reservation in new}
        self._places = self.known.places([*[event.event_id for event in events], *named.values()])
        maybe = [one for one, key in named.items() if key in self._places or self.known.get(key) is not None]
        self._fetch(Reservation, maybe)
        reservations.update(dict.fromkeys(new.difference(maybe)))
        self._fetch(Fault, {key.fault for key in wanted if key.fault is not None and key.fault not in faults})
        places = [key.compartment or _where(reservations, key.reservation) for key in wanted]
        self._fetch(Compartment, {place for place in places if place is not None and place not in compartments})

    def recorded(self, event_id: str) -> int | None:
        """Where an accepted event of this id stands in the log, where that is recent."""
        return self.known.get(event_id)

    def places(self, event_id: str) -> Sequence[int]:
        """Where in the log to look for an event of this id otherwise: the first positions of blocks."""
        return self._places.get(event_id, ())

    def load(self, keys: Keys) -> Slice:
        reservation = None if keys.reservation is None else self._reservations.rows[keys.reservation]
        where = keys.compartment
        if where is None and reservation is not None:
            where = reservation.where
        return Slice(
            None if where is None else self._compartments.rows[where],
            reservation,
            None if keys.fault is None else self._faults.rows[keys.fault],
        )

    def save(self, before: Slice, after: Slice) -> None:
        compartment, reservation, fault = after.compartment, after.reservation, after.fault
        if compartment is not None and compartment is not before.compartment:
            self._compartments.put(compartment.key, compartment, self._undo)
        if reservation is not None and reservation is not before.reservation:
            self._reservations.put(reservation.reservation_id, reservation, self._undo)
            if before.reservation is None:
                self._give(RESERVATION(reservation.reservation_id), self.reached.position + 1)
        if fault is not None and fault is not before.fault:
            self._faults.put(fault.fault_id, fault, self._undo)

    def record(self, event_id: str, position: int) -> None:
        self._give(event_id, position)

    def advance(self, to: Cursor) -> None:
        """Keep what was saved: it can't be undone any more."""
        for shelf, key, _ in self._undo:
            shelf.changed.add(key)
        self._undo.clear()
        self._unkept += self._given
        self._given.clear()
        self.reached = to

    def undo(self) -> None:
        """Forget what was saved since the last `advance`."""
        for shelf, key, row in reversed(self._undo):
            shelf.rows[key] = row
        self._undo.clear()
        for key in self._given:
            self.known.forget(key)
        self._given.clear()

    def collect(self) -> Changes:
        """What the backing does not hold yet, sorted by key."""
        rows: dict[type[Row], list[Row]] = {}
        for kind, shelf in self._shelves.items():
            rows[kind] = [row for key in sorted(shelf.changed) if (row := shelf.rows[key]) is not None]
            shelf.handed_on, shelf.changed = shelf.changed, set()
        given = {key: position for key in self._unkept if (position := self.known.get(key)) is not None}
        self._unkept = []
        return Changes(rows, Recent([*given], [*given.values()]), self.reached)

    def confirm(self, changes: Changes) -> None:
        """The backing holds what was collected. Over capacity, some rows are let go of."""
        self.settled = changes.reached
        for shelf in self._shelves.values():
            shelf.handed_on = set()
        if self.crowded:
            for shelf in self._shelves.values():
                shelf.evict()

    def restore(self, changes: Changes) -> None:
        """The backing took nothing of what was collected: it is collected again the next time."""
        for shelf in self._shelves.values():
            shelf.changed |= shelf.handed_on
            shelf.handed_on = set()
        self._unkept = changes.recent.keys + self._unkept

    def every[RowT: Row](self, kind: type[RowT]) -> Iterable[RowT]:
        """Each row of a kind that is in memory."""
        return (row for row in self._shelves[kind].rows.values() if row is not None)

    def get[RowT: Row](self, kind: type[RowT], key: Key) -> RowT | None:
        """One row, where it is in memory."""
        row: RowT | None = self._shelves[kind].rows.get(key)
        return row

    def _give(self, key: str, position: int) -> None:
        self.known.add(key, position)
        self._given.append(key)

    def _fetch(self, kind: type[Row], missing: Collection[Key]) -> None:
        if not missing:
            return
        found = {row.key: row for row in self._backing.fetch(kind, missing)}
        # Only now: what could not be read is not absent.
        self._shelves[kind].rows.update({key: found.get(key) for key in missing})


class Settling:
    """Changes on their way from a working set to a backing."""

    def __init__(self, rows: WorkingSet, backing: Backing) -> None:
        self._rows, self._backing = rows, backing
        self._needed = rows.reached != rows.settled
        self._changes = rows.collect()

    @property
    def reached(self) -> Cursor:
        return self._changes.reached

    def write(self) -> None:
        if self._needed:
            self._backing.write(self._changes)

    def confirm(self) -> None:
        self._rows.confirm(self._changes)

    def restore(self) -> None:
        self._rows.restore(self._changes)


def settle(rows: WorkingSet, backing: Backing) -> None:
    """Hand to `backing` what it does not hold yet, in one go.

    Raises:
        StoreUnavailable: it took nothing; all is kept in `rows`.
    """
    settling = Settling(rows, backing)
    try:
        settling.write()
    except BaseException:
        settling.restore()
        raise
    settling.confirm()


def _where(reservations: dict[Key, Any], reservation_id: str | None) -> tuple[str, str] | None:
    """The compartment that an event means by its reservation."""
    row: Reservation | None = reservations[reservation_id or ""]
    return None if row is None else row.where

"""Rows in memory by key, as events see and change them; what was saved can be undone."""

from collections.abc import Collection, Iterable
from typing import Any

from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row, Slice
from lockstream.core.keys import Keys


class Shelf:
    """The rows of one kind; None where it is known that there is none."""

    def __init__(self) -> None:
        self.rows: dict[Key, Any] = {}
        self.changed: set[Key] = set()


class HeldRows[ShelfT: Shelf]:
    """Rows that somebody has put on shelves. Not for two threads at a time."""

    def __init__(self, shelf: type[ShelfT]) -> None:
        self._shelves: dict[type, ShelfT] = {kind: shelf() for kind in (Compartment, Reservation, Fault)}
        self._compartments = self._shelves[Compartment].rows
        self._reservations = self._shelves[Reservation].rows
        self._faults = self._shelves[Fault].rows
        self._undo: list[tuple[ShelfT, Key, Row | None]] = []
        self._new: list[Row] = []

    @property
    def changed(self) -> int:
        """How many rows wait to be handed on."""
        return sum(len(shelf.changed) for shelf in self._shelves.values())

    def hold(self, kind: type[Row], keys: Collection[Key], found: Iterable[Row]) -> None:
        """Put on the shelf what was `found` of `keys`: what was not is known to be absent."""
        rows = self._shelves[kind].rows
        rows.update(dict.fromkeys(keys))
        rows.update({row.key: row for row in found})

    def load(self, keys: Keys) -> Slice:
        """What is on the shelves; all that `keys` name must have been looked for."""
        where, reservation = keys.compartment, None
        if keys.reservation is not None:
            reservation = self._reservations[keys.reservation]
            if where is None and reservation is not None:
                where = reservation.locker_id, reservation.compartment_id
        return Slice(
            None if where is None else self._compartments[where],
            reservation,
            None if keys.fault is None else self._faults[keys.fault],
        )

    def save(self, before: Slice, after: Slice) -> None:
        if (compartment := after.compartment) is not before.compartment and compartment is not None:
            self._put(Compartment, (compartment.locker_id, compartment.compartment_id), compartment, before.compartment)
        if (reservation := after.reservation) is not before.reservation and reservation is not None:
            self._put(Reservation, reservation.reservation_id, reservation, before.reservation)
        if (fault := after.fault) is not before.fault and fault is not None:
            self._put(Fault, fault.fault_id, fault, before.fault)

    def changed_rows[RowT: Row](self, kind: type[RowT]) -> list[RowT]:
        """The rows of a kind that wait to be handed on."""
        shelf = self._shelves[kind]
        return [row for key in shelf.changed if (row := shelf.rows.get(key)) is not None]

    def undo(self) -> None:
        """Forget what was saved since the last one who kept it."""
        for shelf, key, row in reversed(self._undo):
            shelf.rows[key] = row
        self._undo.clear()
        self._new.clear()

    def every[RowT: Row](self, kind: type[RowT]) -> Iterable[RowT]:
        """Each row of a kind that is in memory."""
        return (row for row in self._shelves[kind].rows.values() if row is not None)

    def get[RowT: Row](self, kind: type[RowT], key: Key) -> RowT | None:
        """One row, where it is in memory."""
        row: RowT | None = self._shelves[kind].rows.get(key)
        return row

    def _put(self, kind: type[Row], key: Key, row: Row, before: Row | None) -> None:
        shelf = self._shelves[kind]
        self._undo.append((shelf, key, before))
        shelf.rows[key] = row
        shelf.changed.add(key)
        if before is None:
            self._new.append(row)

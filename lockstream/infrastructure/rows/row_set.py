"""The row set: all rows that one batch of events reads and changes, in memory."""

from collections.abc import Iterable
from typing import Any

from lockstream.core.entities.state import Compartment, CompartmentKey, Fault, Key, Reservation, Row, Slice
from lockstream.core.read_set import ReadSet

type RowsByKey = dict[Key, Any]


class ChangedRows:
    """Rows by class and key, each in its newest state."""

    def __init__(self) -> None:
        self.by_class: dict[type[Row], RowsByKey] = {Compartment: {}, Reservation: {}, Fault: {}}

    def __len__(self) -> int:
        return sum(map(len, self.by_class.values()))

    def update(self, newer: "ChangedRows") -> None:
        """Take over rows that were changed later."""
        for row_class, rows in newer.by_class.items():
            self.by_class[row_class].update(rows)


class RowSet:
    """Rows that were fetched for one batch. Discarding the row set discards all that was saved in it."""

    def __init__(
        self,
        compartments: dict[CompartmentKey, Compartment | None],
        reservations: dict[str, Reservation | None],
        faults: dict[str, Fault | None],
    ) -> None:
        """Each key of the batch's read sets must be present; None means that there is no such row."""
        self._compartments = compartments
        self._reservations = reservations
        self._faults = faults
        self.changed = ChangedRows()
        self.added: list[Row] = []
        """Rows that did not exist before the batch."""

    def load(self, read_set: ReadSet) -> Slice:
        """Return the rows of `read_set`, with all that the batch has saved so far."""
        compartment_key, reservation = read_set.compartment, None
        if read_set.reservation is not None:
            reservation = self._reservations[read_set.reservation]
            if compartment_key is None and reservation is not None:
                compartment_key = reservation.locker_id, reservation.compartment_id
        return Slice(
            None if compartment_key is None else self._compartments[compartment_key],
            reservation,
            None if read_set.fault is None else self._faults[read_set.fault],
        )

    def save(self, before: Slice, after: Slice) -> None:
        """Replace the rows of `before` by those of `after`."""
        changed = self.changed.by_class
        if (compartment := after.compartment) is not before.compartment and compartment is not None:
            key = compartment.locker_id, compartment.compartment_id
            self._compartments[key] = changed[Compartment][key] = compartment
            if before.compartment is None:
                self.added.append(compartment)
        if (reservation := after.reservation) is not before.reservation and reservation is not None:
            self._reservations[reservation.reservation_id] = reservation
            changed[Reservation][reservation.reservation_id] = reservation
            if before.reservation is None:
                self.added.append(reservation)
        if (fault := after.fault) is not before.fault and fault is not None:
            self._faults[fault.fault_id] = changed[Fault][fault.fault_id] = fault
            if before.fault is None:
                self.added.append(fault)


def by_key(keys: Iterable[Key], found: Iterable[Row]) -> dict[Any, Any]:
    """Return the `found` rows by key, and None for each of `keys` that has no row."""
    rows: dict[Any, Any] = dict.fromkeys(keys)
    rows.update((row.key, row) for row in found)
    return rows

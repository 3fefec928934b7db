"""Reads of one subject for a caller that is bound to lockers: a subject of another locker is absent."""

from collections.abc import Iterable, Iterator

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.log import Record
from lockstream.core.entities.state import Compartment, Locker, LockerState, Reservation
from lockstream.core.ports import Reads


class BoundReads:
    """Implements `ports.Reads` by filtering the reads of a store. Errors of the store are raised."""

    def __init__(self, reads: Reads, lockers: Lockers) -> None:
        """`lockers` are the lockers that the caller may see."""
        self._reads, self._lockers = reads, lockers

    def locker(self, locker_id: str) -> Locker | None:
        return self._reads.locker(locker_id) if self._lockers.allow(locker_id) else None

    def locker_state(self, locker_id: str) -> LockerState | None:
        return self._reads.locker_state(locker_id) if self._lockers.allow(locker_id) else None

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return self._reads.compartment(locker_id, compartment_id) if self._lockers.allow(locker_id) else None

    def reservation(self, reservation_id: str) -> Reservation | None:
        row = self._reads.reservation(reservation_id)
        return row if row and self._lockers.allow(row.locker_id) else None

    def lockers(self) -> Iterator[Locker]:
        return (locker for locker in self._reads.lockers() if self._lockers.allow(locker.locker_id))

    def event(self, event_id: str) -> Record | None:
        record = self._reads.event(event_id)
        return record if record and self._lockers.allow(record.locker_id) else None

    def records(self, positions: Iterable[int]) -> list[Record]:
        return own_records(self._reads.records(positions), self._lockers)

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        return self._reads.times(positions)


def own_records(records: list[Record], lockers: Lockers) -> list[Record]:
    """Return `records` after a check that all of them are of these lockers.

    Raises:
        LookupError: a record is of another locker. Positions come from rows of the caller's lockers, so this is a bug.
    """
    for record in records:
        if not lockers.allow(record.locker_id):
            raise LookupError(
                f"The record at position {record.end.position} is of a locker that the caller cannot see."
            )
    return records

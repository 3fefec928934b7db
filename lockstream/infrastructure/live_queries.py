"""Reads of all that is in the log, settled or not: the projection's rows, and those in memory over them.

A row in memory is the newest there is, so nothing need be settled for a read, and no thread be woken. While 32 clients
post, that is the difference between some milliseconds and half a second: a thread has to wait for Python's lock at
each of its steps.
"""

from collections.abc import Iterator

from lockstream.core.entities.state import Compartment, CompartmentView, Fault, Locker, Reservation
from lockstream.infrastructure.queries import SqlQueries
from lockstream.infrastructure.working_set import WorkingSet


class LiveQueries:
    """For the thread that uses the working set. A locker takes it some 0.1 ms, and 6 µs for each compartment."""

    def __init__(self, rows: WorkingSet, settled: SqlQueries) -> None:
        self._rows = rows
        self._settled = settled

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return self._rows.get(Compartment, (locker_id, compartment_id)) or self._settled.compartment(
            locker_id, compartment_id
        )

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._rows.get(Reservation, reservation_id) or self._settled.reservation(reservation_id)

    def locker(self, locker_id: str) -> Locker | None:
        settled = self._settled.locker(locker_id)
        views = {view.compartment_id: view for view in settled.compartments} if settled else {}
        new_compartments, new_faults = self._rows.added(locker_id)
        ids = sorted(views.keys() | new_compartments)
        if not ids:
            return None
        return Locker(
            locker_id,
            tuple(self._view(locker_id, one, views.get(one), new_faults) for one in ids),
        )

    def lockers(self) -> Iterator[Locker]:
        """Each locker, by id in code point order."""
        ids = {locker.locker_id for locker in self._settled.lockers()} | self._rows.lockers_added
        return (locker for one in sorted(ids) if (locker := self.locker(one)))

    def _view(
        self, locker_id: str, compartment_id: str, settled: CompartmentView | None, new_faults: list[Fault]
    ) -> CompartmentView:
        """A compartment as it is now, of which `settled` is what the projection shows."""
        row = self._rows.get(Compartment, (locker_id, compartment_id))
        active = row.active_reservation if row else settled.active_reservation if settled else None
        reservation = self._rows.get(Reservation, active) if active else None
        status = reservation.status if reservation else settled.reservation_status if settled and active else None
        faults = dict(settled.open_faults) if settled else {}
        faults |= {fault.fault_id: fault.severity for fault in new_faults if fault.compartment_id == compartment_id}
        open_faults = sorted(fault for fault in faults.items() if not self._cleared(fault[0]))
        return CompartmentView(
            compartment_id,
            degraded=row.degraded if row else settled is not None and settled.degraded,
            active_reservation=active,
            reservation_status=status,
            open_faults=tuple(open_faults),
        )

    def _cleared(self, fault_id: str) -> bool:
        fault = self._rows.get(Fault, fault_id)
        return fault is not None and fault.cleared

"""Overlay reads: the projection's rows, and over them the newer rows in the row cache.

A row in memory is always the newest, so no read waits for a checkpoint, and no thread is woken. While 32 clients post,
that is the difference between a few milliseconds and half a second: a thread waits for Python's lock at each of its
steps (docs/decisions/0013).
"""

from collections.abc import Iterator

from lockstream.core.entities.state import Compartment, CompartmentView, Fault, Locker, Reservation
from lockstream.infrastructure.rows.reads import SqlReads
from lockstream.infrastructure.sqlite.row_cache import RowCache


class OverlayReads:
    """Reads for the thread that uses the row cache. One of a locker takes 0.1 ms, and 6 µs more per compartment."""

    def __init__(self, cache: RowCache, projection: SqlReads) -> None:
        self._cache = cache
        self._projection = projection

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return self._cache.get(Compartment, (locker_id, compartment_id)) or self._projection.compartment(
            locker_id, compartment_id
        )

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._cache.get(Reservation, reservation_id) or self._projection.reservation(reservation_id)

    def locker(self, locker_id: str) -> Locker | None:
        stored = self._projection.locker(locker_id)
        views = {view.compartment_id: view for view in stored.compartments} if stored else {}
        new_compartments, new_faults = self._cache.added(locker_id)
        compartment_ids = sorted(views.keys() | new_compartments)
        if not compartment_ids:
            return None
        return Locker(
            locker_id, tuple(self._view(locker_id, one, views.get(one), new_faults) for one in compartment_ids)
        )

    def lockers(self) -> Iterator[Locker]:
        locker_ids = {locker.locker_id for locker in self._projection.lockers()} | self._cache.lockers_added
        return (locker for locker_id in sorted(locker_ids) if (locker := self.locker(locker_id)))

    def _view(
        self, locker_id: str, compartment_id: str, stored: CompartmentView | None, new_faults: list[Fault]
    ) -> CompartmentView:
        """Return the present view of a compartment. `stored` is its view in the projection."""
        row = self._cache.get(Compartment, (locker_id, compartment_id))
        active = row.active_reservation if row else stored.active_reservation if stored else None
        reservation = self._cache.get(Reservation, active) if active else None
        status = reservation.status if reservation else stored.reservation_status if stored and active else None
        faults = dict(stored.open_faults) if stored else {}
        faults |= {fault.fault_id: fault.severity for fault in new_faults if fault.compartment_id == compartment_id}
        return CompartmentView(
            compartment_id,
            degraded=row.degraded if row else stored is not None and stored.degraded,
            active_reservation=active,
            reservation_status=status,
            open_faults=tuple(sorted(fault for fault in faults.items() if not self._is_cleared(fault[0]))),
        )

    def _is_cleared(self, fault_id: str) -> bool:
        fault = self._cache.get(Fault, fault_id)
        return fault is not None and fault.cleared

"""The store in memory: the same unit of work over lists and dicts. For tests, and to check another store against."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.entities.state import Compartment, CompartmentView, Fault, Locker, Reservation
from lockstream.infrastructure.line_codec import decode_line, encode_line
from lockstream.infrastructure.unit_of_work import UnitOfWork
from lockstream.infrastructure.working_set import Nothing, WorkingSet


class MemoryLog:
    """A log whose lines are in a list, as they would be in a file."""

    def __init__(self) -> None:
        self.end = START
        self._lines: list[bytes] = []

    def require_writable(self) -> None:
        return

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            line, self.end = encode_line(event, datetime.now(UTC).isoformat(), self.end)
            self._lines.append(line)

    def read(self, after: Cursor) -> Iterator[Record]:
        for line in self._lines[after.position : self.end.position]:
            record = decode_line(line, after)
            after = record.end
            yield record


class MemoryQueries:
    """Reads of a working set that holds everything."""

    def __init__(self, rows: WorkingSet) -> None:
        self._rows = rows

    def locker(self, locker_id: str) -> Locker | None:
        return next((locker for locker in self.lockers() if locker.locker_id == locker_id), None)

    def lockers(self) -> Iterator[Locker]:
        open_faults: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for fault in sorted(self._rows.every(Fault), key=attrgetter("key")):
            if not fault.cleared:
                open_faults.setdefault(fault.where, []).append((fault.fault_id, fault.severity))
        compartments = sorted(self._rows.every(Compartment), key=attrgetter("key"))
        for locker_id, of_locker in groupby(compartments, attrgetter("locker_id")):
            yield Locker(locker_id, tuple(self._view(row, tuple(open_faults.get(row.key, ()))) for row in of_locker))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        wanted = locker_id, compartment_id
        return next((row for row in self._rows.every(Compartment) if row.key == wanted), None)

    def reservation(self, reservation_id: str) -> Reservation | None:
        return next((row for row in self._rows.every(Reservation) if row.key == reservation_id), None)

    def _view(self, row: Compartment, open_faults: tuple[tuple[str, int], ...]) -> CompartmentView:
        active = row.active_reservation
        reservation = None if active is None else self._rows.get(Reservation, active)
        return CompartmentView(
            row.compartment_id,
            degraded=row.degraded,
            active_reservation=active,
            reservation_status=None if reservation is None else reservation.status,
            open_faults=open_faults,
        )


class MemoryStore:
    """A locker network that is gone with the process."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.rows = WorkingSet(Nothing())
        self.queries = MemoryQueries(self.rows)
        self.due = self.crowded = False

    def unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self.rows)

    def settle(self) -> None:
        self.rows.settle()

    def close(self) -> None:
        return

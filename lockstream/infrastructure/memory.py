"""The store in memory: the same unit of work over lists and dicts. For tests, and to check another store against."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.entities.state import Compartment, CompartmentView, Fault, Locker, Reservation
from lockstream.core.repositories import Queries, Seen
from lockstream.infrastructure.backing import Nothing
from lockstream.infrastructure.line_codec import decode_lines, encode_lines, id_of, stamp
from lockstream.infrastructure.settling import Settling, settle
from lockstream.infrastructure.unit_of_work import UnitOfWork
from lockstream.infrastructure.working_set import WorkingSet


class MemoryLog:
    """A log whose lines are in a list, as they would be in a file."""

    def __init__(self) -> None:
        self.end = self.durable = START
        self.failure = self.obstacle = ""
        self._lines: list[bytes] = []

    def append(self, events: Sequence[Event]) -> None:
        lines, self.end = encode_lines(events, stamp(), self.end)
        self._lines += lines.splitlines(keepends=True)

    def flush(self) -> None:
        self.durable = self.end

    def flush_aside(self, ended: Callable[[], object]) -> None:
        self.flush()
        asyncio.get_running_loop().call_soon(ended)

    def ids(self, first: int, count: int) -> Mapping[str, int]:
        lines = self._lines[first - 1 : first - 1 + count]
        return {id_of(line): position for position, line in enumerate(lines, first)}

    def read(self, after: Cursor) -> Iterator[Record]:
        if lines := self._lines[after.position : self.durable.position]:
            yield from decode_lines(lines, after)


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
        self.due = self.crowded = self.behind = False
        self.remote_readers = 0

    def look[FoundT](self, query: Callable[[Queries], FoundT]) -> Seen[FoundT]:
        return Seen(query(self.queries), self.log.end.position)

    def unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self.rows)

    def begin_settling(self) -> Settling:
        return Settling(self.rows, Nothing())

    def settle(self) -> None:
        self.log.flush()
        settle(self.rows, Nothing())

    def fall_back(self) -> None:
        return

    def close(self) -> None:
        return

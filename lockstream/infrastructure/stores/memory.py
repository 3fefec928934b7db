"""The store in memory: the same unit of work over lists and dicts. For tests, and to verify another store against."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.entities.state import Compartment, CompartmentView, Fault, Locker, Reservation
from lockstream.infrastructure.codec.log_line import decode_lines, encode_lines, event_id_of, utc_now
from lockstream.infrastructure.sqlite.row_cache import NullRowStore, RowCache
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork


class MemoryLog:
    """A log whose lines are in a list."""

    failure = unavailable_reason = None

    def __init__(self) -> None:
        self.end = self.durable = START
        self._lines: list[bytes] = []

    def check_writable(self) -> None:
        return

    def append(self, events: Sequence[Event]) -> None:
        lines, self.end = encode_lines(events, utc_now(), self.end)
        self._lines += lines

    def flush(self) -> None:
        self.durable = self.end

    def begin_flush(self, on_flushed: Callable[[], object]) -> None:
        self.flush()
        asyncio.get_running_loop().call_soon(on_flushed)

    def event_ids(self, first: int, count: int) -> Mapping[str, int]:
        lines = self._lines[first - 1 : first - 1 + count]
        return {event_id_of(line): position for position, line in enumerate(lines, first)}

    def read(self, after: Cursor) -> Iterator[Record]:
        if lines := self._lines[after.position : self.durable.position]:
            yield from decode_lines(lines, after)


class MemoryReads:
    """Reads of a row cache that was never checkpointed, and so holds everything."""

    def __init__(self, cache: RowCache) -> None:
        self._cache = cache

    def locker(self, locker_id: str) -> Locker | None:
        return next((locker for locker in self.lockers() if locker.locker_id == locker_id), None)

    def lockers(self) -> Iterator[Locker]:
        open_faults: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for fault in sorted(self._cache.changed_rows(Fault), key=attrgetter("fault_id")):
            if not fault.cleared:
                open_faults.setdefault(fault.compartment_key, []).append((fault.fault_id, fault.severity))
        compartments = sorted(self._cache.changed_rows(Compartment), key=attrgetter("key"))
        for locker_id, of_locker in groupby(compartments, attrgetter("locker_id")):
            yield Locker(locker_id, tuple(self._view(row, tuple(open_faults.get(row.key, ()))) for row in of_locker))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return self._cache.get(Compartment, (locker_id, compartment_id))

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._cache.get(Reservation, reservation_id)

    def _view(self, row: Compartment, open_faults: tuple[tuple[str, int], ...]) -> CompartmentView:
        active = row.active_reservation
        reservation = None if active is None else self._cache.get(Reservation, active)
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
        self.cache = RowCache(NullRowStore())
        self.reads = MemoryReads(self.cache)

    def unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self.cache)

    def close(self) -> None:
        return

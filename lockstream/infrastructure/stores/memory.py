"""The store in memory: the same unit of work over lists and dicts. For tests."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.feed import LogPage, log_id_of
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.entities.state import (
    Compartment,
    Fault,
    Locker,
    LockerState,
    LockerTotals,
    Reservation,
)
from lockstream.core.ports import Listings, ReadResult
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.core.views import last_change, locker_views
from lockstream.infrastructure.codec.log_line import check_lines, decode_lines, encode_lines, event_id_of
from lockstream.infrastructure.sqlite.row_cache import NullRowStore, RowCache
from lockstream.infrastructure.stores.memory_listings import MemoryListings
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork


class MemoryLog:
    """A log whose lines are in a list."""

    failure = unavailable_reason = None

    def __init__(self) -> None:
        self.end = self.durable = START
        self._lines: list[bytes] = []

    def check_writable(self) -> None:
        return

    def append(self, events: Sequence[Event], recorded_at: str) -> None:
        lines, self.end = encode_lines(events, recorded_at, self.end)
        self._lines += lines

    def flush(self) -> None:
        self.durable = self.end

    def begin_flush(self, on_flushed: Callable[[], object]) -> None:
        self.flush()
        asyncio.get_running_loop().call_soon(on_flushed)

    def event_ids(self, first: int, count: int) -> Mapping[str, int]:
        lines = self._lines[first - 1 : first - 1 + count]
        return {event_id_of(line): position for position, line in enumerate(lines, first)}

    def records(self, positions: Iterable[int]) -> list[Record]:
        records = list(decode_lines(self._lines, START)) if self._lines else []
        return [records[position - 1] for position in positions]

    def page(self, after: int, count: int) -> LogPage:
        head = self.durable.position
        first = check_lines(self._lines[: min(head, 1)], START)
        log_id = log_id_of((first or [START])[0].chain)
        return LogPage(self._lines[after : min(after + count, head)], head, log_id)

    def read(self, after: Cursor) -> Iterator[Record]:
        if lines := self._lines[after.position : self.durable.position]:
            yield from decode_lines(lines, after)


class MemoryReads:
    """Reads of a row cache that was never checkpointed, and so holds everything."""

    def __init__(self, cache: RowCache, log: MemoryLog | None = None) -> None:
        """Without a `log`, there are no events to read."""
        self._cache = cache
        self._log = log or MemoryLog()
        self.listings = MemoryListings(cache, self._log.records)

    def locker(self, locker_id: str) -> Locker | None:
        return next((locker for locker in self.lockers() if locker.locker_id == locker_id), None)

    def locker_state(self, locker_id: str) -> LockerState | None:
        locker, totals = self.locker(locker_id), self._cache.get(LockerTotals, locker_id)
        if locker is None or totals is None:
            return None
        compartments = [row for row in self._cache.changed_rows(Compartment) if row.locker_id == locker_id]
        changes = {row.compartment_id: last_change(row, self.reservation) for row in compartments}
        return LockerState(locker, totals, changes)

    def lockers(self) -> Iterator[Locker]:
        compartments, faults = self._cache.changed_rows(Compartment), self._cache.changed_rows(Fault)
        return locker_views(compartments, faults, self.reservation)

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return self._cache.get(Compartment, (locker_id, compartment_id))

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._cache.get(Reservation, reservation_id)

    def event(self, event_id: str) -> Record | None:
        position = self._cache.ids.memtable.get(event_id)
        return None if position is None else self.records([position])[0]

    def records(self, positions: Iterable[int]) -> list[Record]:
        return self._log.records(positions)

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        return self.listings.times(positions)


class MemoryStore:
    """A locker network in memory, which ends with the process."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        """Open the store over `log`, or over an empty log."""
        self.log = log or MemoryLog()
        self.cache = RowCache(NullRowStore())
        catch_up(self.cache, self.log.read(START))
        self.reads = MemoryReads(self.cache, self.log)
        self.log_pages = self.log
        self.listings = self.reads.listings

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list, and return its value with the position that it reflects."""
        return ReadResult(query(self.listings), self.cache.reached.position)

    def unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self.cache)

    def close(self) -> None:
        return

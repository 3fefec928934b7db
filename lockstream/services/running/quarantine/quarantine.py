"""The quarantine of the running system: notes events that were not accepted, and shows its entries.

Arrivals are merged in memory for a second, and then written in a thread. No event waits for a write, and a crash may
lose the arrivals of a second.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Protocol

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Record
from lockstream.core.entities.quarantine import Discard, Entry, MalformedBody, QuarantineQuery, QuarantineTotals
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.ports import Listings, QuarantineStore, ReadResult
from lockstream.core.use_cases.resubmit import in_order_of_occurrence
from lockstream.core.wording import agreeing, counted
from lockstream.infrastructure.codec.event_json import have_same_content, have_same_text
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.services.running.group_commit import Origin
from lockstream.services.running.quarantine.buffer import Arrival, NotedDuplicate, QuarantineBuffer
from lockstream.services.running.telemetry.figures import QuarantineFigures

WRITE_SECONDS = 1.0
"""Time between an arrival and its write. A crash may lose the arrivals of this time."""

WARNING_SECONDS = 60.0
"""Time between two warnings about dropped entries."""

AGE_SECONDS = 3_600.0
"""Time after which a read drops entries that have become too old, even if nothing has arrived."""

ENTRIES_A_WRITE = 5_000
"""Number of entries in memory from which they are written at once, before `WRITE_SECONDS` have passed."""

RECORDS_AT_ONCE = 500
"""Accepted events that are read at a time, to be compared with duplicates."""

DIFFERING_BYTES = 1024 * 1024
"""Most bytes of duplicates whose values are compared in one write, because their texts differ from the accepted one."""

MAX_ENTRIES = 10**9
"""A limit that no quarantine reaches."""

_ACCEPTED = {Accepted}

logger = logging.getLogger(__name__)


class ReadsLists(Protocol):
    """The part of an engine that the quarantine needs."""

    async def list[ValueT](self, query: Callable[[Listings], ValueT], at: int | None = None) -> ReadResult[ValueT]:
        """Return the value of `query` over lists of a state that has reached position `at`."""


class Quarantine:
    """Notes and shows events that were not accepted. For one event loop."""

    def __init__(self, store: QuarantineStore, engine: ReadsLists) -> None:
        self._store, self._engine = store, engine
        self._buffer = QuarantineBuffer()
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._in_write: Set[str] = frozenset()
        """Event ids of entries that are being written. The store may not have them yet."""

        self._has_failed = False
        self._aged_at, self._warned_at = -AGE_SECONDS, -WARNING_SECONDS
        self._unreported = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(1, "lockstream-quarantine")

    def needs_note(self, requests: Sequence[Sequence[Event]], outcomes: Sequence[Outcome | Exception]) -> bool:
        """Return whether one of the events may enter or leave the quarantine. Called for each batch, so it is fast."""
        if not set(map(type, outcomes)) <= _ACCEPTED:
            return True
        held = [ids for ids in (self._store.refused_ids, self._buffer.entries.keys(), self._in_write) if ids]
        if not held:  # on PostgreSQL, the database finds out which events have an entry
            return False
        accepted = {event.event_id for events in requests for event in events}
        return not all(ids.isdisjoint(accepted) for ids in held)

    def note(
        self, events: Sequence[Event], outcomes: Sequence[Outcome | Exception], origin_of: Callable[[], Origin]
    ) -> None:
        """Note the outcomes of the events of one request. Its accepted events are durable."""
        refused, buffered, in_write = self._store.refused_ids, self._buffer.entries, self._in_write
        origin, at = None, ""
        for index, (event, outcome) in enumerate(zip(events, outcomes, strict=True)):
            if isinstance(outcome, Accepted):
                event_id = event.event_id
                if event_id in refused or event_id in buffered or event_id in in_write:
                    self._buffer.add_accepted(event, outcome.position)
                    self._write_later()
            elif isinstance(outcome, Refusal | Duplicate):
                origin, at = origin or origin_of(), at or utc_now()
                self._note_unaccepted(event, outcome, index, origin, at)
        if origin:
            self._write_later()

    def note_malformed(self, reason: str, detail: str, body: bytes, address: str) -> None:
        """Note a body, or an item of a batch, that is not an event. `reason` and `detail` are of its first error."""
        self._buffer.add_malformed(reason, detail, body, address, utc_now())
        self._write_later()

    async def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        """Return up to `limit` entries behind the one with number `after`. Raises StoreUnavailable."""
        return await self._read(lambda: self._store.entries(query, after, limit))

    async def in_order_of_occurrence(self, query: QuarantineQuery) -> list[Entry]:
        """Return all entries that pass the filters, in the order of their events. Raises StoreUnavailable."""
        return await self._read(lambda: in_order_of_occurrence(self._store.entries(query, None, MAX_ENTRIES)))

    async def entry(self, event_id: str) -> Entry | None:
        """Return the entry of an event id, a UUID in lower case. Raises StoreUnavailable."""
        return await self._read(lambda: self._store.entry(event_id))

    async def totals(self, lockers: Lockers | None = None) -> QuarantineTotals:
        """Return the counts over all entries, or over those of `lockers`. Raises StoreUnavailable."""
        return await self._read(lambda: self._store.totals(lockers))

    async def figures(self, limit: int) -> QuarantineFigures:
        """Return the figures of the quarantine, as it was last written. `limit` bounds its entries.

        Raises StoreUnavailable.
        """
        totals = await asyncio.get_running_loop().run_in_executor(self._thread, self._store.totals)
        return QuarantineFigures(
            open_by_code=totals.open,
            discarded=totals.discarded,
            limit=limit,
            dropped=totals.dropped,
            is_behind=self._store.is_behind or self._has_failed,
        )

    async def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        """Return up to `limit` malformed bodies before the one with number `after`. Raises StoreUnavailable."""
        return await self._read(lambda: self._store.malformed(after, limit))

    async def discard(self, event_id: str, reason: str) -> Entry | None:
        """Note that an event needs no further work, and return its entry. Raises StoreUnavailable."""
        return await self._read(lambda: self._store.discard(event_id, Discard(reason, utc_now())))

    async def close(self) -> None:
        """Write all noted arrivals, and close the store."""
        if self._timer:
            self._timer.cancel()
        await self._begin_write()
        await asyncio.to_thread(self._thread.shutdown)
        self._store.close()

    def _note_unaccepted(self, event: Event, outcome: Refusal | Duplicate, index: int, origin: Origin, at: str) -> None:
        if isinstance(outcome, Refusal):
            arrival = Arrival.of(event, index, origin, at)
            self._buffer.add_refused(arrival, outcome, is_arrival=origin.is_arrival)
        elif origin.is_arrival and self._buffer.takes_duplicates:
            self._buffer.add_duplicate(Arrival.of(event, index, origin, at), outcome.position)
        elif origin.is_arrival:
            self._buffer.add_unchecked(1)

    async def _read[ValueT](self, query: Callable[[], ValueT]) -> ValueT:
        """Return the value of `query`, which is executed after all noted arrivals were written."""
        await self._begin_write(is_read=True)
        return await asyncio.get_running_loop().run_in_executor(self._thread, query)

    def _write_later(self) -> None:
        is_due = len(self._buffer.entries) >= ENTRIES_A_WRITE and not self._has_failed
        if is_due and not self._writing.locked():
            self._begin_write()
        elif self._timer is None and (self._buffer or self._store.is_behind):
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write_on_timer)

    def _write_on_timer(self) -> None:
        self._timer = None
        self._begin_write()

    def _begin_write(self, *, is_read: bool = False) -> asyncio.Future[None]:
        """Begin to write all noted arrivals. The result may be awaited; cancelling it does not stop the write."""
        task = asyncio.get_running_loop().create_task(self._write(is_read=is_read))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asyncio.shield(task)

    async def _write(self, *, is_read: bool) -> None:
        """Write all noted arrivals, and before a read also drop too old entries. A failed write is tried again."""
        async with self._writing:
            now = asyncio.get_running_loop().time()
            must_age = is_read and now >= self._aged_at + AGE_SECONDS
            if not (self._buffer or self._store.is_behind or must_age):
                return
            self._aged_at = now
            buffer, self._buffer = self._buffer, QuarantineBuffer()
            self._in_write = buffer.entries.keys()
            try:
                await self._compare(buffer)
                changes = buffer.changes(utc_now())
                dropped = await asyncio.get_running_loop().run_in_executor(self._thread, self._store.write, changes)
                self._has_failed = False
                self._warn_of_losses(dropped, now)
            except StoreUnavailable as error:
                self._buffer.put_back(buffer.changes(utc_now()))
                if not self._has_failed:
                    logger.warning(
                        "The quarantine cannot be written, and is kept in memory until it can. %s",
                        error,
                        extra={"event_name": "quarantine_write_failed"},
                    )
                self._has_failed = True
            except Exception:  # an internal error, which must not stop later writes
                logger.exception(
                    "Changes of the quarantine could not be written, and are lost.",
                    extra={"event_name": "quarantine_changes_lost"},
                )
            finally:
                self._in_write = frozenset()
            self._write_later()

    def _warn_of_losses(self, dropped: int, now: float) -> None:
        """Log how many entries and arrivals were dropped, at most once a minute."""
        self._unreported += dropped
        if self._unreported and now >= self._warned_at + WARNING_SECONDS:
            logger.warning(
                "The quarantine is full: %s dropped. GET /quarantine shows the senders; "
                "LOCKSTREAM_QUARANTINE_ENTRIES and LOCKSTREAM_QUARANTINE_BYTES are its bounds.",
                f"{counted(self._unreported, 'refused event')} {agreeing(self._unreported, 'was', 'were')}",
                extra={"event_name": "quarantine_full"},
            )
            self._warned_at, self._unreported = now, 0

    async def _compare(self, buffer: QuarantineBuffer) -> None:
        """Turn duplicates into entries if their content differs from the accepted event's."""
        duplicates, buffer.duplicates = sorted(buffer.duplicates, key=lambda one: one.position), []
        comparison = _Comparison(buffer)
        for some in batched(duplicates, RECORDS_AT_ONCE):
            try:
                records = await self._records({one.position for one in some})
            except StoreUnavailable:
                records = {}
            await asyncio.get_running_loop().run_in_executor(self._thread, comparison.add, some, records)

    async def _records(self, positions: set[int]) -> dict[int, Record]:
        """Return the records at `positions`, except positions that lists have not reached. Raises StoreUnavailable."""

        def read(listings: Listings) -> dict[int, Record]:
            reached = sorted(position for position in positions if position <= listings.position)
            return dict(zip(reached, listings.records(reached), strict=True))

        return (await self._engine.list(read, max(positions))).value


class _Comparison:
    """Compares duplicates with accepted events, in a thread."""

    def __init__(self, buffer: QuarantineBuffer) -> None:
        self._buffer = buffer
        self._differing_bytes = 0

    def add(self, duplicates: Sequence[NotedDuplicate], records: Mapping[int, Record]) -> None:
        """Add to the buffer all duplicates whose content differs from the records at their positions."""
        for one in duplicates:
            record, event = records.get(one.position), one.arrival.event
            if record is None:
                self._buffer.add_unchecked(1)
            elif not have_same_text(event, record.event):
                self._differing_bytes += len(event.payload_text)
                if self._differing_bytes > DIFFERING_BYTES:
                    self._buffer.add_unchecked(1)
                elif not have_same_content(event, record.event):
                    self._buffer.add(one.entry())

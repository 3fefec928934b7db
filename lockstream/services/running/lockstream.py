"""The running system: ingests events, and answers reads that show all events acknowledged before they began."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from msgspec.structs import replace

from lockstream import __version__
from lockstream.core.bound.listings import BoundListings
from lockstream.core.bound.reads import BoundReads
from lockstream.core.entities.access import ANYONE, Caller, Lockers
from lockstream.core.entities.events import Event
from lockstream.core.entities.feed import FeedFilter, FeedPage
from lockstream.core.entities.quarantine import QuarantineQuery
from lockstream.core.entities.silence import Silence, SilenceLimits
from lockstream.core.entities.subjects import Subject
from lockstream.core.errors import LockerNotAllowed, PositionNotReached, QuarantineOff
from lockstream.core.ports import Listings, QuarantineStore, ReadResult, Reads, Store
from lockstream.core.use_cases.resubmit import Resubmitted, ResubmittedEvents
from lockstream.core.use_cases.silent_lockers import SilentLockers, silent_lockers
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.services.running.access.access import Access
from lockstream.services.running.event_loop import LoopRunner
from lockstream.services.running.feed import Feed
from lockstream.services.running.feed_streams import Encode, FeedStream, FeedStreams
from lockstream.services.running.group_commit import (
    UNKNOWN_ORIGIN,
    Decided,
    Engine,
    GroupCommit,
    HasLockerId,
    Origin,
    Outcomes,
)
from lockstream.services.running.nodes.node_list import NodeList
from lockstream.services.running.quarantine.entries import BoundEntries, Entries
from lockstream.services.running.quarantine.quarantine import Quarantine
from lockstream.services.running.quarantine.resubmission import resubmit_entries
from lockstream.services.running.silence.sweep import SilenceSweep
from lockstream.services.running.telemetry.attempts import SharedRead
from lockstream.services.running.telemetry.counts import EventCounts, SystemCounts
from lockstream.services.running.telemetry.figures import QuarantineFigures, SystemFigures
from lockstream.settings import Settings

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import Tracing

REPORT = "report"
"""Name of an operation in the audit log: a report of events, one by one, as a batch or by resubmission."""

MIN_POSITION_SECONDS = 1.0
"""Time that a read waits for the min position that it demands."""

MIN_POSITION_RETRY_SECONDS = 0.02
"""Pause before a read that has not reached its min position is repeated."""


class Lockstream:
    """One locker network. May be used from any event loop and any thread; calls from the bound loop are fastest."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        settings: Settings,
        quarantine: QuarantineStore | None = None,
        access: Access | None = None,
        tracing: "Tracing | None" = None,
    ) -> None:
        """Without a `quarantine`, events that are not accepted are not kept. Without an `access`, no key is needed.

        `tracing` is closed with the system.
        """
        self.settings = settings
        self.access = access or Access()
        self._store = store
        self._engine = engine
        self._quarantine = Quarantine(quarantine, engine) if quarantine else None
        self._shared_quarantine = SharedRead(self._quarantine_figures)
        self.tracing = tracing
        self._group_commit = _group_commit(engine, settings.queue_limit, self._quarantine, tracing)
        self._group_commit.on_not_allowed = self._note_not_allowed
        self._feed = Feed(engine)
        self._streams = FeedStreams(engine, self._feed, settings.stream_limit)
        limits = SilenceLimits.of(settings.silent_minutes, settings.gone_days)
        self._sweep = SilenceSweep(partial(engine.list, at=0), limits)
        if tracing:
            self._streams.on_page = partial(tracing.deliveries.note, form="stream")
        self._runner = LoopRunner()
        self._started_at = utc_now()
        self._parsing_lock, self._resubmitting = asyncio.Lock(), asyncio.Lock()
        self._key_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._nodes = NodeList(settings, engine.nodes, lambda: self.unavailable_reason)
        self.lockers: Lockers | None = None
        """The lockers that reads show. None: all of them."""

    def view(self, caller: Caller) -> "Lockstream":
        """Return the system as a caller sees it. For a key that is bound to lockers, no other locker exists.

        The view shares all parts of the system, and only its reads differ. Setting an attribute of one does
        not set it on the other.
        """
        if caller.lockers is None:
            return self
        view = Lockstream.__new__(Lockstream)
        view.__dict__ = self.__dict__ | {"lockers": caller.lockers}  # faster than `copy.copy`
        return view

    def bind_running_loop(self) -> None:
        """Run all calls on the running event loop from now on."""
        self._runner.bind_running_loop()

    @property
    def unavailable_reason(self) -> str | None:
        """Why events are refused right now, or None."""
        return self._group_commit.unavailable_reason

    def ingest(self, events: Sequence[Event], origin: Origin = UNKNOWN_ORIGIN) -> Awaitable[Outcomes]:
        """Decide `events` in order, and return their outcomes once the accepted ones are durable.

        The outcome of an event that the caller may not report is LockerNotAllowed.

        Raises:
            StoreUnavailable: none of the events is acknowledged.
        """
        return self._call(self._group_commit.submit, events, origin)

    def ingest_text(self, text: bytes, address: str = "", caller: Caller = ANYONE) -> Awaitable[Decided]:
        """Decode and decide one event, and return it with its outcome once it is durable.

        `address` is the remote address from which it comes, and `caller` has sent it.

        Raises:
            MalformedEvent: the text is not an event.
            LockerNotAllowed: the caller may not report events of this locker.
            StoreUnavailable: the event is not acknowledged.
        """
        return self._call(self._group_commit.submit_text, text, address, caller)

    def note_malformed(self, reason: str, detail: str, body: bytes, address: str) -> None:
        """Note a malformed body in the quarantine, if there is one. `reason` and `detail` are of its first error."""
        self._group_commit.tally.malformed += 1
        if self._quarantine and self._runner.loop:
            self._runner.loop.call_soon_threadsafe(self._quarantine.note_malformed, reason, detail, body, address)

    def quarantine[ResultT](self, query: Callable[[Entries], Awaitable[ResultT]]) -> Awaitable[ResultT]:
        """Return the value of `query` over the entries of the quarantine, which `query` may also change.

        Raises:
            QuarantineOff: there is no quarantine.
            StoreUnavailable: the quarantine cannot be read or written.
        """
        if self._quarantine is None:
            raise QuarantineOff
        entries = self._quarantine if self.lockers is None else BoundEntries(self._quarantine, self.lockers)
        return self._call(query, entries)

    def resubmit(self, event_id: str, caller: Caller = ANYONE) -> Awaitable[Resubmitted | None]:
        """Decide the event of an entry afresh, and return its outcome once it is durable. None: there is no entry.

        If the event is accepted, it bears the key of `caller`.

        Raises:
            QuarantineOff: there is no quarantine.
            StoreUnavailable: the event is not acknowledged.
        """
        return self._call(self._resubmit, event_id, caller)

    def resubmit_all(self, query: QuarantineQuery, limit: int, caller: Caller = ANYONE) -> Awaitable[ResubmittedEvents]:
        """Decide up to `limit` events afresh, in the order in which they happened.

        Those that are accepted bear the key of `caller`.

        Raises:
            QuarantineOff: there is no quarantine.
            StoreUnavailable: some events are not acknowledged.
        """
        return self._call(self._resubmit_all, query, limit, caller)

    async def read[ValueT: HasLockerId](
        self, query: Callable[[Reads], ValueT | None], min_position: int = 0
    ) -> ReadResult[ValueT | None]:
        """Return the value of `query` in a state that reflects the log up to `min_position` or further.

        Raises:
            PositionNotReached: the state is older, even after `MIN_POSITION_SECONDS`.
            StoreUnavailable: the state cannot be read.
        """
        if self.lockers is not None:
            query = _bound_read(query, self.lockers)
        return await self._read(partial(self._engine.read, query), min_position)

    async def list[ValueT](
        self,
        query: Callable[[Listings], ValueT],
        min_position: int = 0,
        at: int | None = None,
        subject: Subject | None = None,
    ) -> ReadResult[ValueT]:
        """Return the value of `query` over lists that reflect the log up to `min_position` or further.

        The query may run in another thread, and more than once. If `at` is given, the lists need reach no further. If
        `subject` is given, the query must read nothing that other subjects have.

        Raises:
            PositionNotReached: the lists are older, even after `MIN_POSITION_SECONDS`.
            StoreUnavailable: the lists cannot be read.
        """
        if self.lockers is not None:
            query = _bound_list(query, self.lockers)
        needed = None if at is None or at < min_position else at
        if needed is not None and needed <= self._engine.log.durable.position:  # a read replica may still lag
            min_position = needed
        if min_position:  # a list is expensive, so it is read only once its position is reached
            await self._read(partial(self._engine.list, lambda _: None, needed, subject), min_position)
        return await self._read(partial(self._engine.list, query, needed, subject), min_position)

    async def silence(self) -> Silence:
        """Return the measure by which lockers are silent, for a `LockerQuery`. It is up to a minute old.

        Raises:
            StoreUnavailable: the lists cannot be read.
        """
        return await self._call(self._sweep.silence)

    async def last_silence(self) -> Silence:
        """Return the last measure by which lockers are silent, without waiting for a sweep if it is not outdated.

        Raises:
            StoreUnavailable: there is none, and the lists cannot be read.
        """
        return await self._call(self._sweep.last_silence)

    async def silent_lockers(self, limit: int = 0) -> SilentLockers:
        """Return the number of silent lockers and of those that are gone, and up to `limit` silent ones by id.

        The answer may be a second old, because it waits for no flush and no checkpoint.

        Raises:
            StoreUnavailable: the lists cannot be read.
        """
        silence = await self.silence()
        return (await self.list(lambda listings: silent_lockers(listings, silence, limit), at=0)).value

    async def feed_page(
        self,
        wanted: FeedFilter,
        after: int | None,
        limit: int,
        wait_seconds: float = 0,
        log_id: str | None = None,
        min_position: int = 0,
    ) -> FeedPage:
        """Return a page of the feed. Parameters and exceptions are those of `Feed.page`.

        Raises:
            PositionNotReached: the log that reads show ends before `min_position`, even after `MIN_POSITION_SECONDS`.
        """
        if min_position:
            await self._read(self._feed.head, min_position)
        if self.lockers is not None:
            wanted = replace(wanted, lockers=self.lockers)
        page = await self._call(self._feed.page, wanted, after, limit, wait_seconds, log_id)
        if self.tracing:
            self.tracing.deliveries.note(page.items, "page", self.tracing.sampled_request())
        return page

    async def open_stream(
        self,
        wanted: FeedFilter,
        after: int | None,
        log_id: str | None,
        encode: Encode,
        min_position: int = 0,
        caller: Caller = ANYONE,
    ) -> FeedStream:
        """Return a stream of the feed, to be closed. Parameters and exceptions are those of `FeedStreams.open`.

        `caller` is the reader.

        Raises:
            PositionNotReached: the log that reads show ends before `min_position`, even after `MIN_POSITION_SECONDS`.
        """
        if min_position:
            await self._read(self._feed.head, min_position)
        if self.lockers is not None:
            wanted = replace(wanted, lockers=self.lockers)
        return await self._call(self._streams.open, wanted, after, log_id, encode, str(caller.key_id))

    async def parts(self, stream: FeedStream) -> AsyncIterator[bytes]:
        """Yield the encoded pages of a stream. Raises StoreUnavailable, as `FeedStream.parts` does."""
        parts = stream.parts()
        while (part := await self._call(anext, parts, None)) is not None:
            yield part
            del part  # a stream that waits keeps no page in memory

    def close_stream(self, stream: FeedStream) -> None:
        """End a stream, and free its place among the open streams. May be called from any thread, and again."""
        self._runner.call_soon(stream.close)

    def figures(self) -> Awaitable[SystemFigures]:
        """Return the figures of the system at this moment, even while events are refused."""
        return self._call(self._figures)

    def counts(self) -> Awaitable[SystemCounts]:
        """Return the counts of the system since its start."""
        return self._call(self._counts)

    def stop_waiting(self) -> None:
        """Let no reader of the feed wait any longer, because the server stops. May be called from any thread."""
        self._runner.call_soon(self._engine.stop_waiting)

    def parsing_lock(self, caller: Caller = ANYONE) -> AbstractAsyncContextManager[object]:
        """Return a lock for work that blocks the event loop, so that only one piece of it runs between two requests.

        Keys take turns: of each key, one request at most waits for the lock of all.
        """
        if not self._is_on_its_loop:
            return nullcontext()
        if not caller.key_id:
            return self._parsing_lock
        return _both_locks(self._key_locks.setdefault(caller.key_id, asyncio.Lock()), self._parsing_lock)

    async def close(self) -> None:
        """Finish the submitted events, and close the files."""
        with closing(self._store):
            await self._runner.run(self._close)
            await asyncio.gather(asyncio.to_thread(self._nodes.close), asyncio.to_thread(self.access.close))
            if self.tracing:
                await asyncio.to_thread(self.tracing.close)
            await asyncio.to_thread(self._runner.stop)

    @property
    def _is_on_its_loop(self) -> bool:
        """Whether the caller runs on the event loop that runs all calls."""
        return self._runner.loop is asyncio.get_running_loop()

    def _call[**ArgumentsT, ResultT](
        self,
        function: Callable[ArgumentsT, Awaitable[ResultT]],
        *args: ArgumentsT.args,
        **kwargs: ArgumentsT.kwargs,
    ) -> Awaitable[ResultT]:
        """Call `function` on the loop that runs all calls."""
        return function(*args, **kwargs) if self._is_on_its_loop else self._runner.run(function, *args, **kwargs)

    async def _read[ValueT](
        self, read: Callable[[], Coroutine[Any, Any, ReadResult[ValueT]]], min_position: int
    ) -> ReadResult[ValueT]:
        """Return the result of `read`, repeated until it reflects `min_position` or `MIN_POSITION_SECONDS` are over."""
        deadline = time.monotonic() + MIN_POSITION_SECONDS
        while True:
            result = await self._call(read)
            if result.position >= min_position:
                return result
            if time.monotonic() > deadline:
                raise PositionNotReached(result.position, min_position)
            await asyncio.sleep(MIN_POSITION_RETRY_SECONDS)

    async def _figures(self) -> SystemFigures:
        settings = self.settings
        storage, quarantine = await asyncio.gather(self._engine.figures(), self._shared_quarantine.in_time())
        nodes = self._nodes.figures(storage.head)
        missing = [*storage.missing]
        if self._quarantine and not quarantine:
            missing.append("quarantine")
        if nodes is None:
            missing.append("nodes")
        return SystemFigures(
            version=__version__,
            started_at=self._started_at,
            storage=storage,
            min_free_bytes=settings.min_free_bytes,
            events_waiting=self._group_commit.events_waiting,
            queue_limit=settings.queue_limit,
            open_streams=self._streams.count,
            stream_limit=settings.stream_limit,
            quarantine=quarantine,
            unavailable_reason=self.unavailable_reason,
            nodes=nodes,
            failing_keys=self.access.failing,
            missing=tuple(missing),
        )

    async def _counts(self) -> SystemCounts:
        return SystemCounts(
            EventCounts.of(self._group_commit.tally),
            self._engine.counts,
            self._streams.lag(self._engine.log.durable.position),
            dict(self.access.refused),
        )

    async def _quarantine_figures(self) -> QuarantineFigures | None:
        return await self._quarantine.figures(self.settings.quarantine_entries) if self._quarantine else None

    async def _resubmit(self, event_id: str, caller: Caller) -> Resubmitted | None:
        entry = await self.quarantine(lambda entries: entries.entry(event_id))
        if entry is None:
            return None
        [resubmitted] = await resubmit_entries([entry], self._group_commit.submit, caller)
        return resubmitted

    async def _resubmit_all(self, query: QuarantineQuery, limit: int, caller: Caller) -> ResubmittedEvents:
        async with self._resubmitting:
            entries = await self.quarantine(lambda entries: entries.in_order_of_occurrence(query))
            items = await resubmit_entries(entries[:limit], self._group_commit.submit, caller)
        return ResubmittedEvents(items, len(entries[limit:]))

    def _note_not_allowed(self, errors: Sequence[LockerNotAllowed], origin: Origin) -> None:
        """Note for the audit log that a key has reported events of lockers that it is not bound to."""
        [first, *_] = errors
        self.access.note_refusal(first.key_id, origin.address, REPORT, first.code, len(errors))

    async def _close(self) -> None:
        self._sweep.stop()
        await self._group_commit.close()
        try:
            if self._quarantine:
                await self._quarantine.close()
        finally:
            await self._engine.close()


def _group_commit(
    engine: Engine, queue_limit: int, quarantine: Quarantine | None, tracing: "Tracing | None"
) -> GroupCommit:
    """Return the group commit, with spans only if there is `tracing`: spans cost time for each request."""
    if tracing is None:
        return GroupCommit(engine, queue_limit, quarantine)
    from lockstream.services.running.telemetry.traces.traced_group_commit import TracedGroupCommit  # noqa: PLC0415

    return TracedGroupCommit(engine, queue_limit, quarantine, tracing)


@asynccontextmanager
async def _both_locks(first: asyncio.Lock, second: asyncio.Lock) -> AsyncIterator[None]:
    async with first, second:
        yield


def _bound_read[ValueT](query: Callable[[Reads], ValueT], lockers: Lockers) -> Callable[[Reads], ValueT]:
    """Return a function that calls `query` with reads in which only `lockers` exist."""
    return lambda reads: query(BoundReads(reads, lockers))


def _bound_list[ValueT](query: Callable[[Listings], ValueT], lockers: Lockers) -> Callable[[Listings], ValueT]:
    """Return a function that calls `query` with lists in which only `lockers` exist."""
    return lambda listings: query(BoundListings(listings, lockers))

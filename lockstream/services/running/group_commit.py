"""Group commit: concurrent requests become one batch, with one decoding, one append and one flush.

Requests that arrive during a flush form the next batch, which is decided when the flush has ended. A full batch does
not wait for a flush. No timer delays an event.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from lockstream.core.entities.access import ANYONE, Caller
from lockstream.core.entities.events import Event
from lockstream.core.entities.subjects import Subject
from lockstream.core.errors import LockerNotAllowed, QueueFull, StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.core.ports import EventLog, Listings, ReadResult, Reads, UnitOfWork
from lockstream.core.use_cases.admission import Admission, admit, admit_event, concealed
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.services.running.feed import FeedEngine
from lockstream.services.running.ingest_queue import IngestQueue
from lockstream.services.running.telemetry.batch_tally import BatchTally
from lockstream.services.running.telemetry.counts import DatabaseCounts, FileCounts
from lockstream.services.running.telemetry.figures import StorageFigures

if TYPE_CHECKING:
    from lockstream.infrastructure.postgres.nodes.store import PostgresNodes

logger = logging.getLogger(__name__)

type Outcomes = Sequence[Outcome | Exception]
"""One outcome per event. An exception means that the event was not decided: LockerNotAllowed, or an internal error."""

type Decided = tuple[Event, Outcome | Exception]
"""An event and its outcome."""

STOPPING = "Lockstream is stopping. Send the request again after Lockstream has restarted."


class HasLockerId(Protocol):
    """A value that only events of one locker can change."""

    @property
    def locker_id(self) -> str: ...


class Waiters(Protocol):
    """The part of `DurablePosition` that group commit needs."""

    def when_reached(self, position: int, on_reached: Callable[[str | None], object]) -> None: ...


class Origin(Struct, frozen=True, gc=False):
    """The origin of events: a remote address, their texts, and the caller that reported them."""

    address: str = ""
    """Remote address, or an empty text for a Unix socket."""

    texts: Sequence[bytes] = ()
    """JSON text of each event, or nothing if the events never were a text."""

    is_arrival: bool = True
    """False for events of the quarantine that are decided afresh."""

    caller: Caller = ANYONE


UNKNOWN_ORIGIN = Origin()
"""Origin of events that came neither from a network nor from a text."""


type OnNotAllowed = Callable[[Sequence[LockerNotAllowed], Origin], object]
"""Called with the events of one request that were refused for their lockers, and with the origin of the request."""


class Observer(Protocol):
    """Notes the outcomes of events once the accepted ones are durable. The quarantine is one."""

    def needs_note(self, requests: Sequence[Sequence[Event]], outcomes: Outcomes) -> bool:
        """Return whether `note` must be called for a batch, given the events of its requests and all outcomes."""

    def note(self, events: Sequence[Event], outcomes: Outcomes, origin_of: Callable[[], Origin]) -> None:
        """Note the outcomes of the events of one request. `origin_of` returns their origin."""


class Engine(FeedEngine, Protocol):
    """Decides batches and answers reads on one kind of store."""

    batch_limit: int
    """Most events that are decided together."""

    on_ready: Callable[[], object]
    """Called by the engine when it is no longer overloaded."""

    @property
    def log(self) -> EventLog: ...

    @property
    def durable(self) -> Waiters: ...

    @property
    def is_overloaded(self) -> bool:
        """Whether the next batch must wait for `on_ready`."""

    @property
    def unavailable_reason(self) -> str | None:
        """Why events are refused right now, or None."""

    @property
    def nodes(self) -> "PostgresNodes | None":
        """The list of nodes in the database of the store, or None for a store that one process has for itself."""

    weight_bytes: int
    """An event counts as one of the batch limit, and as one more for each time that its JSON text has this length."""

    def decide(self, events: Sequence[Event], on_decided: Callable[[Outcomes], object]) -> None:
        """Decide and append a batch, and call `on_decided` on the event loop, at once or later."""

    async def read[ValueT: HasLockerId](self, query: Callable[[Reads], ValueT | None]) -> ReadResult[ValueT | None]:
        """Return the value of `query`, which reflects all acknowledged events, and durable events alone."""

    async def list[ValueT](
        self, query: Callable[[Listings], ValueT], at: int | None = None, subject: Subject | None = None
    ) -> ReadResult[ValueT]:
        """Return the value of `query` over lists of a state that `read` could show, perhaps from another thread.

        If `at` is given, the state may be any that has reached this position. If `subject` is given, the query must
        read nothing that other subjects have.
        """

    async def figures(self) -> StorageFigures:
        """Return the present figures of log and projection, even while the store is unavailable."""

    @property
    def counts(self) -> FileCounts | DatabaseCounts | None:
        """The counts of the store since the start, or None for a store that counts nothing."""

    def stop_waiting(self) -> None:
        """Let no reader of the feed wait any longer, because the server stops."""

    async def close(self) -> None: ...


class GroupCommit:
    """The ingest queue, and the one writer of a store. For one event loop."""

    def __init__(self, engine: Engine, queue_limit: int, observer: Observer | None = None) -> None:
        """`queue_limit` bounds the events that wait for their acknowledgement."""
        self._observer = observer
        self.on_not_allowed: OnNotAllowed = lambda errors, origin: None
        self._engine = engine
        self._queue_limit = queue_limit
        self._queue: IngestQueue[Submission] = IngestQueue(queue_limit, engine.weight_bytes)
        self.tally = BatchTally()
        self._unflushed_batches = 0
        self._is_deciding = self._is_closing = False
        self._drained: asyncio.Event | None = None
        engine.on_ready = self._decide_soon

    @property
    def unavailable_reason(self) -> str | None:
        """Why events are refused right now, or None."""
        if self._is_closing:
            return STOPPING
        if self._queue.is_full:
            return str(QueueFull(self._queue_limit))
        return self._engine.unavailable_reason

    @property
    def events_waiting(self) -> int:
        """Events that wait for their acknowledgement."""
        return self._queue.waiting

    def submit(self, events: Sequence[Event], origin: Origin = UNKNOWN_ORIGIN) -> Awaitable[Outcomes]:
        """Have `events` decided in order; the result is there once the accepted ones are durable.

        The outcome of an event that the caller may not report is LockerNotAllowed. It is not decided.

        Raises:
            QueueFull: too many events wait; none of these was taken.
            StoreUnavailable: none of these is acknowledged.
        """
        acknowledged, caller = asyncio.get_running_loop().create_future(), origin.caller
        if caller is ANYONE:
            return self._enqueue(Submission(acknowledged, events, origin, count=len(events)))
        admission = admit(events, caller)
        if not (refused := admission.refused):
            return self._enqueue(Submission(acknowledged, events, origin, caller=caller, count=len(events)))
        allowed = replace(origin, texts=admission.admitted(origin.texts))
        admitted = admission.admitted(events)
        self._enqueue(Submission(acknowledged, admitted, allowed, caller=caller, count=len(admitted)))
        self._tell_not_allowed(refused, origin)
        return _all_outcomes(acknowledged, admission)

    def submit_text(self, text: bytes, address: str = "", caller: Caller = ANYONE) -> Awaitable[Decided]:
        """Have the event with this JSON text decoded and decided; the result is there once it is durable.

        The texts of concurrent requests are decoded together, in a fifth of the time. The result may also be
        MalformedEvent or LockerNotAllowed, as an exception.

        Raises:
            QueueFull: too many events wait; this one was not taken.
            StoreUnavailable: the event is not acknowledged.
        """
        acknowledged = asyncio.get_running_loop().create_future()
        return self._enqueue(Submission(acknowledged, text=text, address=address, caller=caller))

    async def close(self) -> None:
        """Finish the events that were submitted, and accept no more."""
        self._is_closing = True
        if self._queue.waiting:
            self._drained = asyncio.Event()
            await self._drained.wait()

    def _enqueue(self, submission: "Submission") -> Awaitable[Any]:
        if self._is_closing:
            raise StoreUnavailable(STOPPING)
        try:
            self._queue.push(submission)
        except QueueFull:
            self.tally.queue_full += submission.count
            raise
        self._decide_soon()
        return submission.acknowledged

    def _decide_soon(self) -> None:
        """Decide a batch on the next round of the event loop, but during a flush only if the batch is full.

        One batch for each flush halves the cost of a decision: 32 clients that send single events are served 20 %
        faster (docs/decisions/0021).
        """
        is_due = not self._unflushed_batches or self._queue.queued >= self._engine.batch_limit
        if not self._queue.is_empty and is_due and not self._is_deciding:
            self._is_deciding = True
            asyncio.get_running_loop().call_soon(self._decide_batch)

    def _decide_batch(self) -> None:
        """Decide one batch. Other requests are served before the next one."""
        if self._engine.is_overloaded:
            self._is_deciding = False
            return
        batch = self._queue.next_batch(self._engine.batch_limit)
        first = min(submission.arrived_at for submission in batch)  # keys take turns, so it may not be the first one
        self.tally.queue_seconds.observe(perf_counter() - first)
        self._decode(batch)
        # A submission without events had a malformed text, or an event that is not allowed. Its request has the error.
        decoded = [submission for submission in batch if submission.events is not None]
        self._release([submission for submission in batch if submission.events is None])
        events = [event for submission in decoded for event in submission.events or ()]
        self.tally.batch_events.observe(len(events))
        self._engine.decide(events, partial(self._decided, decoded))

    def _decode(self, batch: "Sequence[Submission]") -> None:
        """Decode the texts of a batch. The request of a text that is malformed, or not allowed, gets the error."""
        undecoded = [(submission, submission.text) for submission in batch if submission.text is not None]
        for (submission, _), decoded in zip(undecoded, _decode_texts([text for _, text in undecoded]), strict=True):
            error: Exception | None
            if isinstance(decoded, Exception):
                error = decoded
            elif error := None if submission.caller is ANYONE else admit_event(decoded, submission.caller):
                self._tell_not_allowed([error], submission.origin())
            else:
                submission.events = [decoded]
            if error and not submission.acknowledged.done():
                submission.acknowledged.set_exception(error)

    def _tell_not_allowed(self, errors: Sequence[LockerNotAllowed], origin: Origin) -> None:
        """Pass refused events to `on_not_allowed`. An exception of that callback harms no request."""
        try:
            self.on_not_allowed(errors, origin)
        except Exception:
            logger.exception(
                "Events that were refused for their lockers could not be noted.",
                extra={"event_name": "refusals_not_noted"},
            )

    def _decided(self, batch: "Sequence[Submission]", outcomes: Outcomes) -> None:
        self._is_deciding = False
        # An outcome may depend on any earlier event, so the outcomes wait until all events appended so far are durable.
        end = self._engine.log.end.position
        self._unflushed_batches += 1
        self._engine.durable.when_reached(end, partial(self._acknowledge, batch, outcomes))
        self._decide_soon()

    def _acknowledge(self, batch: "Sequence[Submission]", outcomes: Outcomes, failure: str | None) -> None:
        start = 0
        for submission in batch:
            stop = start + submission.count
            if not submission.acknowledged.done():  # the client may have disconnected
                if failure is None:
                    submission.acknowledged.set_result(submission.result(outcomes[start:stop]))
                else:
                    submission.acknowledged.set_exception(StoreUnavailable(failure))
            start = stop
        self._release(batch)
        self._unflushed_batches -= 1
        self._decide_soon()
        if failure is None:
            self.tally.note([submission.events or () for submission in batch], outcomes)
            if self._observer:
                self._note(self._observer, batch, outcomes)
        else:
            self.tally.unacknowledged += len(outcomes)

    @staticmethod
    def _note(observer: Observer, batch: "Sequence[Submission]", outcomes: Outcomes) -> None:
        """Pass outcomes to an observer. All requests have their responses already, so an exception here harms none."""
        try:
            if observer.needs_note([submission.events or () for submission in batch], outcomes):
                start = 0
                for submission in batch:
                    stop = start + submission.count
                    noted = outcomes[start:stop]
                    if submission.caller is not ANYONE:  # a reader of the quarantine may be bound to lockers
                        noted = concealed(noted)
                    observer.note(submission.events or (), noted, submission.origin)
                    start = stop
        except Exception:
            logger.exception(
                "The outcomes of a batch could not be noted in the quarantine.",
                extra={"event_name": "outcomes_not_noted"},
            )

    def _release(self, submissions: "Sequence[Submission]") -> None:
        """Free the room of answered submissions in the ingest queue."""
        self._queue.release(submissions)
        if self._drained and not self._queue.waiting:
            self._drained.set()


class Submission(Struct, eq=False):
    """Events of one request while they wait: decoded events, or the text of a single one."""

    acknowledged: asyncio.Future[Any]
    events: Sequence[Event] | None = None
    """None if the text is not decoded yet, or is malformed."""

    events_origin: Origin = UNKNOWN_ORIGIN
    text: bytes | None = None
    address: str = ""
    """Remote address of the text."""

    caller: Caller = ANYONE
    """The caller that sent the events or the text."""

    count: int = 1
    """Number of events."""

    arrived_at: float = field(default_factory=perf_counter)

    @property
    def key_id(self) -> str:
        return self.caller.key_id

    def origin(self) -> Origin:
        """Return the origin of the events."""
        return self.events_origin if self.text is None else Origin(self.address, (self.text,), caller=self.caller)

    @property
    def texts(self) -> Sequence[bytes]:
        return [event.payload_text for event in self.events or ()] if self.text is None else [self.text]

    def result(self, outcomes: Outcomes) -> Outcomes | Decided:
        """Return the result for the request. For a caller that is bound to lockers, the outcomes are concealed."""
        if self.caller.lockers is not None:
            outcomes = concealed(outcomes)
        return outcomes if self.text is None or not self.events else (self.events[0], outcomes[0])


async def _all_outcomes(decided: Awaitable[Outcomes], admission: Admission) -> Outcomes:
    """Return one outcome per event of a request, once its admitted events are decided and durable."""
    return admission.outcomes(await decided)


def _decode_texts(texts: Sequence[bytes]) -> Sequence[Event | Exception]:
    """Decode events. An internal error with one event does not harm the others."""
    try:
        return decode_events(texts)
    except Exception as error:
        if len(texts) > 1:
            return [decoded for text in texts for decoded in _decode_texts([text])]
        logger.exception("An event could not be decoded.", extra={"event_name": "event_not_decoded"})
        return [error]


def decide_batch(events: Sequence[Event], unit_of_work: Callable[[], UnitOfWork]) -> Outcomes:
    """Ingest `events`. An internal error with one event does not harm the others."""
    if not events:  # all texts of the batch were malformed
        return []
    try:
        return ingest(events, unit_of_work())
    except StoreUnavailable as error:
        return [StoreUnavailable(str(error)) for _ in events]
    except Exception as error:
        if len(events) > 1:
            return [outcome for event in events for outcome in decide_batch([event], unit_of_work)]
        logger.exception(
            "Event %s could not be decided.", events[0].event_id, extra={"event_name": "event_not_decided"}
        )
        return [error]

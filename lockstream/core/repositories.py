"""What the core needs of the outside."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.entities.state import Compartment, Locker, Reservation, Slice
from lockstream.core.keys import Keys


class EventLog(Protocol):
    """The truth: what was accepted, in order, for ever."""

    @property
    def end(self) -> Cursor:
        """Just behind the last record."""

    @property
    def durable(self) -> Cursor:
        """Just behind the last record that is on the disk."""

    @property
    def failure(self) -> str:
        """Why nothing can be appended any more, nor flushed; empty where it can."""

    @property
    def obstacle(self) -> str:
        """Why nothing should be appended right now: `failure`, or what may pass; empty where it can."""

    def flush(self) -> None:
        """Make durable what was appended so far.

        Raises:
            StoreUnavailable: nothing that is not durable yet may be taken for accepted.
        """

    def flush_aside(self, ended: Callable[[], object]) -> None:
        """Begin to make durable what was appended so far, and have the running event loop call `ended` afterwards.

        Events may be appended meanwhile. One at a time. Whether it failed, `failure` says.
        """

    def read(self, after: Cursor) -> Iterator[Record]:
        """Each durable record from `after` on, its form, position and chain checked.

        Raises:
            LogDamaged: a record is not what was written.
        """


class OwnLog(EventLog, Protocol):
    """A log that nobody else writes."""

    def append(self, events: Sequence[Event]) -> None:
        """Write `events` behind the last record. Nobody may hear of them before they are durable.

        Raises:
            StoreUnavailable: none of them may be taken for accepted.
        """

    def ids(self, first: int, count: int) -> Mapping[str, int]:
        """The ids of up to `count` events from position `first` on, with their positions.

        Raises:
            StoreUnavailable: they cannot be read.
        """


class Rows(Protocol):
    """The projection's rows as events see them."""

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        """Have at hand all that `events` can see, whose keys are `wanted`. To be called before `load`."""

    def load(self, keys: Keys) -> Slice: ...

    def save(self, before: Slice, after: Slice) -> None:
        """Keep what differs from `before` in `after`."""

    def record(self, event_ids: Sequence[str], first: int) -> None:
        """Remember that these events were accepted, at positions from `first` on."""


class Projection(Rows, Protocol):
    """Rows that follow a log."""

    @property
    def reached(self) -> Cursor:
        """Up to where the log has been applied to these rows."""

    def advance(self, to: Cursor) -> None:
        """Declare the rows to reflect the log up to `to`."""


class UnitOfWork(Protocol):
    """One batch over log and rows: all of what was accepted in it is kept at `commit`, or nothing is."""

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            StoreUnavailable: nothing can be written, so nothing is decided either.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        """Have at hand all that `events` can see, whose keys are `wanted`. To be called before all that follows."""

    def recorded(self, event_id: str) -> int | None:
        """Where an accepted event of this id stands in the log."""

    def load(self, keys: Keys) -> Slice: ...

    def save(self, before: Slice, after: Slice) -> None: ...

    def record(self, event: Event) -> int:
        """Take `event` into the batch; returns the position that it will have."""

    def commit(self) -> None:
        """Keep the batch: it is durable once the log has been flushed.

        Raises:
            StoreUnavailable: nothing of the batch was kept.
        """


class Queries(Protocol):
    """What the network looks like at the end of the log. Each read raises StoreUnavailable where it cannot be done.

    For the thread that writes the log, unless it is remote. What is not durable yet is shown as well: nobody may
    hear of it before it is.
    """

    def locker(self, locker_id: str) -> Locker | None: ...

    def lockers(self) -> Iterator[Locker]:
        """Each locker, by id in code point order."""

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None: ...

    def reservation(self, reservation_id: str) -> Reservation | None: ...


class Seen[FoundT](NamedTuple):
    """What a read has found."""

    found: FoundT
    position: int
    """It reflects all events up to there, at least."""


class Settlement(Protocol):
    """What has changed up to some place in the log, on its way from memory to the projection."""

    @property
    def reached(self) -> Cursor:
        """That place. The log must be durable up to it before `write`."""

    def write(self) -> None:
        """Keep it. For any thread.

        Raises:
            StoreUnavailable: the projection stays behind.
        """

    def confirm(self) -> None:
        """It was written. For the thread that writes the log."""

    def restore(self) -> None:
        """It was not written: it will be a part of the next one. For the thread that writes the log."""


class Store(Protocol):
    """A locker network's log and projection on one engine. One thread may write; any thread may read."""

    @property
    def log(self) -> EventLog: ...

    @property
    def remote_readers(self) -> int:
        """How many threads may read at a time, where it is on another machine that each step has to wait for.

        What they find is durable. 0 where it is on this one, and nothing has to wait but for a flush.
        """

    @property
    def queries(self) -> Queries:
        """Reads of all that is in the log."""

    def look[FoundT](self, query: Callable[[Queries], FoundT]) -> Seen[FoundT]:
        """What one of the reads finds, and what that reflects. Where reads are remote, that may be less than all.

        Raises:
            StoreUnavailable: it cannot be done.
        """

    def unit_of_work(self) -> UnitOfWork: ...

    @property
    def due(self) -> bool:
        """Whether so much has changed that to settle it is worth while; it is when `crowded`."""

    @property
    def crowded(self) -> bool:
        """Whether it holds more in memory than it should; settling lets go of some."""

    @property
    def behind(self) -> bool:
        """Whether so much waits to be settled that it should be settled before more is taken in."""

    def begin_settling(self) -> Settlement:
        """All that has changed up to the end of the log. One at a time; events may be taken in meanwhile."""

    def settle(self) -> None:
        """Flush the log, and bring the projection up to it.

        Raises:
            StoreUnavailable: the projection stays behind.
        """

    def fall_back(self) -> None:
        """Forget what is not durable and will never be, since the log can't be written any more.

        Raises:
            StoreUnavailable: what is durable cannot be read again.
        """

    def close(self) -> None: ...

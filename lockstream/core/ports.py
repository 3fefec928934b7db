"""Ports: the interfaces that the core and the services need, and that infrastructure implements."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import Event
from lockstream.core.entities.feed import LogPage
from lockstream.core.entities.listings import (
    Activity,
    CompartmentQuery,
    FaultQuery,
    HistoryQuery,
    ListedCompartment,
    LockerKey,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationQuery,
)
from lockstream.core.entities.log import Cursor, Moment, Record
from lockstream.core.entities.quarantine import (
    Discard,
    Entry,
    MalformedBody,
    QuarantineChanges,
    QuarantineQuery,
    QuarantineTotals,
)
from lockstream.core.entities.silence import Silence
from lockstream.core.entities.state import Compartment, Fault, Locker, LockerState, LockerTotals, Reservation
from lockstream.core.past import LastingRows
from lockstream.core.row_set import RowSet

type OnProgress = Callable[[int, int], object]
"""Progress callback: called with the position reached and the position at the end of the log."""


def ignore_progress(reached: int, end: int) -> None:
    """Progress callback that does nothing."""


class EventLog(Protocol):
    """The accepted events, in order, for ever."""

    @property
    def end(self) -> Cursor:
        """The end of the last record."""

    @property
    def durable(self) -> Cursor:
        """The end of the last record that is on disk."""

    @property
    def failure(self) -> str | None:
        """Why the log cannot be written until a restart, or None."""

    @property
    def unavailable_reason(self) -> str | None:
        """Why no event should be appended right now, or None. Reading it changes nothing."""

    def flush(self) -> None:
        """Flush all appended records to disk.

        Raises:
            StoreUnavailable: the flush failed, so records that were not durable before are not accepted.
        """

    def begin_flush(self, on_flushed: Callable[[], object]) -> None:
        """Start to flush all appended records, and return at once. One flush runs at a time.

        The running event loop calls `on_flushed` afterwards. `failure` tells whether the flush failed.
        """

    def read(self, after: Cursor) -> Iterator[Record]:
        """Yield each durable record after `after`; form, position and chain are checked.

        Raises:
            LogDamaged: a record is damaged.
        """


class Projection(Protocol):
    """Rows that follow a log."""

    @property
    def reached(self) -> Cursor:
        """The cursor up to which the log was applied."""

    def fetch(self, events: Sequence[Event]) -> RowSet:
        """Return a row set with all rows that `events` need.

        Raises:
            StoreUnavailable: the rows cannot be read.
        """

    def apply(self, rows: RowSet, events: Sequence[Event], moments: Sequence[Moment], end: Cursor) -> None:
        """Keep the rows that were saved in `rows`. The last of `events` ends at `end`.

        `moments` are the recorded times of these events: at least one, of the first event.
        """


class Batch(NamedTuple):
    """The state in which a batch of events is decided."""

    known: dict[str, int]
    """Positions of events that were accepted before, by event id."""

    rows: RowSet
    position: int
    """Position of the last record in the log."""


class UnitOfWork(Protocol):
    """One batch over log and rows: `commit` keeps all of it, and without `commit` nothing is kept. Used once."""

    def __enter__(self) -> Self:
        """Begin the batch.

        Raises:
            StoreUnavailable: no event can be written, so none is decided.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def begin(self, events: Sequence[Event]) -> Batch:
        """Find the known ids among `events`, and return a row set for them.

        Raises:
            StoreUnavailable: ids or rows cannot be read.
        """

    def load(self, events: Sequence[Event]) -> None:
        """Load all rows that `events` need into the row set.

        Raises:
            StoreUnavailable: the rows cannot be read.
        """

    def commit(self, accepted: Sequence[Event]) -> None:
        """Append `accepted` to the log, and keep the changed rows.

        The events are not durable yet: see `EventLog.flush`.

        Raises:
            StoreUnavailable: nothing was kept.
        """


class SubjectRows(Protocol):
    """Reads of the rows of one subject. Each method raises StoreUnavailable if the rows cannot be read."""

    def locker(self, locker_id: str) -> Locker | None: ...

    def locker_state(self, locker_id: str) -> LockerState | None: ...

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None: ...

    def reservation(self, reservation_id: str) -> Reservation | None: ...


class RowReads(SubjectRows, Protocol):
    """Reads of the current rows."""

    def lockers(self) -> Iterator[Locker]:
        """Yield each locker, sorted by id in code point order."""


class SubjectReads(SubjectRows, Protocol):
    """Reads of one subject at a position, which may be the present one, and of the events that made its state."""

    def records(self, positions: Iterable[int]) -> list[Record]:
        """Return the records at these positions, which the log holds."""

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        """Return the recorded times at these positions, in microseconds since 1970."""


class Reads(RowReads, SubjectReads, Protocol):
    """Reads of the current state, and of the events that made it."""

    def event(self, event_id: str) -> Record | None:
        """Return the record of the accepted event with this id, a UUID in lower case."""


class Listings(Protocol):
    """Lists of the state at one position, each page in the order of its keys.

    Each method raises StoreUnavailable if the lists cannot be read.
    """

    @property
    def position(self) -> int:
        """The position that the lists reflect."""

    def network(self) -> NetworkTotals: ...

    def activity(self, since: int, through: int) -> Activity:
        """Return the number of lockers with an event from position `since` on, and of deposits through `through`."""

    def lockers(self, query: LockerQuery, after: LockerKey | None, limit: int) -> list[LockerTotals]:
        """Return up to `limit` lockers behind the key `after`, in the order of the query.

        Raises:
            TooManyToSort: no index has this order, and too many lockers pass the filters.
        """

    def recent_position(self, rank: int, highest: int) -> int:
        """Return the last position of the locker with the `rank`-th latest event, and at most `highest`.

        `rank` counts from 1, and is at most the number of lockers.
        """

    def silent_counts(self, silence: Silence) -> tuple[int, int]:
        """Return the number of silent and of gone lockers. The cost grows with the number of lockers."""

    def compartments(self, query: CompartmentQuery, after: str | None, limit: int) -> list[ListedCompartment] | None:
        """Return up to `limit` compartments whose ids follow `after`, or None if the locker is unknown."""

    def reservations(self, query: ReservationQuery, after: int | str | None, limit: int) -> list[Reservation]:
        """Return up to `limit` reservations behind `after`, in the order of the query.

        `after` is the position of the last change or the id, as the order of the query demands. The result may be
        `PartialRows`.
        """

    def faults(self, query: FaultQuery, after: int | None, limit: int) -> list[Fault]:
        """Return up to `limit` faults behind the fault reported at position `after`, in the order of the query.

        The result may be `PartialRows`.
        """

    def history(self, query: HistoryQuery, after: int | None, limit: int) -> list[int] | None:
        """Return the positions of up to `limit` events behind position `after`, in the order of the query.

        None means that the locker, or the compartment, is unknown.
        """

    def reservation(self, reservation_id: str) -> Reservation | None: ...

    def lasting_rows(self, locker_id: str, compartment_id: str | None, position: int) -> LastingRows:
        """Return the rows of a locker, or of one of its compartments, whose events still mattered at `position`."""

    def event_counts(self, locker_id: str, position: int) -> dict[type[Event], int]:
        """Return the number of a locker's events of each type up to `position`."""

    def records(self, positions: Iterable[int]) -> list[Record]:
        """Return the records at these positions, none of which is after the position of the lists."""

    def search(self, prefix: str, limit: int) -> Matches:
        """Return up to `limit` ids of each kind that begin with `prefix`, which may be in upper case for event ids.

        If many event ids begin with the same 36 bits, a store may leave some of them out. A whole id is always found.
        """

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        """Return the recorded times at these positions, in microseconds since 1970. Position 0 has none."""

    def position_at(self, time: int) -> int:
        """Return the position of the last event that was recorded at `time` or before, or 0.

        If a clock was set back, some events have an earlier time than an event before them. The event with the latest
        time that is not after `time` then counts, and of several events with this time, the last one. If no event has
        a time after `time`, the result is the position of the last event.
        """

    def positions_at(self, times: Sequence[int]) -> list[int]:
        """Return the results of `position_at` for `times`, in the same order, by one read."""


class LogPages(Protocol):
    """The durable part of the log, page by page. For any thread."""

    def page(self, after: int, count: int) -> LogPage:
        """Return up to `count` lines after position `after`, each checked against the chain value before it.

        The page may have fewer lines, but at least one unless the log ends at `after` or before.

        Raises:
            StoreUnavailable: the log cannot be read, or a line was altered.
        """


class QuarantineStore(Protocol):
    """Keeps events that were not accepted. For one thread at a time, apart from `refused_ids`.

    Each method but `close` raises StoreUnavailable if the quarantine cannot be read or written.
    """

    @property
    def refused_ids(self) -> Set[str]:
        """Ids of all entries that leave once their event is accepted. Empty if the store finds such entries by itself.

        For any thread. The set shows all later changes.
        """

    @property
    def is_behind(self) -> bool:
        """Whether changes are in memory alone because the disk has failed. The next `write` tries again."""

    def write(self, changes: QuarantineChanges) -> int:
        """Merge new arrivals into the entries, drop what exceeds the bounds, and flush all of it to disk.

        Return how many entries and arrivals were dropped.

        Raises:
            StoreUnavailable: nothing was changed.
        """

    def entry(self, event_id: str) -> Entry | None:
        """Return the entry of an event id, a UUID in lower case."""

    def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        """Return up to `limit` entries behind the entry with number `after`, in the order of the query."""

    def totals(self, lockers: Lockers | None = None) -> QuarantineTotals:
        """Return the counts over the whole quarantine, or the counts of open and discarded entries of `lockers`."""

    def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        """Return up to `limit` malformed bodies with numbers below `after`, the newest first."""

    def discard(self, event_id: str, discard: Discard) -> Entry | None:
        """Mark the entry of an event id as discarded, on disk as well. Return the entry, or None if there is none."""

    def close(self) -> None: ...


class ReadResult[ValueT](NamedTuple):
    """A value and the position that it reflects."""

    value: ValueT
    position: int


class Store(Protocol):
    """A locker network's log and projection. One thread writes."""

    @property
    def log(self) -> EventLog: ...

    @property
    def reads(self) -> Reads:
        """Reads of all events in the log. Some of these may not be durable yet."""

    def unit_of_work(self) -> UnitOfWork: ...

    def close(self) -> None: ...

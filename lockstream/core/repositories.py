"""What the core needs of the outside."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor, Record
from lockstream.core.entities.state import Compartment, Locker, Reservation, Slice
from lockstream.core.keys import Keys


class EventLog(Protocol):
    """The truth: what was accepted, in order, for ever."""

    @property
    def end(self) -> Cursor:
        """Just behind the last durable record."""

    def require_writable(self) -> None:
        """Do nothing where events can be appended.

        Raises:
            StoreUnavailable: they cannot, since a write has failed.
        """

    def append(self, events: Sequence[Event]) -> None:
        """Make `events` durable, all of them, behind the last record.

        Raises:
            StoreUnavailable: none of them may be taken for accepted.
        """

    def read(self, after: Cursor) -> Iterator[Record]:
        """Each record from `after` to the end, its form, position and chain checked.

        Raises:
            LogDamaged: a record is not what was written.
        """


class Rows(Protocol):
    """The projection's rows as events see them."""

    def prefetch(self, events: Sequence[Event]) -> None:
        """Have at hand all that `events` can see. To be called before `load` and `recorded`."""

    def recorded(self, event_id: str) -> int | None:
        """Where an accepted event of this id stands in the log."""

    def load(self, keys: Keys) -> Slice: ...

    def save(self, before: Slice, after: Slice) -> None:
        """Keep what differs from `before` in `after`."""

    def record(self, event_id: str, position: int) -> None:
        """Remember that the event was accepted."""


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

    def prefetch(self, events: Sequence[Event]) -> None: ...

    def recorded(self, event_id: str) -> int | None: ...

    def load(self, keys: Keys) -> Slice: ...

    def save(self, before: Slice, after: Slice) -> None: ...

    def record(self, event: Event) -> int:
        """Take `event` into the batch; returns the position that it will have."""

    def commit(self) -> None:
        """Make the batch durable.

        Raises:
            StoreUnavailable: nothing of the batch was kept.
        """


class Queries(Protocol):
    """What the network looks like now. Each read raises StoreUnavailable where it cannot be done."""

    def locker(self, locker_id: str) -> Locker | None: ...

    def lockers(self) -> Iterator[Locker]:
        """Each locker, by id in code point order."""

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None: ...

    def reservation(self, reservation_id: str) -> Reservation | None: ...


class Store(Protocol):
    """A locker network's log and projection on one engine. One thread may write; any thread may read."""

    @property
    def log(self) -> EventLog: ...

    @property
    def queries(self) -> Queries:
        """Reads of what has been settled."""

    def unit_of_work(self) -> UnitOfWork: ...

    @property
    def due(self) -> bool:
        """Whether to `settle` is worth while; it is when `crowded`."""

    @property
    def crowded(self) -> bool:
        """Whether it holds more in memory than it should; `settle` lets go of some."""

    def settle(self) -> None:
        """Bring what `queries` shows up to the end of the log. For the thread that writes.

        Raises:
            StoreUnavailable: what `queries` shows stays behind.
        """

    def close(self) -> None: ...

"""One batch over a log and a row cache of this process: the log is written first, then the rows follow."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from lockstream.core.entities.events import Event, ReservationCreated
from lockstream.core.entities.log import Cursor, Moment, time_of
from lockstream.core.entities.state import Reservation
from lockstream.core.ports import Batch
from lockstream.core.row_set import RowSet
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.infrastructure.id_index.index import reservation_id_of
from lockstream.infrastructure.sqlite.row_cache import RowCache


class OwnLog(Protocol):
    """A log that only this process writes."""

    @property
    def end(self) -> Cursor: ...

    def check_writable(self) -> None:
        """Check that a batch could be appended. Raises StoreUnavailable if not."""

    def append(self, events: Sequence[Event], recorded_at: str) -> None:
        """Append events with this recorded time. Raises StoreUnavailable if none of them is accepted."""

    def event_ids(self, first: int, count: int) -> Mapping[str, int]:
        """Return the ids and positions of up to `count` events from position `first` on."""


class UnitOfWork:
    """One batch of events. Used once; without `commit`, nothing changes."""

    def __init__(self, log: OwnLog, cache: RowCache) -> None:
        self._log = log
        self._cache = cache
        self._uncommitted: RowSet | None = None

    def __enter__(self) -> Self:
        self._log.check_writable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._uncommitted:
            self._cache.discard(self._uncommitted)

    def begin(self, events: Sequence[Event]) -> Batch:
        """Find the known ids among `events`, and return a row set for them. Raises StoreUnavailable if that fails."""
        self._uncommitted = rows = self._cache.begin()
        return Batch(self._search(events), rows, self._log.end.position)

    def load(self, events: Sequence[Event]) -> None:
        """Load all rows that `events` need. Raises StoreUnavailable if they cannot be read."""
        self._cache.load(events)

    def commit(self, accepted: Sequence[Event]) -> None:
        """Append `accepted`, and keep the changed rows. Raises StoreUnavailable if nothing was kept."""
        if accepted and self._uncommitted:
            recorded_at, first = utc_now(), self._log.end.position + 1
            self._log.append(accepted, recorded_at)
            rows, self._uncommitted = self._uncommitted, None
            self._cache.apply(rows, accepted, [Moment(first, time_of(recorded_at))], self._log.end)

    def _search(self, events: Sequence[Event]) -> dict[str, int]:
        """Return the positions of those events that the log holds, by event id.

        The id index names blocks of the log that may hold an id, and the blocks are read. The same lookup in the index
        finds new reservations, whose rows are then not looked up.
        """
        ids = self._cache.ids
        event_ids = [event.event_id for event in events]
        names = [
            (reservation_id_of(event.payload.reservation_id), event.payload.reservation_id)
            for event in events
            if isinstance(event, ReservationCreated)
        ]
        candidates = ids.candidate_blocks([*event_ids, *(name for name, _ in names)])
        for name, key in names:
            if name not in ids.memtable and name not in candidates:
                self._cache.expect_new(Reservation, key)
        return ids.positions(event_ids, candidates, self._log.event_ids)

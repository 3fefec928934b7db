"""One batch over a log and a row cache of this process: the log is written first, then the rows follow."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor
from lockstream.core.ports import Batch
from lockstream.core.row_set import RowSet
from lockstream.infrastructure.id_index.index import BLOCK_POSITIONS
from lockstream.infrastructure.sqlite.row_cache import RowCache


class OwnLog(Protocol):
    """A log that only this process writes."""

    @property
    def end(self) -> Cursor: ...

    def check_writable(self) -> None:
        """Check that a batch could be appended. Raises StoreUnavailable if not."""

    def append(self, events: Sequence[Event]) -> None:
        """Append events. Raises StoreUnavailable if none of them is accepted."""

    def event_ids(self, first: int, count: int) -> Mapping[str, int]:
        """Return the ids and positions of up to `count` events from position `first` on."""


class UnitOfWork:
    """A batch. Used once; without `commit` nothing has changed."""

    def __init__(self, log: OwnLog, cache: RowCache) -> None:
        self._log = log
        self._cache = cache
        self._rows = RowSet({}, {}, {})

    def __enter__(self) -> Self:
        self._log.check_writable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def fetch(self, events: Sequence[Event]) -> Batch:
        """Fetch what is needed to decide `events`. Raises StoreUnavailable if it cannot be read."""
        self._rows = self._cache.fetch(events)
        return Batch(self._known([event.event_id for event in events]), self._rows, self._log.end.position)

    def commit(self, accepted: Sequence[Event]) -> None:
        """Append `accepted` and keep what was saved. Raises StoreUnavailable if nothing was kept."""
        if accepted:
            self._log.append(accepted)
            self._cache.apply(self._rows, accepted, self._log.end)

    def _known(self, event_ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those events that the log holds. The id index names blocks; the log decides."""
        memtable = self._cache.ids.memtable
        known = {event_id: memtable[event_id] for event_id in event_ids if event_id in memtable}
        for event_id, blocks in self._cache.ids.candidate_blocks(event_ids).items():
            for first in blocks:
                if (position := self._log.event_ids(first, BLOCK_POSITIONS).get(event_id)) is not None:
                    known[event_id] = position
        return known

"""One batch over log and rows: the log is written first, then the rows follow; without a commit neither has changed."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from lockstream.core.entities.events import Event
from lockstream.core.errors import StoreUnavailable
from lockstream.core.keys import Keys
from lockstream.core.repositories import OwnLog
from lockstream.infrastructure.known_keys import BLOCK
from lockstream.infrastructure.working_set import WorkingSet


class UnitOfWork:
    """To be used once, in a `with`; what was not committed is undone at its end."""

    def __init__(self, log: OwnLog, rows: WorkingSet) -> None:
        self._log = log
        self._rows = rows
        self._end = log.end.position
        self._accepted: list[Event] = []
        self._recorded: dict[str, int] = {}
        # Nothing stands between the one who decides and the rows.
        self.recorded = self._recorded.get
        self.load = rows.load
        self.save = rows.save

    def __enter__(self) -> Self:
        if obstacle := self._log.obstacle:
            raise StoreUnavailable(obstacle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.undo()

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        self._rows.prefetch(events, wanted)
        self._recorded.update(self._rows.recorded([event.event_id for event in events]))
        places = self._rows.places
        for event in events if places else ():
            for first in places.get(event.event_id, ()):
                if (position := self._log.ids(first, BLOCK).get(event.event_id)) is not None:
                    self._recorded[event.event_id] = position

    def record(self, event: Event) -> int:
        self._accepted.append(event)
        self._end += 1
        self._recorded[event.event_id] = self._end
        return self._end

    def commit(self) -> None:
        if self._accepted:
            self._rows.record([event.event_id for event in self._accepted], self._log.end.position + 1)
            self._log.append(self._accepted)
            self._rows.advance(self._log.end)

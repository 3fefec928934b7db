"""Record a simulated past: a new log whose recorded times are the simulated times of arrival.

A server records posted events at the time of their request, so a posted simulation has no past. The new log has one:
for past states, rates and overdue parcels.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import SECOND, recorded_at_of
from lockstream.core.errors import MalformedEvent, StartRefused
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.core.rules import decide
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.sqlite.row_cache import NullRowStore, RowCache
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork


class Arrived(Struct, frozen=True, gc=False):
    """The texts of events that arrive at the same time."""

    time: int
    """In seconds since 1970-01-01, UTC."""

    texts: Sequence[bytes]


class HistoryCounts(Struct):
    """The number of events by outcome, and the texts of refused ones."""

    accepted: int
    duplicate: int
    refused: list[bytes]
    still_refused: list[bytes]
    """The texts of events that the final state refuses, too."""


def record_history(path: Path, arrivals: Iterable[Arrived]) -> HistoryCounts:
    """Decide events in the order of their arrival, and write the accepted ones to a new log.

    The state is kept in memory. The first start over the log builds its projection.

    Raises:
        StartRefused: `path` exists, or cannot be created.
        StoreUnavailable: the log cannot be written. No part of it is left.
    """
    if path.exists():
        raise StartRefused(f"{path} exists, and a simulation overwrites nothing. Name a file that does not exist.")
    counts = HistoryCounts(0, 0, [], [])
    with closing(_PastLog(path)) as log, _removed_on_failure(path):
        cache = RowCache(NullRowStore())
        for arrived in arrivals:
            log.now = arrived.time
            _record(arrived.texts, UnitOfWork(log, cache), counts)
        log.flush()
        counts.still_refused = _still_refused(counts.refused, UnitOfWork(log, cache))
    return counts


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    """Remove a file if the block fails, also by Ctrl-C. A log that ends too early would look complete."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class _PastLog(LogWriter):
    """A log that records events at the time `now`, in seconds since 1970-01-01, UTC."""

    now = 0

    def append(self, events: Sequence[Event], recorded_at: str) -> None:  # `recorded_at` is the present, and ignored
        super().append(events, recorded_at_of(self.now * SECOND))


def _still_refused(texts: Sequence[bytes], uow: UnitOfWork) -> list[bytes]:
    """Return the texts of events that the final state refuses, too. The state and the log stay unchanged."""
    decoded = zip(texts, decode_events(texts), strict=True)
    events = [(text, event) for text, event in decoded if not isinstance(event, MalformedEvent)]
    with uow:
        known, rows, _ = uow.begin([event for _, event in events])
        uow.load([event for _, event in events])
        return [text for text, event in events if event.event_id not in known and decide(rows, event)]


def _record(texts: Sequence[bytes], uow: UnitOfWork, counts: HistoryCounts) -> None:
    events: list[tuple[bytes, Event]] = []
    for text, event in zip(texts, decode_events(texts), strict=True):
        if isinstance(event, MalformedEvent):
            counts.refused.append(text)
        else:
            events.append((text, event))
    for (text, _), outcome in zip(events, ingest([event for _, event in events], uow), strict=True):
        if isinstance(outcome, Accepted):
            counts.accepted += 1
        elif isinstance(outcome, Duplicate):
            counts.duplicate += 1
        else:
            counts.refused.append(text)

"""Bring a projection up to the end of its log. Startup, recovery and rebuild all call this function."""

from collections.abc import Callable, Iterable, Sequence
from itertools import batched

from lockstream.core.entities.log import Moment, Record, time_of
from lockstream.core.evolve import evolve
from lockstream.core.ports import Projection
from lockstream.core.row_set import RowSet

CHUNK_RECORDS = 1_000
"""Records whose rows are fetched together: enough to make fetching cheap, and few enough to take little memory."""


def catch_up(
    projection: Projection,
    records: Iterable[Record],
    after_chunk: Callable[[], object] = lambda: None,
    examine: Callable[[Record, RowSet], object] | None = None,
) -> None:
    """Apply `records`, which follow the cursor that `projection` has reached.

    `after_chunk` is called after every chunk. `examine` is called with each record, and with the rows as they are
    before that record is applied.

    Raises:
        LogDamaged: a record is damaged. Drop `projection`, which may hold a part of a chunk.
        InconsistentHistory: a record could never have been accepted. Drop `projection`.
        StoreUnavailable: rows cannot be fetched. Drop `projection`.
    """
    for chunk in batched(records, CHUNK_RECORDS):
        events = [record.event for record in chunk]
        rows = projection.fetch(events)
        for record in chunk:
            if examine:
                examine(record, rows)
            rows.save(evolve(rows, record.event, record.end.position))
        projection.apply(rows, events, _moments(chunk), chunk[-1].end)
        after_chunk()


def _moments(records: Sequence[Record]) -> list[Moment]:
    """Return a moment for each change of the recorded time."""
    moments: list[Moment] = []
    recorded_at = None
    for record in records:
        if record.recorded_at != recorded_at:
            recorded_at = record.recorded_at
            moments.append(Moment(record.end.position, time_of(recorded_at)))
    return moments

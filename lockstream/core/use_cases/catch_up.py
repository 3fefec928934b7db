"""Bring a projection up to its log: start-up, crash recovery and rebuild are this one function."""

from collections.abc import Callable, Iterable
from itertools import batched

from lockstream.core.entities.log import Cursor, Record
from lockstream.core.entities.state import Slice
from lockstream.core.evolve import evolve
from lockstream.core.keys import keys
from lockstream.core.repositories import Projection

CHUNK = 1_000
"""Records whose rows are fetched together: many enough that fetching costs little, few enough to fit in any memory."""


def catch_up(
    projection: Projection,
    records: Iterable[Record],
    watch: Callable[[Cursor], object] = lambda reached: None,
    examine: Callable[[Record, Slice], object] = lambda record, before: None,
) -> None:
    """Apply `records`, which follow what `projection` has reached.

    `watch` is told how far it has come, and `examine` sees each record with what it finds, before it is applied.

    Raises:
        LogDamaged: a record is not what was written. `projection` holds part of a chunk then; it must be dropped.
        HistoryImpossible: a record could not have been accepted; the same holds.
        StoreUnavailable: rows cannot be fetched; the same holds.
    """
    for chunk in batched(records, CHUNK):
        events = [record.event for record in chunk]
        wanted = [keys(event) for event in events]
        projection.prefetch(events, wanted)
        for record, key in zip(chunk, wanted, strict=True):
            before = projection.load(key)
            examine(record, before)
            projection.save(before, evolve(before, record.event))
        projection.record([event.event_id for event in events], chunk[0].end.position)
        projection.advance(chunk[-1].end)
        watch(chunk[-1].end)

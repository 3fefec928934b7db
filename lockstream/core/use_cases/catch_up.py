"""Bring a projection up to its log. Startup, recovery and rebuild are this one function."""

from collections.abc import Callable, Iterable
from itertools import batched

from lockstream.core.entities.log import Record
from lockstream.core.entities.state import Slice
from lockstream.core.evolve import evolve
from lockstream.core.ports import Projection, Rows
from lockstream.core.read_set import read_set_of

CHUNK_RECORDS = 1_000
"""Records whose rows are fetched together: enough to make fetching cheap, few enough for any memory."""


def catch_up[RowsT: Rows](
    projection: Projection[RowsT],
    records: Iterable[Record],
    after_chunk: Callable[[], object] = lambda: None,
    examine: Callable[[Record, Slice], object] = lambda record, before: None,
) -> None:
    """Apply `records`, which follow the cursor that `projection` has reached.

    `after_chunk` is called after every chunk. `examine` is called with each record, and with the rows it finds before
    it is applied.

    Raises:
        LogDamaged: a record is not what was written. Drop `projection`: it holds a part of a chunk.
        InconsistentHistory: a record could never have been accepted. Drop `projection`.
        StoreUnavailable: rows cannot be fetched. Drop `projection`.
    """
    for chunk in batched(records, CHUNK_RECORDS):
        read_sets = [read_set_of(record.event) for record in chunk]
        rows = projection.fetch(read_sets)
        for record, read_set in zip(chunk, read_sets, strict=True):
            before = rows.load(read_set)
            examine(record, before)
            rows.save(before, evolve(before, record.event))
        projection.apply(rows, [record.event.event_id for record in chunk], chunk[-1].end)
        after_chunk()

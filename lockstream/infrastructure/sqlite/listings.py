"""Lists of the projection in SQLite: all statements of one list are one read transaction.

A read transaction takes no lock that a checkpoint waits for. While one is open, SQLite's write-ahead log grows instead
of being used again from its start.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, select

from lockstream.core.entities.log import Cursor, Record
from lockstream.core.ports import Listings, ReadResult
from lockstream.infrastructure.rows.listing_statements import ListingStatements
from lockstream.infrastructure.rows.listings import SqlListings, Values
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.statements.parts import LIMIT, MIN_SEVERITY
from lockstream.infrastructure.rows.tables import network, open_fault_counts, progress
from lockstream.infrastructure.sqlite.database import (
    CORRUPT_DATA_ERRORS,
    DATABASE_ERRORS,
    DIALECT,
    integer_list,
    integers,
    reading_engine,
    rows_in_one_step,
    snapshot,
)
from lockstream.infrastructure.sqlite.event_search import EventSearch, RunFileMissing

SNAPSHOTS = 3
"""Snapshots that one list may need. A compaction removes a run file only after the projection names another one."""

_TOTALS = select(network)
_OPEN_FAULTS = (
    select(open_fault_counts)
    .where(open_fault_counts.c.severity >= MIN_SEVERITY)
    .order_by(open_fault_counts.c.severity.desc())
    .limit(LIMIT)
)


_REACHED = Prepared(select(*progress.c["position", "offset", "chain"]), DIALECT)


@cache
def _statements() -> ListingStatements:
    """Return the statements of all lists, which all stores of a process share."""
    return ListingStatements(DIALECT, integers("positions"), _TOTALS, _OPEN_FAULTS)


class ReadableLog(Protocol):
    """Reads the log of a projection up to a cursor that the projection has reached. For any thread.

    Each method but `close` raises StoreUnavailable if the log cannot be read.
    """

    def records(self, positions: Iterable[int], end: Cursor) -> list[Record]:
        """Return the records at these positions."""

    def event_ids(self, first: int, count: int, end: Cursor) -> Mapping[str, int]:
        """Return the ids and positions of up to `count` events from position `first` on, none of them after `end`."""

    def close(self) -> None: ...


class SqliteListings:
    """Lists of the projection at a path, on connections of their own. For any thread."""

    def __init__(self, path: Path, log: ReadableLog) -> None:
        """`log` is the log of the projection, and is closed together with the lists."""
        self._log = log
        self._engine = reading_engine(path)
        self._statements = _statements()
        self._events = EventSearch(path, log.event_ids)

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list, and return its value with the position that the projection has reached.

        The query is executed again if the run file of its snapshot was removed meanwhile.

        Raises:
            StoreUnavailable: the projection cannot be read.
        """
        for _ in range(SNAPSHOTS - 1):
            with suppress(RunFileMissing):
                return self._list_in_snapshot(query)
        return self._list_in_snapshot(query)

    def close(self) -> None:
        self._engine.dispose()
        self._log.close()

    def _list_in_snapshot[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        try:
            with snapshot(self._engine) as connection:
                return self._list(query, connection)
        except DATABASE_ERRORS as error:
            raise projection_unavailable("read", error) from error

    def _list[ValueT](self, query: Callable[[Listings], ValueT], connection: Connection) -> ReadResult[ValueT]:
        def execute(statement: Prepared, values: Values) -> list[tuple[Any, ...]]:
            try:
                return rows_in_one_step(connection.connection, statement, values)
            except CORRUPT_DATA_ERRORS as error:
                raise projection_unavailable("read", error) from error

        end = _cursor_in(execute(_REACHED, {}))
        read_records, find_events = partial(self._log.records, end=end), partial(self._events.find, connection)
        listings = SqlListings(self._statements, execute, end.position, read_records, find_events, integer_list)
        return ReadResult(query(listings), end.position)


def _cursor_in(found: list[tuple[Any, ...]]) -> Cursor:
    """Return the cursor in `found`, which is its only row. A damaged value makes the lists unavailable."""
    try:
        [(position, offset, chain)] = msgspec.convert(found, list[tuple[int, int, str]])
    except VALUE_ERRORS as error:
        raise projection_unavailable("read", error) from error
    return Cursor(position, offset, chain)

"""Lists of the projection in SQLite: all statements of one list are one read transaction.

A read transaction takes no lock that a checkpoint waits for. While it lasts, SQLite's write-ahead log grows instead of
being used again from its start.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from lockstream.core.entities.log import Cursor
from lockstream.core.ports import Listings, ReadResult
from lockstream.infrastructure.file_log.reader import LogReader
from lockstream.infrastructure.rows.listing_statements import ListingStatements
from lockstream.infrastructure.rows.listings import SqlListings, Values
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.tables import progress
from lockstream.infrastructure.sqlite.database import (
    CORRUPT_DATA_ERRORS,
    DATABASE_ERRORS,
    integer_list,
    integers,
    reading_engine,
    snapshot,
)


class SqliteListings:
    """Lists of the projection at a path, on connections of their own. For any thread."""

    def __init__(self, path: Path, log: LogReader) -> None:
        """`log` is closed together with the lists."""
        self._log = log
        self._engine = reading_engine(path)
        self._statements = ListingStatements(self._engine.dialect, integers("positions"), has_counts=True)
        self._reached = Prepared(select(*progress.c["position", "offset", "chain"]), self._engine.dialect)

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list, and return its value with the position that the projection has reached.

        Raises:
            StoreUnavailable: the projection cannot be read.
        """
        try:
            with snapshot(self._engine) as connection:
                return self._list(query, connection)
        except DATABASE_ERRORS as error:
            raise projection_unavailable("read", error) from error

    def close(self) -> None:
        self._engine.dispose()
        self._log.close()

    def _list[ValueT](self, query: Callable[[Listings], ValueT], connection: Connection) -> ReadResult[ValueT]:
        def execute(statement: Prepared, values: Values) -> list[tuple[Any, ...]]:
            try:
                return list(statement.rows(connection.connection, values))
            except CORRUPT_DATA_ERRORS as error:
                raise projection_unavailable("read", error) from error

        end = _cursor_in(execute(self._reached, {}))
        read_records = partial(self._log.records, end=end)
        listings = SqlListings(self._statements, execute, end.position, read_records, integer_list)
        return ReadResult(query(listings), end.position)


def _cursor_in(found: list[tuple[Any, ...]]) -> Cursor:
    """Return the cursor that is the only row. A damaged value makes the lists unavailable."""
    try:
        [(position, offset, chain)] = msgspec.convert(found, list[tuple[int, int, str]])
    except VALUE_ERRORS as error:
        raise projection_unavailable("read", error) from error
    return Cursor(position, offset, chain)

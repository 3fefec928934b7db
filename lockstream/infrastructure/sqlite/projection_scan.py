"""A scan of all rows of a projection in SQLite, for `verify`. Rows are fetched one by one, and none is kept."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from lockstream.core.entities.state import Row
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.tables import TABLES, in_key_order, moments, network, open_fault_counts, progress
from lockstream.infrastructure.sqlite.projection import SqliteReads


class ProjectionScan:
    """Iterators over the rows of a projection, as one connection sees them. Each raises one of DATABASE_ERRORS."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.reads = SqliteReads(self._execute)

    def rows(self, row_class: type[Row]) -> Iterator[tuple[Any, ...]]:
        """Yield all rows of a class, sorted by key."""
        return self._connection.execute(str(in_key_order(TABLES[row_class])))

    def moments(self) -> Iterator[tuple[Any, ...]]:
        """Yield the recorded times, by position."""
        return self._connection.execute(str(in_key_order(moments)))

    def totals(self) -> Iterator[tuple[int, ...]]:
        """Yield the position and the totals of the network: one row, unless a program has changed the table."""
        return self._connection.execute(str(select(progress.c.position, *network.c)))

    def open_faults(self) -> Iterator[tuple[int, int]]:
        """Yield the number of open faults for each severity that has occurred."""
        return self._connection.execute(str(select(open_fault_counts)))

    def _execute(self, statement: Prepared, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        return self._connection.execute(statement.text, statement.bind(values))

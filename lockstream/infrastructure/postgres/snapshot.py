"""A snapshot of the projection in PostgreSQL, for `verify`. Nodes go on to accept events meanwhile.

A snapshot should be closed soon. While it is open, PostgreSQL keeps every former version of changed rows.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any, Self

import psycopg
from sqlalchemy import select

from lockstream.core.entities.state import Row
from lockstream.infrastructure.postgres.connection import DIALECT, Database, unavailable
from lockstream.infrastructure.postgres.reads import STATEMENTS
from lockstream.infrastructure.postgres.statements import HEAD, cursor_of
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.reads import SqlReads
from lockstream.infrastructure.rows.tables import (
    PROJECTION_TABLES,
    TABLES,
    in_key_order,
    moments,
    network_totals,
    open_fault_totals,
)

FETCHED_ROWS = 5_000
"""Rows that are fetched from the server at a time."""

_TABLES = f"SELECT {', '.join(f"to_regclass('{table.name}')::oid" for table in PROJECTION_TABLES)}"


class Snapshot:
    """A transaction in which all reads see the same moment. To be used in a `with` statement."""

    def __init__(self, database: Database) -> None:
        self._name = database.name
        self._database = database
        self.reads = SqlReads(STATEMENTS, self._execute)

    def __enter__(self) -> Self:
        try:
            with ExitStack() as on_failure:
                self._connection = on_failure.enter_context(closing(self._database.connect()))
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._connection.execute("SET LOCAL statement_timeout = 0")
                self._connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                self.end = cursor_of(self._connection.execute(HEAD.text).fetchall())
                self._tables = self._table_ids()
                on_failure.pop_all()
        except psycopg.Error as error:
            raise unavailable(self._name, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def was_replaced(self) -> bool:
        """Whether a rebuild has swapped the tables since. The snapshot cannot see the rows of the new tables."""
        return self._table_ids() != self._tables

    def rows(self, row_class: type[Row]) -> Iterator[tuple[Any, ...]]:
        """Yield all rows of a class as the driver returns them, sorted by key."""
        return self._execute(Prepared(in_key_order(TABLES[row_class]), DIALECT), {})

    def moments(self) -> Iterator[tuple[Any, ...]]:
        """Yield the recorded times, by position."""
        return self._execute(Prepared(in_key_order(moments), DIALECT), {})

    def totals(self) -> Iterator[tuple[int, ...]]:
        """Yield the position and the totals of the network: one row, unless a program has changed the table."""
        return self._execute(Prepared(select(network_totals), DIALECT), {})

    def open_faults(self) -> Iterator[tuple[int, int]]:
        """Yield the number of open faults for each severity that has occurred."""
        return self._execute(Prepared(select(*open_fault_totals.c["severity", "count"]), DIALECT), {})

    def _table_ids(self) -> list[tuple[Any, ...]]:
        return self._connection.execute(_TABLES).fetchall()

    def _execute(self, statement: Prepared, values: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor("verification") as cursor:
            cursor.itersize = FETCHED_ROWS
            cursor.execute(statement.text, statement.bind(values))
            yield from cursor

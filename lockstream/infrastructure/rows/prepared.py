"""A SELECT statement compiled once and given to the driver directly.

SQLAlchemy takes 65 µs for each execution of a statement that SQLite executes in 8 µs, and 250 µs to compile it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Dialect, PoolProxiedConnection, SelectBase


class Prepared:
    """A compiled SELECT. May be used by any thread."""

    def __init__(self, statement: SelectBase, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self.columns = len(statement.selected_columns)
        self._names = compiled.positiontup
        self._constants = compiled.params

    def bind(self, values: Mapping[str, Any]) -> list[Any] | dict[str, Any]:
        """Return the parameters for the driver: a list or a dict, as the dialect needs it."""
        bound = self._constants | values
        return bound if self._names is None else [bound[name] for name in self._names]

    def rows(self, connection: PoolProxiedConnection, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """Execute the statement on a driver's connection, and yield its rows."""
        cursor = connection.cursor()
        try:
            cursor.execute(self.text, self.bind(values))
            yield from cursor.fetchall()
        finally:
            cursor.close()

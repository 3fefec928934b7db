"""The projection as it is at one moment, while nodes go on.

Not for long: as long as somebody looks at that moment, PostgreSQL keeps each former version of the rows that turns
change.
"""

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from lockstream.infrastructure.engines import Prepared
from lockstream.infrastructure.postgres.connecting import DIALECT, Database, unavailable
from lockstream.infrastructure.postgres.schema import HEAD, cursor_of
from lockstream.infrastructure.queries import SqlQueries
from lockstream.infrastructure.tables import KEPT_APART

_TABLES = f"SELECT {', '.join(f"to_regclass('{table.name}')::oid" for table in KEPT_APART)}"


class Snapshot:
    """To be used in a `with`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=database.connect_for_sqlalchemy,
            poolclass=NullPool,
            isolation_level="REPEATABLE READ",
        )
        self.queries = SqlQueries(DIALECT, self._find)

    def __enter__(self) -> Self:
        try:
            self.connection = self._engine.connect()
            self.connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            self.connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            self.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            self.end = cursor_of(list(self._execute(HEAD.text, None)))
            self._found = self._tables()
        except SQLAlchemyError as error:
            raise unavailable(self._database.name, getattr(error, "orig", None) or error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(SQLAlchemyError):
            self.connection.close()
        self._engine.dispose()

    @property
    def replaced(self) -> bool:
        """Whether a rebuild has put other tables in the place of those of that moment, whose rows cannot be seen."""
        return self._tables() != self._found

    def _tables(self) -> list[tuple[Any, ...]]:
        return list(self._execute(_TABLES, None))

    def _find(self, statement: Prepared, values: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        return self._execute(statement.text, statement.bound(values))

    def _execute(self, text: str, values: Any) -> Iterator[tuple[Any, ...]]:
        return (tuple(row) for row in self.connection.exec_driver_sql(text, values))

"""Log and projection as they are at one moment, while nodes go on."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from lockstream.core.entities.log import Cursor, Record
from lockstream.infrastructure.engines import Prepared
from lockstream.infrastructure.postgres.connecting import DIALECT, Database, unavailable
from lockstream.infrastructure.postgres.log import PAGE_OF_LOG, pages
from lockstream.infrastructure.postgres.schema import HEAD
from lockstream.infrastructure.queries import SqlQueries


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
            found = self.connection.exec_driver_sql(HEAD.text).one()
        except SQLAlchemyError as error:
            raise unavailable(self._database.name, getattr(error, "orig", None) or error) from error
        self.end = Cursor(*found)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        self._engine.dispose()

    def read(self, after: Cursor) -> Iterator[Record]:
        """Each record behind `after`.

        Raises:
            LogDamaged: one is not what was written.
        """
        return pages(lambda values: list(self._execute(PAGE_OF_LOG, values)), after, None, self._database.name)

    def _find(self, statement: Prepared, values: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        return self._execute(statement.text, statement.bound(values))

    def _execute(self, text: str, values: Any) -> Iterator[tuple[Any, ...]]:
        return (tuple(row) for row in self.connection.exec_driver_sql(text, values))

"""The projection in a database: rows by key, and how far along the log they are, in one transaction."""

from collections.abc import Collection, Iterable
from typing import Self

import msgspec
from msgspec.structs import asdict
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Key, Row
from lockstream.core.errors import ProjectionUnfit, StoreUnavailable
from lockstream.infrastructure.engines import select_by_keys, upsert
from lockstream.infrastructure.tables import TABLES, fingerprint, metadata, progress
from lockstream.infrastructure.working_set import Rows

_SELECTS = {kind: select_by_keys(table) for kind, table in TABLES.items()}
_UPSERTS = {kind: upsert(table) for kind, table in TABLES.items()}


class SqlProjection:
    """The backing of a working set. It holds one connection, for one thread at a time."""

    def __init__(self, connection: Connection, reached: Cursor) -> None:
        self.reached = reached
        self._connection = connection

    @classmethod
    def create(cls, engine: Engine) -> Self:
        """Make the tables in an empty database."""
        connection = engine.connect()
        metadata.create_all(connection)
        connection.commit()
        projection = cls(connection, START)
        projection.write({}, START)
        return projection

    @classmethod
    def open(cls, engine: Engine) -> Self:
        """Open the projection that `engine` leads to.

        Raises:
            ProjectionUnfit: what is there is damaged, or of another schema.
        """
        try:
            connection = engine.connect()
        except DBAPIError as error:
            raise ProjectionUnfit(f"It cannot be opened ({error.orig}).") from error
        try:
            reached = read_progress(connection)
            connection.rollback()
        except ProjectionUnfit:
            connection.close()
            raise
        return cls(connection, reached)

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        wanted = [[key] if isinstance(key, str) else key for key in keys]
        try:
            found = self._connection.execute(_SELECTS[kind], {"keys": msgspec.json.encode(wanted).decode()})
            rows = [kind(*row) for row in found]
            self._connection.rollback()
        except DBAPIError as error:
            raise unavailable("read", error) from error
        return rows

    def write(self, rows: Rows, reached: Cursor) -> None:
        try:
            with self._connection.begin():
                for kind, changed in rows.items():
                    if changed:
                        self._connection.execute(_UPSERTS[kind], [asdict(row) for row in changed])
                self._connection.execute(delete(progress))
                self._connection.execute(insert(progress), {"schema": fingerprint(), **asdict(reached)})
        except DBAPIError as error:
            raise unavailable("written", error) from error
        self.reached = reached

    def close(self) -> None:
        self._connection.close()


def read_progress(connection: Connection) -> Cursor:
    """How far along the log a projection is.

    Raises:
        ProjectionUnfit: there is none of this schema.
    """
    try:
        schema, *reached = connection.execute(select(progress)).one()
    except DBAPIError as error:
        raise ProjectionUnfit(f"It cannot be read ({error.orig}).") from error
    except (NoResultFound, MultipleResultsFound) as error:
        raise ProjectionUnfit("It does not say how far it has come.") from error
    if schema != fingerprint():
        raise ProjectionUnfit("It is of another version of Lockstream.")
    return Cursor(*reached)


def unavailable(verb: str, error: DBAPIError) -> StoreUnavailable:
    """What to raise when the database could not `verb`."""
    return StoreUnavailable(
        f"The projection could not be {verb} ({getattr(error, 'orig', error)}). The log is not touched by this. Make "
        "sure that the disk has room and works, then restart; if that is not enough, `lockstream rebuild` makes the "
        "projection anew."
    )

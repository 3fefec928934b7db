"""The projection in a database: rows by key, and how far along the log they are, in one transaction."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, Self

import msgspec
import sqlalchemy
from msgspec import Meta
from msgspec.structs import asdict, astuple
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Key, Row
from lockstream.core.errors import ProjectionUnfit, StoreUnavailable
from lockstream.infrastructure.engines import select_by_keys, upsert
from lockstream.infrastructure.tables import TABLES, fingerprint, metadata, progress
from lockstream.infrastructure.working_set import Rows

BROKEN = (SQLAlchemyError, msgspec.MsgspecError, LookupError, TypeError, ValueError)
"""What reading a damaged database raises: its own errors, and those of values that are none of their column's."""

type _Natural = Annotated[int, Meta(ge=0)]
type _Chain = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

_SELECTS = {kind: select_by_keys(table) for kind, table in TABLES.items()}
_UPSERTS = {kind: upsert(table) for kind, table in TABLES.items()}


class SqlProjection:
    """The backing of a working set. It holds one connection, for one thread at a time."""

    def __init__(self, connection: Connection, reached: Cursor) -> None:
        self.reached = reached
        self._connection = connection

    @classmethod
    def create(cls, engine: Engine) -> Self:
        """Make the tables in an empty database.

        Raises:
            StoreUnavailable: the disk has no room, or does not work.
        """
        try:
            with engine.begin() as connection:
                metadata.create_all(connection)
            projection = cls(engine.connect(), START)
        except SQLAlchemyError as error:
            raise unavailable("made", error) from error
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
        except BROKEN as error:
            raise ProjectionUnfit(f"It cannot be opened ({reason(error)}).") from error
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
            with self._connection.begin():
                found = self._connection.execute(_SELECTS[kind], {"keys": msgspec.json.encode(wanted).decode()})
                return [to_row(kind, row) for row in found]
        except BROKEN as error:
            raise unavailable("read", error) from error

    def write(self, rows: Rows, reached: Cursor) -> None:
        try:
            with self._connection.begin():
                for kind, changed in rows.items():
                    if changed:
                        given = msgspec.json.encode([astuple(row) for row in changed])
                        self._connection.execute(_UPSERTS[kind], {"rows": given.decode()})
                self._connection.execute(delete(progress))
                self._connection.execute(insert(progress), {"schema": fingerprint(), **asdict(reached)})
        except SQLAlchemyError as error:
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
        schema, *values = connection.execute(select(progress)).one()
        reached = msgspec.convert(values, tuple[_Natural, _Natural, _Chain])
    except BROKEN as error:
        raise ProjectionUnfit(f"It cannot be read ({reason(error)}).") from error
    if schema != fingerprint():
        raise ProjectionUnfit("It is of another version of Lockstream.")
    return Cursor(*reached)


def to_row[RowT: Row](kind: type[RowT], found: sqlalchemy.Row[*tuple[Any, ...]]) -> RowT:
    """Make a row of what was found; a value that is none of its column's is one of `BROKEN`."""
    return msgspec.convert(dict(zip(kind.__struct_fields__, found, strict=True)), kind)


def reason(error: Exception) -> str:
    """What the database said, without the statement that it said it of."""
    return str(getattr(error, "orig", error))


def unavailable(verb: str, error: Exception) -> StoreUnavailable:
    """What to raise when the database could not `verb`."""
    return StoreUnavailable(
        f"The projection could not be {verb} ({reason(error)}). The log is not touched by this. Make "
        "sure that the disk has room and works, then restart; if that is not enough, `lockstream rebuild` makes the "
        "projection anew."
    )

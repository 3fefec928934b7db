"""The projection in a database: rows by key, and how far along the log they are, in one transaction."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple
from sqlalchemy import Boolean, Connection, Engine, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from lockstream.core.entities.log import START, Cursor
from lockstream.core.entities.state import Key, Row
from lockstream.core.errors import ProjectionUnfit, StoreUnavailable
from lockstream.infrastructure.backing import Changes
from lockstream.infrastructure.engines import DRIVER_ERRORS, Prepared, select_by_keys, upsert, wait_for_disk
from lockstream.infrastructure.known_keys import Recent
from lockstream.infrastructure.tables import TABLES, fingerprint, metadata, progress, recent_keys

BROKEN = (SQLAlchemyError, *DRIVER_ERRORS, msgspec.MsgspecError, LookupError, TypeError, ValueError)
"""What reading a damaged database raises: its own errors, and those of values that are none of their column's."""

type _Natural = Annotated[int, Meta(ge=0)]
type _Chain = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

_BOOLEANS: dict[type, list[str]] = {
    kind: [column.name for column in table.columns if isinstance(column.type, Boolean)]
    for kind, table in TABLES.items()
}
_UPSERTS = {kind: upsert(table) for kind, table in TABLES.items()}
_recents = msgspec.msgpack.Decoder(Recent)


class KeptRun(Struct, frozen=True):
    """The file that holds the keys that were given up to a position; at 0 there is none."""

    position: int = 0
    checksum: int = 0


class SqlProjection:
    """The backing of a working set. It may be read by one thread and written by another."""

    def __init__(self, reading: Engine, writing: Connection, reached: Cursor, run: KeptRun) -> None:
        self.reached = reached
        self.run = run
        """To be kept with the next changes; what was recent up to its position need not be kept any more then."""

        self.kept_run = run
        """The one that is kept with those before."""

        self._engine = reading
        self._reading = reading.raw_connection()
        self._selects = {kind: Prepared(select_by_keys(table), reading.dialect) for kind, table in TABLES.items()}
        self._writing = writing

    @classmethod
    def create(cls, writing: Engine, reading: Engine) -> Self:
        """Make the tables in an empty database.

        Raises:
            StoreUnavailable: the disk has no room, or does not work.
        """
        try:
            with writing.begin() as connection:
                metadata.create_all(connection)
            connection = writing.connect()
        except SQLAlchemyError as error:
            raise unavailable("made", error) from error
        projection = cls(reading, connection, START, KeptRun())
        projection.write(Changes({}, Recent([], []), START))
        return projection

    @classmethod
    def open(cls, writing: Engine, reading: Engine) -> Self:
        """Open the projection that the engines lead to.

        Raises:
            ProjectionUnfit: what is there is damaged, or of another schema.
        """
        try:
            connection = writing.connect()
        except BROKEN as error:
            raise ProjectionUnfit(f"It cannot be opened ({reason(error)}).") from error
        try:
            reached, run = read_progress(connection)
            connection.rollback()
        except ProjectionUnfit:
            connection.close()
            raise
        return cls(reading, connection, reached, run)

    def recent(self) -> list[Recent]:
        """The keys that are in no run. Raises what `read_recent` does."""
        try:
            return read_recent(self._writing)
        finally:
            self._writing.rollback()

    def fetch(self, kind: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        wanted = [[key] if isinstance(key, str) else key for key in keys]
        try:
            found = self._selects[kind].rows(self._reading, keys=msgspec.json.encode(wanted).decode())
            return [to_row(kind, row) for row in found]
        except BROKEN as error:
            raise unavailable("read", error) from error

    def write(self, changes: Changes) -> None:
        run, reached = self.run, changes.reached
        try:
            wait_for_disk(self._writing, run != self.kept_run)  # the file that was named before may be removed then
            with self._writing.begin():
                for kind, changed in changes.rows.items():
                    if changed:
                        given = msgspec.json.encode([astuple(row) for row in changed])
                        self._writing.execute(_UPSERTS[kind], {"rows": given.decode()})
                self._writing.execute(delete(recent_keys).where(recent_keys.c.upto <= run.position))
                if changes.recent.keys:
                    content = msgspec.msgpack.encode(changes.recent)
                    self._writing.execute(insert(recent_keys), {"upto": reached.position, "content": content})
                self._writing.execute(delete(progress))
                values = (fingerprint(), *astuple(reached), *astuple(run))
                self._writing.execute(insert(progress), dict(zip(progress.columns.keys(), values, strict=True)))
        except (SQLAlchemyError, *DRIVER_ERRORS) as error:
            raise unavailable("written", error) from error
        self.reached, self.kept_run = reached, run

    def close(self) -> None:
        self._reading.close()
        self._engine.dispose()
        self._writing.close()


def read_progress(connection: Connection) -> tuple[Cursor, KeptRun]:
    """How far along the log a projection is, and the run that goes with it.

    Raises:
        ProjectionUnfit: there is none of this schema.
    """
    try:
        schema, *values = connection.execute(select(progress)).one()
        numbers = msgspec.convert(values, tuple[_Natural, _Natural, _Chain, _Natural, _Natural])
    except BROKEN as error:
        raise ProjectionUnfit(f"It cannot be read ({reason(error)}).") from error
    if schema != fingerprint():
        raise ProjectionUnfit("It is of another version of Lockstream.")
    return Cursor(*numbers[:3]), KeptRun(*numbers[3:])


def read_recent(connection: Connection) -> list[Recent]:
    """The keys that are in no run.

    Raises:
        ProjectionUnfit: they cannot be read.
    """
    try:
        found = connection.execute(select(recent_keys.c.content).order_by(recent_keys.c.upto))
        return [_recents.decode(content) for (content,) in found]
    except BROKEN as error:
        raise ProjectionUnfit(f"It cannot be read ({reason(error)}).") from error


def to_row[RowT: Row](kind: type[RowT], found: tuple[Any, ...]) -> RowT:
    """Make a row of what the driver found; a value that is none of its column's is one of `BROKEN`."""
    values = dict(zip(kind.__struct_fields__, found, strict=True))
    for name in _BOOLEANS[kind]:
        values[name] = (False, True)[values[name]]
    return msgspec.convert(values, kind)


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

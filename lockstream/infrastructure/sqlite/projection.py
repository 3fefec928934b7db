"""The projection in SQLite: rows by key, the cursor they have reached, and the memtable, in one transaction."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from itertools import batched
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta
from msgspec.structs import astuple
from sqlalchemy import Connection, Engine, delete, insert, select, update

from lockstream.core.entities.log import START, Cursor, Moment
from lockstream.core.entities.state import Key, Row
from lockstream.core.errors import ProjectionInvalid
from lockstream.infrastructure.id_index.index import NewIds
from lockstream.infrastructure.id_index.sorted_run import NO_RUN, RunRef
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable, reason, to_row
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.reads import Execute, SqlReads, SqlStatements, times_statement
from lockstream.infrastructure.rows.tables import TABLES, fingerprint, memtable, metadata, moments, progress
from lockstream.infrastructure.sqlite.database import (
    CORRUPT_DATA_ERRORS,
    DATABASE_ERRORS,
    DIALECT,
    MOVED_ROWS,
    ROWS_A_COMMIT,
    building_engine,
    connect_for_writing,
    fail_if_locked,
    integer_list,
    integers,
    move_pages,
    reading_engine,
    select_by_keys,
    set_synchronous,
    upsert,
)
from lockstream.infrastructure.sqlite.row_cache import ChangeSet

type _Natural = Annotated[int, Meta(ge=0)]
type _Chain = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

ENCODED_AT_ONCE = 1_000
"""Rows that are encoded at once, in 0.5 ms, before another thread may take Python's lock."""

_UPSERTS = {row_class: upsert(table) for row_class, table in TABLES.items()}
_INSERT_MOMENTS = upsert(moments)
_SELECTS = {row_class: Prepared(select_by_keys(table), DIALECT) for row_class, table in TABLES.items()}
_TIMES = Prepared(times_statement(integers("positions")), DIALECT)
_READS = SqlStatements(DIALECT)
_new_ids = msgspec.msgpack.Decoder(NewIds)


class Progress(msgspec.Struct, frozen=True):
    """A projection's own account of its progress."""

    reached: Cursor
    run: RunRef
    acknowledged: int
    """Highest position that was known to be durable. It exceeds `reached` only after the log has failed."""


class SqliteProjection:
    """The row store of a row cache. One thread may read while another writes."""

    def __init__(self, reading: Engine, writing: Connection, progress: Progress) -> None:
        self.reached = progress.reached
        self.run = progress.run
        """The run file that the database names. It belongs to the thread that writes."""

        self._engine = reading
        self._reading = reading.raw_connection()
        self._writing = writing
        self._rows_since_move = 0

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create a projection at `path` without a journal, to be built and closed before it is used.

        Raises:
            StoreUnavailable: the disk has no free space, or does not work.
        """
        writing = building_engine(path)
        try:
            with writing.begin() as connection:
                metadata.create_all(connection)
            connection = writing.connect()
        except DATABASE_ERRORS as error:
            raise projection_unavailable("created", error) from error
        projection = cls(reading_engine(path), connection, Progress(START, NO_RUN, 0))
        projection.write(ChangeSet(START), NO_RUN)
        return projection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the projection at `path`. It waits for another program that locks the file, until `fail_if_locked`.

        Raises:
            ProjectionInvalid: the projection is missing or damaged, or belongs to another version.
            StartRefused: another program has locked the projection for too long.
        """
        if not path.exists():
            raise ProjectionInvalid("The projection does not exist yet.")
        try:
            connection = connect_for_writing(path)
        except CORRUPT_DATA_ERRORS as error:
            raise ProjectionInvalid(f"The projection cannot be opened ({reason(error)}).") from error
        try:
            found = read_progress(connection)
            connection.rollback()
        except ProjectionInvalid:
            connection.close()
            raise
        return cls(reading_engine(path), connection, found)

    def fail_if_locked(self) -> None:
        """Let each later write fail at once if another program has locked the file. The start is over."""
        fail_if_locked(self._writing)

    def memtable(self) -> list[NewIds]:
        """Return the memtable of the id index. Raises what `read_memtable` raises."""
        try:
            return list(read_memtable(self._writing))
        finally:
            self._writing.rollback()

    def fetch(self, row_class: type[Row], keys: Collection[Key]) -> Iterable[Row]:
        """Return the rows that exist.

        Raises:
            StoreUnavailable: the projection cannot be read.
        """
        wanted = [[key] if isinstance(key, str) else key for key in keys]
        try:
            found = _SELECTS[row_class].rows(self._reading, {"keys": msgspec.json.encode(wanted).decode()})
            return [to_row(row_class, row) for row in found]
        except CORRUPT_DATA_ERRORS as error:
            raise projection_unavailable("read", error) from error

    def write(self, change_set: ChangeSet, run: RunRef) -> None:
        """Write a change set in one transaction. The memtable on disk drops the ids that the run file `run` holds.

        Raises:
            StoreUnavailable: nothing was written.
        """
        reached = change_set.reached
        try:
            # The run file named before may be removed once this commit is on disk.
            set_synchronous(self._writing, waits=run != self.run)
            with self._writing.begin():
                for row_class, changed in change_set.rows.items():
                    if changed:
                        self._writing.execute(_UPSERTS[row_class], {"rows": _json_lists(changed.values())})
                if change_set.moments:
                    self._writing.execute(_INSERT_MOMENTS, {"rows": _json_lists(change_set.moments)})
                self._writing.execute(delete(memtable).where(memtable.c.through_position <= run.position))
                for new_ids in change_set.new_ids():
                    values = {"through_position": max(new_ids.positions), "content": msgspec.msgpack.encode(new_ids)}
                    self._writing.execute(insert(memtable), values)
                self._writing.execute(delete(progress))
                account = (fingerprint(), *astuple(reached), *astuple(run), reached.position)
                self._writing.execute(insert(progress), dict(zip(progress.columns.keys(), account, strict=True)))
        except CORRUPT_DATA_ERRORS as error:
            raise projection_unavailable("written", error) from error
        self.reached, self.run = reached, run
        self._rows_since_move += ROWS_A_COMMIT + sum(map(len, change_set.rows.values()))

    @property
    def needs_move(self) -> bool:
        """Whether so many rows were written that the pages of the write-ahead log should be moved."""
        return self._rows_since_move >= MOVED_ROWS

    def move_pages(self) -> None:
        """Move pages from the write-ahead log to the database file. For the thread that writes."""
        move_pages(self._writing)
        self._rows_since_move = 0

    def note_acknowledged(self, position: int) -> None:
        """Note on disk that all events up to `position` are durable, although the rows have not reached it.

        Raises:
            StoreUnavailable: the note was not written.
        """
        try:
            set_synchronous(self._writing, waits=True)
            with self._writing.begin():
                self._writing.execute(update(progress).values(acknowledged=position))
        except CORRUPT_DATA_ERRORS as error:
            raise projection_unavailable("written", error) from error

    def close(self) -> None:
        self._reading.close()
        self._engine.dispose()
        self._writing.close()


def _json_lists(rows: Iterable[Row | Moment]) -> str:
    """Return rows as a JSON list of lists. One statement writes all of them, sorted by key, in half the time."""
    parts = [msgspec.json.encode(part) for part in batched(rows, ENCODED_AT_ONCE)]
    return f"[{','.join(part[1:-1].decode() for part in parts)}]"


class SqliteReads(SqlReads):
    """Reads of a projection in SQLite. May be used by as many threads as `execute` may."""

    def __init__(self, execute: Execute) -> None:
        super().__init__(_READS, execute)

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        """Return the recorded times at these positions, in microseconds since 1970."""
        try:
            found = list(self._execute(_TIMES, {"positions": integer_list(positions)}))
            return dict(msgspec.convert(found, list[tuple[int, int]]))
        except VALUE_ERRORS as error:
            raise projection_unavailable("read", error) from error


def projection_reads(engine: Engine, connection: Any = None) -> SqliteReads:
    """Return reads of a projection, for any thread.

    All reads use `connection` if it is given. Otherwise, each read takes a connection of its own.
    """

    def execute(statement: Prepared, values: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        try:
            if connection is not None:
                yield from statement.rows(connection, values)
                return
            with closing(engine.raw_connection()) as own:
                yield from statement.rows(own, values)
        except CORRUPT_DATA_ERRORS as error:
            raise projection_unavailable("read", error) from error

    return SqliteReads(execute)


def read_progress(connection: Connection) -> Progress:
    """Read a projection's own account of its progress.

    Raises:
        ProjectionInvalid: the projection is damaged, or belongs to another version.
    """
    try:
        schema, *values = connection.execute(select(progress)).one()
        if schema != fingerprint():
            raise ProjectionInvalid("The projection belongs to another version of Lockstream.")
        numbers = msgspec.convert(values, tuple[_Natural, _Natural, _Chain, _Natural, _Natural, _Natural])
    except CORRUPT_DATA_ERRORS as error:
        raise ProjectionInvalid(f"The projection cannot be read ({reason(error)}).") from error
    return Progress(Cursor(*numbers[:3]), RunRef(*numbers[3:5]), numbers[5])


def read_memtable(connection: Connection) -> Iterator[NewIds]:
    """Yield the parts of the memtable of the id index, in order.

    Raises:
        ProjectionInvalid: the memtable is damaged.
    """
    try:
        found = connection.execute(select(memtable.c.content).order_by(memtable.c.through_position))
        for (content,) in found:
            yield _new_ids.decode(content)
    except CORRUPT_DATA_ERRORS as error:
        raise ProjectionInvalid(f"The projection cannot be read ({reason(error)}).") from error

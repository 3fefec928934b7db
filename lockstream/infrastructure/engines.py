"""All that differs between database engines."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    NullPool,
    PoolProxiedConnection,
    QueuePool,
    Select,
    String,
    Table,
    and_,
    bindparam,
    create_engine,
    event,
    func,
    select,
    true,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql.dml import Insert

DRIVER_ERRORS = (sqlite3.Error,)
"""What a driver raises, where SQLAlchemy is not between."""

CHECKPOINT_PAGES = 8_000
"""Of the write-ahead log, 4 KiB each, before they are moved to their places.

Each time two files are flushed beside the log. With the 1,000 that are usual, that was at every settlement once the
projection was large, and the p99 of the log's own flushes went from 3 to 14 ms.
"""

READERS = 8
"""Connections that read the projection at a time."""


def writing_engine(path: Path) -> Engine:
    """For the one connection that writes a SQLite projection and checkpoints its write-ahead log.

    A commit does not wait for the disk (`synchronous=NORMAL`): a power failure may undo the last ones, never tear
    them, and the log gives them again.
    """
    # Nobody else has a reason to lock it. Where somebody does, the log goes on and the projection follows later.
    engine = create_engine(_url(path), poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": 0})
    _on_connect(
        engine, "PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}"
    )
    return engine


def building_engine(path: Path) -> Engine:
    """For a SQLite projection that nobody uses until it is whole: no journal at all, the fastest way."""
    engine = create_engine(_url(path), poolclass=NullPool)
    _on_connect(engine, "PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF")
    return engine


def reading_engine(path: Path) -> Engine:
    """For connections that only read a SQLite projection, in any process. Each statement sees one moment.

    They never checkpoint: SQLite before 3.51.3, which Python bundles, can corrupt a database when two connections
    checkpoint its write-ahead log at once (the "WAL-reset bug"). So neither growth nor closing makes them do it.
    """
    engine = create_engine(
        _url(path),
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA query_only=ON").close()
        connection.execute("PRAGMA wal_autocheckpoint=0").close()
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)

    return engine


def wait_for_disk(connection: Connection, waits: bool) -> None:
    """Have the next commit of a `writing_engine`'s connection wait for the disk, and all before it with it, or not."""
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)  # SQLAlchemy would begin a transaction
    driver.execute(f"PRAGMA synchronous={'FULL' if waits else 'NORMAL'}").close()


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection of a `reading_engine` of which all statements see the same moment."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("ROLLBACK")


class Prepared:
    """A statement that reads, made into SQL once, and given to the driver without SQLAlchemy between.

    SQLAlchemy takes 65 µs for each execution of a statement that SQLite takes 8 µs for, and 250 µs to make it.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._names = compiled.positiontup
        self._constants = compiled.params

    def bound(self, values: Mapping[str, str]) -> list[Any] | dict[str, Any]:
        """The values for the driver: in their order, or by name, as the dialect has it."""
        bound = self._constants | values
        return bound if self._names is None else [bound[name] for name in self._names]

    def rows(self, connection: PoolProxiedConnection, **values: str) -> Iterator[tuple[Any, ...]]:
        """What it finds, as the driver gives it."""
        cursor = connection.cursor()
        try:
            cursor.execute(self.text, self.bound(values))
            yield from cursor.fetchall()
        finally:
            cursor.close()


def remove_database(path: Path) -> None:
    """Remove a SQLite database, then its write-ahead log, whether or not there is a database.

    A database without its log may hold half of a change, and would be taken for whole by whoever comes after one that
    was killed here. A log without its database would spoil one to come, so call this before one takes its place.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def select_by_keys(table: Table) -> Select[*tuple[Any, ...]]:
    """Rows by primary key: one statement for any number of keys, bound as a JSON list of lists, `keys`."""
    wanted = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
    matches = [
        column == func.json_extract(wanted.c.value, f"$[{index}]", type_=String)
        for index, column in enumerate(table.primary_key.columns)
    ]
    return select(table).select_from(wanted.join(table, and_(*matches)))


def upsert(table: Table) -> Insert:
    """Write rows, in the place of those that bear the same primary key: any number, bound as a list of lists, `rows`.

    One statement for all of them runs without Python's lock, so that requests are served meanwhile. It sorts them by
    key, so that each page is written once.
    """
    given = func.json_each(bindparam("rows")).table_valued("value", name="given")
    values = [func.json_extract(given.c.value, f"$[{index}]") for index in range(len(table.columns))]
    # Without a WHERE, SQLite would read the ON of ON CONFLICT as one of a join.
    in_order = [value for value, column in zip(values, table.columns, strict=True) if column.primary_key]
    statement = insert(table).from_select(table.columns.keys(), select(*values).where(true()).order_by(*in_order))
    rest = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=rest)


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _on_connect(engine: Engine, *pragmas: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        # SQLAlchemy begins transactions itself, below: the driver would leave a SELECT outside of one.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma).close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

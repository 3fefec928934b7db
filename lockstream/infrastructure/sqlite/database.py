"""SQLite databases: connections, pragmas and statements that only SQLite understands (docs/decisions/0005)."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    PoolProxiedConnection,
    QueuePool,
    Select,
    String,
    Table,
    TableValuedAlias,
    and_,
    bindparam,
    create_engine,
    event,
    func,
    make_url,
    select,
    true,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import Insert

from lockstream.core.errors import StartRefused
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.tables import changing_columns

DIALECT = make_url("sqlite+pysqlite://").get_dialect()()
"""The dialect for which statements are compiled, once for all databases of a process."""

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error)
"""Errors of SQLAlchemy, and of the driver, which some statements are given to directly."""

CORRUPT_DATA_ERRORS = (*DATABASE_ERRORS, *VALUE_ERRORS)
"""Errors that reading a damaged database raises."""

MOVED_ROWS = 1_500
"""Rows that are written between two moves of pages from SQLite's write-ahead log to the database file.

A list that comes during a move waits for its end. So 1 % of lists wait longer than 21 ms (docs/decisions/0005).
"""

ROWS_A_COMMIT = 10
"""Rows that change as many pages as each commit changes besides its rows: 15 pages, if it changes 3 rows."""

WAL_CHECKPOINT_PAGES = 8_000
"""Pages in the write-ahead log at which SQLite moves them in any case, as a part of a commit."""

LONG_WAL_BYTES = 2 * WAL_CHECKPOINT_PAGES * 4096
"""Size of the write-ahead log at which lists wait for a checkpoint, so that SQLite can begin the file anew: 64 MB."""

WRITE_CACHE_KIB = 8_000
"""Memory for pages of the connection that writes. SQLite's default, 2,000, costs a checkpoint 10 % more CPU time, and
16,000 saves nothing more."""

READ_CONNECTIONS = 8
"""Connections that read the projection at a time."""

PRIMARY_CODE = 0xFF
"""The bits of an extended result code of SQLite that hold its primary result code."""

START_LOCK_SECONDS = 5
"""Time that a start waits for a program that has locked the projection, such as a command that recovers its write-ahead
log after a crash. Connections that only read wait as long, which is the default of the driver."""

_rows = msgspec.json.Decoder(list[tuple[Any, ...]])


def connect_for_writing(path: Path) -> Connection:
    """Return the connection that writes the projection at `path`, the only one at a time.

    Raises:
        StartRefused: another program has locked the projection for longer than `START_LOCK_SECONDS`.
        CORRUPT_DATA_ERRORS: the file is damaged, or cannot be read.
    """
    connection = None
    try:
        connection = writing_engine(path).connect()
        driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        driver.executescript("BEGIN IMMEDIATE; ROLLBACK")  # fails while another program writes
        return connection
    except DATABASE_ERRORS as error:
        if connection:
            connection.close()
        if _is_locked(error):
            raise StartRefused(
                f"Another program has locked the projection {path} for {START_LOCK_SECONDS} seconds. End that program, "
                "and start again."
            ) from error
        raise


def writing_engine(path: Path) -> Engine:
    """Return an engine for the only connection that writes a projection.

    A commit does not wait for the disk (`synchronous=NORMAL`). A power failure may undo the last commits but never
    tears one, and the log still has their events. If another program locks the file, the connection waits up to
    `START_LOCK_SECONDS`, until `fail_if_locked`.
    """
    engine = create_engine(
        _url(path), poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": START_LOCK_SECONDS}
    )
    _on_connect(
        engine,
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=NORMAL",
        f"PRAGMA cache_size=-{WRITE_CACHE_KIB}",
        f"PRAGMA wal_autocheckpoint={WAL_CHECKPOINT_PAGES}",
        f"PRAGMA journal_size_limit={WAL_CHECKPOINT_PAGES * 4096}",
    )
    return engine


def building_engine(path: Path) -> Engine:
    """Return an engine for a projection that is being built and is not used yet. It keeps no journal, which is fast."""
    engine = create_engine(_url(path), poolclass=NullPool)
    _on_connect(engine, "PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF")
    return engine


def reading_engine(path: Path) -> Engine:
    """Return an engine for connections that only read a projection, in any process. Each statement sees one moment.

    These connections never move pages out of the write-ahead log, not even when they close. SQLite before 3.51.3,
    which Python bundles, can corrupt a database if two connections do that at once (the "WAL-reset bug").
    """
    engine = create_engine(
        _url(path),
        poolclass=QueuePool,
        pool_size=READ_CONNECTIONS,
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


def has_long_wal(path: Path) -> bool:
    """Return whether the write-ahead log of the database at `path` has grown beyond `LONG_WAL_BYTES`."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > LONG_WAL_BYTES
    except FileNotFoundError:
        return False


def set_synchronous(connection: Connection, *, waits: bool) -> None:
    """Set whether the next commits of a writing connection wait for the disk, together with all commits before."""
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)  # SQLAlchemy would begin a transaction
    driver.execute(f"PRAGMA synchronous={'FULL' if waits else 'NORMAL'}").close()


def fail_if_locked(connection: Connection) -> None:
    """Let each later statement of a writing connection fail at once if another program has locked the file."""
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    driver.execute("PRAGMA busy_timeout=0").close()


def move_pages(connection: Connection) -> None:
    """Move pages from the write-ahead log of a writing connection to the database file, while no commit waits for it.

    Pages that an open snapshot needs stay. SQLite keeps all pages after an error, and a later move tries again.
    """
    with suppress(*DATABASE_ERRORS):
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").close()


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Yield a read connection whose statements all see one snapshot of the database."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("ROLLBACK")


def structural_damage(connection: Connection) -> list[str]:
    """Return the faults in the structure of a database, such as an index that lacks a row: ten texts at most."""
    texts = [text for (text,) in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
    return [] if texts == ["ok"] else [" ".join(text.split()) for text in texts]


def remove_database(path: Path) -> None:
    """Remove a database and then its write-ahead log, whether or not they exist.

    The order matters if the process is killed here. A database without its write-ahead log may hold half of a change
    and would pass for whole. A write-ahead log without its database would spoil the next database at this path.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def select_by_keys(table: Table) -> Select[*tuple[Any, ...]]:
    """Return a SELECT of rows by primary key, for any number of keys, bound as `keys`: a JSON list of lists."""
    wanted = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
    matches = [
        column == func.json_extract(wanted.c.value, f"$[{index}]", type_=String)
        for index, column in enumerate(table.primary_key.columns)
    ]
    return select(table).select_from(wanted.join(table, and_(*matches)))


def rows_in_one_step(
    connection: PoolProxiedConnection, statement: Prepared, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Execute a statement on a driver's connection, and return its rows.

    SQLite returns all rows in one, as JSON. The driver gives up Python's lock for each row that it fetches. Under load,
    another thread takes the lock meanwhile, and each of 100 rows may wait for 0.5 ms.
    The rows keep the order of a statement with a `LIMIT`.

    Raises:
        CORRUPT_DATA_ERRORS: the database cannot be read, or holds a value that JSON cannot.
    """
    names = ", ".join(f"c{number}" for number in range(statement.columns))
    all_rows = f"SELECT json_group_array(json_array({names})) FROM found"  # noqa: S608  # names that are made here
    text = f"WITH found({names}) AS ({statement.text}) {all_rows}"
    with closing(connection.cursor()) as cursor:
        [(content,)] = cursor.execute(text, statement.bind(values)).fetchall()
    return _rows.decode(content)


def integers(name: str) -> TableValuedAlias:
    """Return a table with the column `value`, for any number of integers, bound as `name`: a JSON list."""
    return func.json_each(bindparam(name)).table_valued("value", name="integers")


def integer_list(values: Iterable[int]) -> str:
    """Return the value of the parameter of `integers`."""
    return msgspec.json.encode(list(values)).decode()


def upsert(table: Table) -> Insert:
    """Return an INSERT that replaces rows with the same primary key, for any number of `rows`: a JSON list of lists.

    One statement for all rows runs without Python's lock, so that requests are served meanwhile. It sorts the rows by
    key, so that each page is written once.
    """
    given = func.json_each(bindparam("rows")).table_valued("value", name="given")
    values = [func.json_extract(given.c.value, f"$[{index}]") for index in range(len(table.columns))]
    keys = [value for value, column in zip(values, table.columns, strict=True) if column.primary_key]
    # Without a WHERE clause, SQLite would parse the ON of ON CONFLICT as a join condition.
    statement = insert(table).from_select(table.columns.keys(), select(*values).where(true()).order_by(*keys))
    rest = {column.name: statement.excluded[column.name] for column in changing_columns(table)}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=rest)


def _is_locked(error: Exception) -> bool:
    """Return whether an error of the database says that another program has locked the file."""
    code: int = getattr(getattr(error, "orig", error), "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & PRIMARY_CODE == sqlite3.SQLITE_BUSY


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _on_connect(engine: Engine, *pragmas: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        # SQLAlchemy begins transactions itself, below. The driver would execute a SELECT outside of a transaction.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma).close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

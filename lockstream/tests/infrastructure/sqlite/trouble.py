"""Trouble with a projection: SQLite interrupts every statement, or a table is missing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import PoolProxiedConnection

from lockstream.infrastructure.sqlite.projection import SqliteProjection


@contextmanager
def interrupted(projection: SqliteProjection) -> Iterator[None]:
    """Let SQLite interrupt every statement of the projection's own connections."""
    connections = [driver_connection(projection._reading), driver_connection(projection._writing.connection)]
    for connection in connections:
        connection.set_progress_handler(lambda: 1, 1)
    try:
        yield
    finally:
        for connection in connections:
            connection.set_progress_handler(None, 1)


@contextmanager
def missing_table(path: Path, name: str = "reservations") -> Iterator[None]:
    """Rename a table of the projection at `path`, and name it back at the end."""
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"ALTER TABLE {name} RENAME TO away")
        try:
            yield
        finally:
            other.execute(f"ALTER TABLE away RENAME TO {name}")


def driver_connection(pooled: PoolProxiedConnection) -> sqlite3.Connection:
    """Return the connection of Python's sqlite3 module that SQLAlchemy uses."""
    assert isinstance(pooled.driver_connection, sqlite3.Connection)
    return pooled.driver_connection

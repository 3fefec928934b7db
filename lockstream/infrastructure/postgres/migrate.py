"""Create and upgrade the log's tables: numbered SQL files, and a table that names the schema version.

The projection's tables are not migrated: they are rebuilt from the log.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from lockstream.core.errors import SchemaMismatch
from lockstream.infrastructure.postgres.connection import Database, transaction_settings, unavailable
from lockstream.infrastructure.postgres.pipeline import Connection
from lockstream.infrastructure.postgres.statements import TAKE_WRITE_LOCK, end_abandoned_transaction
from lockstream.infrastructure.rows.tables import PROJECTION_TABLES

SCRIPTS = {int(path.name[:4]): path for path in (Path(__file__).parent / "migrations").glob("*.sql")}
"""The SQL file that upgrades the tables to each schema version from the version before."""

_NEW_TABLES = {
    1: ["events", *(table.name for table in PROJECTION_TABLES)],
    2: ["quarantine", "quarantine_malformed", "quarantine_totals"],
    4: ["access_keys", "access_audit", "access_version"],
    5: ["nodes"],
}
"""Names of the tables that each schema version adds, or that a rebuild creates beside them."""

_FIND_TABLES = """
    SELECT to_regclass('lockstream_schema') IS NOT NULL,
           to_regclass('alembic_version') IS NOT NULL AND to_regclass('events') IS NOT NULL
"""
_ALEMBIC_VERSION = "SELECT count(*) FROM alembic_version WHERE version_num = '0001'"
_SET_VERSION = """
    CREATE TABLE IF NOT EXISTS lockstream_schema (version integer NOT NULL);
    DELETE FROM lockstream_schema;
    INSERT INTO lockstream_schema VALUES ({version})
"""


def migrate(database: Database, *, only_if_empty: bool = False) -> tuple[int, int]:
    """Bring the log's tables to the newest schema version; nodes wait meanwhile. Return the versions before and after.

    Version 0 means that there are no tables. With `only_if_empty`, tables of an older version are not changed.

    Raises:
        SchemaMismatch: the tables are newer, or older and `only_if_empty`, or other tables have their names, or the
            database is not in UTF-8.
        StoreUnavailable: the database cannot be used.
    """
    with _transaction(database) as connection:
        version = _version(connection, database.name)
    if version == newest_version():
        return version, version
    with _transaction(database) as connection:
        for statement in (
            transaction_settings(database.limits, limit_statements=False),
            end_abandoned_transaction(database.limits),
            TAKE_WRITE_LOCK,
        ):
            connection.execute(statement.text, statement.values or None)
        version = _version(connection, database.name)  # another node may have migrated meanwhile
        if version < newest_version():
            if version and only_if_empty:
                raise _too_old(version, database.name)
            _require_free_names(connection, version, database.name)
            for number in range(version + 1, newest_version() + 1):
                connection.execute(SCRIPTS[number].read_bytes())
            connection.execute(_SET_VERSION.format(version=newest_version()).encode())
    return version, newest_version()


def require_current(database: Database) -> None:
    """Require that the log's tables have the newest schema version.

    Raises:
        SchemaMismatch: the tables have another version, or do not exist.
        StoreUnavailable: the database cannot be used.
    """
    with _transaction(database) as connection:
        version = _version(connection, database.name)
    if version != newest_version():
        raise _too_old(version, database.name)


def newest_version() -> int:
    """Return the schema version that this version of Lockstream needs."""
    return max(SCRIPTS)


def _version(connection: Connection, name: str) -> int:
    """Return the schema version that the database names. In development versions of 2.0, Alembic kept the version.

    Raises:
        SchemaMismatch: the version is newer than this version of Lockstream knows.
    """
    [(is_named, may_be_named_by_alembic)] = connection.execute(_FIND_TABLES).fetchall()
    if not is_named and not may_be_named_by_alembic:
        return 0
    query = "SELECT coalesce(max(version), 0) FROM lockstream_schema" if is_named else _ALEMBIC_VERSION
    [(version,)] = connection.execute(query).fetchall()
    if version > newest_version():
        raise SchemaMismatch(
            f"The tables in the database {name} belong to a newer version of Lockstream (schema version {version}; "
            f"this version knows {newest_version()}). Start that version."
        )
    return int(version)


@contextmanager
def _transaction(database: Database) -> Iterator[Connection]:
    try:
        with closing(database.connect()) as connection:
            # After the write lock, statements must see the commit of the transaction that held it before.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            with connection.transaction():
                [(encoding,)] = connection.execute("SHOW server_encoding").fetchall()
                if encoding != "UTF8":
                    raise SchemaMismatch(
                        f"The database {database.name} is encoded in {encoding}, and Lockstream needs UTF8. Create "
                        "another with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
                    )
                yield connection
    except psycopg.Error as error:
        raise unavailable(database.name, error) from error


def _require_free_names(connection: Connection, version: int, name: str) -> None:
    """Require that no other program's tables have names that Lockstream will use: a rebuild would drop some of them.

    The tables of Lockstream up to schema `version` exist.
    """
    names = [table for number, tables in _NEW_TABLES.items() if number > version for table in tables]
    taken = connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS of (name) WHERE to_regclass(name) IS NOT NULL", [names]
    ).fetchall()
    if taken:
        raise SchemaMismatch(
            f"The database {name} holds tables of another program whose names Lockstream needs: "
            f"{', '.join(table for (table,) in taken)}. Give Lockstream a database or a schema (ALTER ROLE … SET "
            "search_path) of its own."
        )


def _too_old(version: int, name: str) -> SchemaMismatch:
    if not version:
        return SchemaMismatch(f"Lockstream's tables do not exist in the database {name}. Run `lockstream migrate`.")
    return SchemaMismatch(
        f"Lockstream's tables in the database {name} belong to an older version of Lockstream (schema version "
        f"{version}; this version needs {newest_version()}). Run `lockstream migrate`."
    )

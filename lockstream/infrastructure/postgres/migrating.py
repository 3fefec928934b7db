"""The form of the log's tables: which one there is, and how to come to that of this version.

The projection's tables are not migrated. They are made anew from the log.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from lockstream.core.errors import WrongSchema
from lockstream.infrastructure.postgres.connecting import Database, limits, unavailable
from lockstream.infrastructure.postgres.schema import END_ABANDONED_TURN, TAKE_TURN
from lockstream.infrastructure.tables import KEPT_APART

logging.getLogger("alembic").setLevel(logging.WARNING)  # which steps it takes is said by us

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database, *, only_if_empty: bool = False) -> tuple[str | None, str]:
    """Bring the log's tables to the form of this version; nodes wait meanwhile. Returns the form before and after.

    Raises:
        WrongSchema: the database is of a newer version, or not in UTF-8, or has an older form and is not
            `only_if_empty`'s to change.
        StoreUnavailable: the database cannot be used.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    wanted = _newest()
    if (found := _form(database)) == wanted:
        return found, wanted
    with _transaction(database) as connection:
        _take_turn(connection)
        found = MigrationContext.configure(connection).get_current_revision()
        if found != wanted:
            _require_known(found, database.name)
            if found and only_if_empty:
                raise _old(found, wanted, database.name)
            if not found:
                _require_free_names(connection, database.name)
            config.attributes["connection"] = connection
            command.upgrade(config, wanted)
    return found, wanted


def require_current(database: Database) -> None:
    """Hold the log's tables to the form of this version.

    Raises:
        WrongSchema: they have another, or are not there.
        StoreUnavailable: the database cannot be used.
    """
    if (found := _form(database)) != _newest():
        _require_known(found, database.name)
        raise _old(found, _newest(), database.name)


@contextmanager
def _transaction(database: Database) -> Iterator[Connection]:
    """A transaction in which SQLAlchemy is at home."""
    engine = create_engine("postgresql+psycopg://", creator=database.connect_for_sqlalchemy, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            if (encoding := connection.scalar(text("SHOW server_encoding"))) != "UTF8":
                raise WrongSchema(
                    f"The database {database.name} is in {encoding}. Lockstream needs one in UTF8: make one with "
                    "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
                )
            yield connection
    except SQLAlchemyError as error:
        raise unavailable(database.name, getattr(error, "orig", None) or error) from error


def _form(database: Database) -> str | None:
    with _transaction(database) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _take_turn(connection: Connection) -> None:
    for statement in (limits(0), END_ABANDONED_TURN, TAKE_TURN):
        connection.exec_driver_sql(statement.text, statement.values or None)


def _require_free_names(connection: Connection, name: str) -> None:
    """Hold a log that is to be made to a place of its own: a projection that is made anew drops what bears its names.

    Raises:
        WrongSchema: somebody else's tables are there.
    """
    names = (table.name for table in KEPT_APART)
    if taken := [table for table in names if connection.scalar(text("SELECT to_regclass(:name)"), {"name": table})]:
        raise WrongSchema(
            f"The database {name} holds tables that are not Lockstream's, yet have names that it would use: "
            f"{', '.join(taken)}. Give Lockstream a database, or a schema (ALTER ROLE … SET search_path), of its own."
        )


def _newest() -> str:
    [newest] = ScriptDirectory(str(_SCRIPTS)).get_heads()
    return newest


def _require_known(found: str | None, name: str) -> None:
    if found and found > _newest():
        raise WrongSchema(
            f"The tables in the database {name} are of a newer version of Lockstream (form {found}; this version knows "
            f"{_newest()}). Start that version."
        )


def _old(found: str | None, wanted: str, name: str) -> WrongSchema:
    what = f"are of an older version of Lockstream (form {found}, and {wanted} is needed)" if found else "are not there"
    return WrongSchema(f"Lockstream's tables in the database {name} {what}. Run `lockstream migrate`.")

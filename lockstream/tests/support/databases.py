"""A real PostgreSQL: one server per test process, and a database of its own for each test that asks for one.

LOCKSTREAM_TEST_POSTGRES_URL names a running server and a user who may create databases. Without it, a server is started
from the development package that contains one.
"""

import atexit
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import URL, make_url

from lockstream.infrastructure.stores.postgres import PostgresStore

VARIABLE = "LOCKSTREAM_TEST_POSTGRES_URL"


@contextmanager
def new_database(*, with_tables: bool = True) -> Iterator[str]:
    """Give the URL of a new database, with Lockstream's tables or empty. It is dropped at the end of the block."""
    name = f"lockstream_{uuid4().hex}"
    with _connect_to_server() as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_template() if with_tables else "template0"}"')
    try:
        yield _url(name)
    finally:
        with _connect_to_server() as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def connect(url: str) -> psycopg.Connection:
    """Return a connection of another program to a database."""
    return psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True)


@cache
def _template() -> str:
    """Return the name of a database that has only tables. Cloning it takes a tenth of creating the tables."""
    name = f"lockstream_template_{uuid4().hex}"
    with _connect_to_server() as server:
        server.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    PostgresStore(_url(name)).close()
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    with _connect_to_server() as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _connect_to_server() -> psycopg.Connection:
    return connect(_server().render_as_string(hide_password=False))


def _url(database: str) -> str:
    return _server().set(database=database, drivername="postgresql+psycopg").render_as_string(hide_password=False)


@cache
def _server() -> URL:
    if named := os.environ.get(VARIABLE):
        return make_url(named)
    # The package's own start gives up after ten seconds, which a slow machine may exceed.
    from bench.postgres import Postgres

    server = Postgres(Path(tempfile.mkdtemp(prefix="lockstream-postgres-")))
    atexit.register(server.__exit__)
    server.start()
    return make_url(server.url)

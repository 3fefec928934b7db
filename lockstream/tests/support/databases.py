"""A real PostgreSQL: one server per test process, and a database of its own for each test that asks for one.

LOCKSTREAM_TEST_POSTGRES_URL names a running server and a user who may create databases. Without it, a server is started
from the development package that contains one.
"""

import atexit
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, make_url

from lockstream.core.outcomes import Outcome
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import Body, event

VARIABLE = "LOCKSTREAM_TEST_POSTGRES_URL"


@pytest.fixture
def database_url() -> Iterator[str]:
    """The URL of a database with Lockstream's tables."""
    with new_database() as url:
        yield url


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """The URL of a database without tables."""
    with new_database(with_tables=False) as url:
        yield url


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


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement as another program, and return the rows that it finds."""
    with closing(connect(url)) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def ingest_into(url: str, *bodies: Body) -> list[Outcome]:
    """Ingest events as one batch of a node that starts and stops."""
    with closing(PostgresStore(url)) as store:
        return ingest([event(body) for body in bodies], store.unit_of_work())


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
    from lockstream.tests.support.postgres_server import PostgresServer

    server = PostgresServer(fsync="off")  # no test kills it
    atexit.register(server.__exit__)
    server.start()
    return make_url(server.url)

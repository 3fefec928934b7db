"""A real PostgreSQL: one server for a test process, and a database of its own for each test that asks for one.

LOCKSTREAM_TEST_POSTGRES_URL names a server that runs already, as somebody who may make databases; else one is started
from the package that carries it.
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

from lockstream.infrastructure.postgres.store import PostgresStore

VARIABLE = "LOCKSTREAM_TEST_POSTGRES_URL"


@contextmanager
def new_database(template: bool = True) -> Iterator[str]:
    """The URL of a database that is there for the time being: with Lockstream's tables, or empty."""
    name = f"lockstream_{uuid4().hex}"
    with _administration() as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_template() if template else "template0"}"')
    try:
        yield _url(name)
    finally:
        with _administration() as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def connect(url: str) -> psycopg.Connection:
    """Another one who is at work in a database."""
    return psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True)


@cache
def _template() -> str:
    """A database with nothing but tables, to be cloned: a tenth of the time that it takes to make them."""
    name = f"lockstream_template_{uuid4().hex}"
    with _administration() as server:
        server.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    PostgresStore(_url(name)).close()
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    with _administration() as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _administration() -> psycopg.Connection:
    return connect(_server().render_as_string(hide_password=False))


def _url(database: str) -> str:
    return _server().set(database=database, drivername="postgresql+psycopg").render_as_string(hide_password=False)


@cache
def _server() -> URL:
    if named := os.environ.get(VARIABLE):
        return make_url(named)
    # Not started by the package's own means, which give up after ten seconds: a slow machine is no fault.
    from bench.postgres import Postgres

    server = Postgres(Path(tempfile.mkdtemp(prefix="lockstream-postgres-")))
    atexit.register(server.__exit__)
    server.start()
    return make_url(server.url)

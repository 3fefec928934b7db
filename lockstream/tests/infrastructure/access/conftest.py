"""A key store of each kind, so that every test that uses it runs on each."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.key_store import KeyStore
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.infrastructure.postgres.access.store import PostgresKeyStore
from lockstream.infrastructure.postgres.connection import Database
from lockstream.tests.support.databases import database_url

__all__ = ["database_url"]

type OpenStore = Callable[[], KeyStore]


@pytest.fixture(params=["file", "postgres"])
def open_store(request: pytest.FixtureRequest, log_path: Path) -> OpenStore:
    """A function that opens the same keys each time, as another process would."""
    if request.param == "file":
        return lambda: FileKeyStore(log_path)
    url: str = request.getfixturevalue("database_url")
    return lambda: PostgresKeyStore(Database(url))


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[KeyStore]:
    with closing(open_store()) as store:
        yield store

"""A network on each kind of store, so that every test that uses it runs on each."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.ports import Store
from lockstream.tests.infrastructure.stores.network import EmbeddedNetwork, MemoryNetwork, Network, PostgresNetwork
from lockstream.tests.support.databases import new_database


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URL of a database that the tests share. `PostgresNetwork` empties its tables first."""
    with new_database() as url:
        yield url


@pytest.fixture
def memory() -> Iterator[MemoryNetwork]:
    with closing(MemoryNetwork()) as network:
        yield network


@pytest.fixture
def embedded(log_path: Path) -> Iterator[EmbeddedNetwork]:
    with closing(EmbeddedNetwork(log_path)) as network:
        yield network


@pytest.fixture
def postgres(database: str) -> Iterator[PostgresNetwork]:
    with closing(PostgresNetwork(database)) as network:
        yield network


@pytest.fixture(params=["memory", "embedded", "postgres"])
def network(request: pytest.FixtureRequest) -> Network[Store]:
    network: Network[Store] = request.getfixturevalue(request.param)
    return network

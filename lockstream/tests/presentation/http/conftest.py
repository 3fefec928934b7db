"""Fixtures: clients that hold every response to the committed contract, and servers for the tests that need one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.clients import contract_client, open_from_environment, serving
from lockstream.tests.support.databases import database_url
from lockstream.tests.support.memory_system import open_in_memory

__all__ = ["database_url"]

type NewClient = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def new_client() -> NewClient:
    """A function that opens the application over this test's log, any number of times, and gives a client of it."""

    @contextmanager
    def open_client(*, is_checked: bool = True) -> Iterator[TestClient]:
        with contract_client(create_app(open_from_environment), is_checked=is_checked) as client:
            yield client

    return open_client


@pytest.fixture
def client(new_client: NewClient) -> Iterator[TestClient]:
    with new_client() as client:
        yield client


@pytest.fixture(params=["memory", "embedded", "postgres"])
def each_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the application over each store."""
    if request.param == "postgres":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("database_url"))
    opened = open_in_memory if request.param == "memory" else open_from_environment
    with contract_client(create_app(opened)) as client:
        yield client


@pytest.fixture
def unchecked_client(new_client: NewClient) -> Iterator[TestClient]:
    """A client for thousands of events: checking the contract would take some 0.3 ms for each."""
    with new_client(is_checked=False) as client:
        yield client


@pytest.fixture
def served() -> Iterator[str]:
    """The base URL of a server over this test's log."""
    with serving(create_app(open_from_environment)) as url:
        yield url


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of one server for all tests of a module, over a log of its own."""
    settings = Settings.model_validate({"EVENT_LOG_PATH": tmp_path_factory.mktemp("shared") / "event_log.jsonl"})
    with serving(create_app(lambda: deployment_of(settings).start(), lambda: settings)) as url:
        yield url

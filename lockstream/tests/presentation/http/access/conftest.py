"""Fixtures: clients of callers, over each kind of store."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.support.clients import open_from_environment
from lockstream.tests.support.databases import database_url
from lockstream.tests.support.keyed_clients import caller, keyed_clients
from lockstream.tests.support.memory_system import open_in_memory

__all__ = ["clients", "database_url"]

CALLERS = {
    "locker": caller("l0ckerK1", "mine-1"),
    "tenant": caller("tenantK2", "mine-*"),
    "operator": caller("0perat0r"),
}
"""Callers by the name of their client: two are bound to lockers, and one is not."""


@pytest.fixture(params=["memory", "embedded", "postgres"])
def clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, TestClient]]:
    """A client for each of `CALLERS`, and one without a key by the empty name."""
    if request.param == "postgres":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("database_url"))
    with keyed_clients(CALLERS, open_in_memory if request.param == "memory" else open_from_environment) as clients:
        yield clients

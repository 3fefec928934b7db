"""Fixtures: a server with keys of every kind, which the tests of a module share, and clients of given callers."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.core.use_cases.manage_keys import revoke
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import Application, create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.databases import database_url
from lockstream.tests.support.keyed_clients import caller, keyed_clients
from lockstream.tests.support.keys import NOW, OPERATOR, NoFailureLimits, created, request
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


class Guarded(NamedTuple):
    """A server with keys."""

    app: Application
    client: TestClient
    keys: Mapping[str, str]
    """Texts of keys: of each scope by its name, of all scopes as `all`, `expired` and `revoked`."""

    log: Path


def add_keys(log: Path) -> dict[str, str]:
    """Create keys of every kind beside a log, and return their texts."""
    with closing(FileKeyStore(log)) as store:
        now = NOW  # long ago, so that a lifetime of a second is over
        texts = {scope.value: created(store, request(scope)).text for scope in Scope}
        texts["all"] = created(store, request(*Scope)).text
        texts["expired"] = created(store, request(*Scope, expires_seconds=1), now).text
        ended = created(store, request(*Scope))
        store.change(lambda keys: revoke(keys, ended.key.key_id, OPERATOR, now + 1))
        texts["revoked"] = ended.text
    return texts


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    log = tmp_path_factory.mktemp("guarded") / "event_log.jsonl"
    keys = add_keys(log)
    settings = Settings.model_validate({"EVENT_LOG_PATH": log})
    app = create_app(lambda: deployment_of(settings).start(), lambda: settings)
    with contract_client(app) as client:
        app.lockstream.access.failure_limits = NoFailureLimits()
        yield Guarded(app, client, keys, log)

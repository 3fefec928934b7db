"""Clients of the application whose requests have a given caller, as the check of a key would find it."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from lockstream.core.entities.access import Caller, Limits
from lockstream.core.entities.events import KeyId
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.keyed_clients import CALLER_HEADER, NO_KEYS, KeyedApplication


def with_limits(app: ASGIApp, limits: Limits | None = None) -> KeyedApplication:
    """Return an application in which a caller has these limits, and the key that the header `Test-Caller` names."""
    return KeyedApplication(app, lambda key_id: Caller(key_id=KeyId(key_id), limits=limits))


@contextmanager
def client_with_key(
    limits: Limits | None = None, *, is_checked: bool = True, **settings: object
) -> Iterator[TestClient]:
    """Give a client of the application over this test's log, whose requests have a key with these limits.

    Requests with another `Test-Caller` have another key.
    """
    chosen = Settings.model_validate(NO_KEYS | settings)
    app = create_app(lambda: deployment_of(chosen).start(), lambda: chosen)
    with contract_client(with_limits(app, limits), is_checked=is_checked) as client:
        client.headers[CALLER_HEADER] = "aaaaaaaa"
        yield client

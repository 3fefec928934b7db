"""Clients of the application whose requests have a given caller, as the check of a key would find it."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from lockstream.core.entities.access import Caller, Limits
from lockstream.core.entities.events import KeyId
from lockstream.presentation.http.access.callers import set_caller
from lockstream.presentation.http.app import Application, create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.keyed_clients import NO_KEYS

KEY_HEADER = b"x-test-key"


class CallerOfHeader:
    """Gives requests that have the header `X-Test-Key` a caller with this key id."""

    def __init__(self, app: Application, limits: Limits | None = None) -> None:
        self.app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope.get("headers", ()):
            if name == KEY_HEADER:
                set_caller(scope, Caller(key_id=KeyId(value.decode()), limits=self._limits))
        await self.app(scope, receive, send)


@contextmanager
def client_with_key(
    limits: Limits | None = None, *, is_checked: bool = True, **settings: object
) -> Iterator[TestClient]:
    """Give a client of the application over this test's log, whose requests have a key with these limits.

    Requests with another `X-Test-Key` have another key.
    """
    chosen = Settings.model_validate(NO_KEYS | settings)
    app = create_app(lambda: deployment_of(chosen).start(), lambda: chosen)
    with contract_client(CallerOfHeader(app, limits), is_checked=is_checked) as client:
        client.headers[KEY_HEADER.decode()] = "aaaaaaaa"
        yield client

"""Clients of the application whose requests have a caller, as after the check of a key."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.entities.access import Caller, Lockers
from lockstream.core.entities.events import KeyId
from lockstream.presentation.http.access.callers import set_caller
from lockstream.presentation.http.app import create_app
from lockstream.tests.support.clients import OpenLockstream, check_contract, open_from_environment

NO_KEYS = {"auth": "off"}
"""Settings of a system that does not know the keys of these callers, and so would end their requests."""

CALLER_HEADER = "test-caller"


def caller(key_id: str, *patterns: str) -> Caller:
    """Return the caller of a key, which is bound to the lockers of `patterns` if there are any."""
    return Caller(KeyId(key_id), lockers=Lockers.of(patterns) if patterns else None)


class KeyedApplication:
    """An application that takes the caller of a request from its header `Test-Caller`."""

    def __init__(self, app: ASGIApp, caller_named: Callable[[str], Caller]) -> None:
        """`caller_named` returns the caller for the value of the header."""
        self._app, self._caller_named = app, caller_named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == CALLER_HEADER.encode():
                    set_caller(scope, self._caller_named(value.decode()))
        await self._app(scope, receive, send)


@contextmanager
def keyed_clients(
    callers: Mapping[str, Caller], open_lockstream: OpenLockstream = open_from_environment
) -> Iterator[dict[str, TestClient]]:
    """Give a client for each caller, and one without a key by the empty name. All use one application."""
    keyed = KeyedApplication(create_app(open_lockstream), callers.__getitem__)
    with ExitStack() as opened:
        opened.enter_context(pytest.MonkeyPatch.context()).setenv("LOCKSTREAM_AUTH", NO_KEYS["auth"])
        without_key = opened.enter_context(TestClient(keyed, follow_redirects=False))
        clients = {"": without_key}
        for name in callers:
            clients[name] = TestClient(keyed, follow_redirects=False, headers={CALLER_HEADER: name})
        for client in clients.values():
            client.event_hooks["response"].append(_check)
        yield clients


def _check(response: httpx.Response) -> None:
    check_contract(response)

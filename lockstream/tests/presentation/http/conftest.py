"""Clients whose every answer is held to the committed contract, and a server for what only a server shows.

Where the development tools are missing, the answers are not held to it and the tests run all the same.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from importlib.util import find_spec
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.presentation.server.run import configuration
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings

type Open = Callable[[], Lockstream]
type Clients = Callable[[], AbstractContextManager[TestClient]]
type AsyncClients = Callable[[Open], AbstractAsyncContextManager[httpx.AsyncClient]]


def _keeps_contract(answer: Any) -> None:
    if find_spec("jsonschema") and find_spec("yaml"):
        from lockstream.tests.support.contract import assert_keeps_contract

        answer.read()
        assert_keeps_contract(answer)


async def _async_keeps_contract(answer: httpx.Response) -> None:
    await answer.aread()
    _keeps_contract(answer)


def open_from_environment() -> Lockstream:
    return deployment_of(Settings()).start()


@pytest.fixture
def clients() -> Clients:
    """Opens the application over this test's log, as often as one likes, and gives a client of it."""

    @contextmanager
    def open_client() -> Iterator[TestClient]:
        with TestClient(create_app(open_from_environment), follow_redirects=False) as client:
            client.event_hooks["response"].append(_keeps_contract)
            yield client

    return open_client


@pytest.fixture
def client(clients: Clients) -> Iterator[TestClient]:
    with clients() as client:
        yield client


@asynccontextmanager
async def concurrent_client(open_lockstream: Open) -> AsyncIterator[httpx.AsyncClient]:
    """A client that can have many requests under way at once."""
    app = create_app(open_lockstream)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        hooks = {"response": [_async_keeps_contract]}
        async with httpx.AsyncClient(transport=transport, base_url="http://lockstream", event_hooks=hooks) as client:
            yield client


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve `app` on a free port, on the server that comes with Lockstream; gives the base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(app, Settings()))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def served() -> Iterator[str]:
    with serving(create_app(open_from_environment)) as url:
        yield url

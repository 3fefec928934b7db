"""Clients of the application in this process, which compare every response with `openapi.yaml`.

If the development packages are missing, the tests run all the same, and the contract is not checked.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import uvicorn
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.presentation.server.run import configuration
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings

type OpenLockstream = Callable[[], Lockstream]


def open_from_environment() -> Lockstream:
    return deployment_of(Settings()).start()


def check_contract(response: Any, prefix: str = "") -> None:
    """Assert that a response conforms to `openapi.yaml`, if the development packages are installed."""
    if find_spec("jsonschema") and find_spec("yaml"):
        from lockstream.tests.support.contract import assert_keeps_contract

        response.read()
        assert_keeps_contract(response, prefix)


@contextmanager
def contract_client(app: Any, prefix: str = "", *, is_checked: bool = True, **more: Any) -> Iterator[TestClient]:
    """Give a client of `app`, which follows no redirects. `prefix` is the path under which it reaches the API."""
    with TestClient(app, follow_redirects=False, **more) as client:
        if is_checked:
            client.event_hooks["response"].append(lambda response: check_contract(response, prefix))
        yield client


@asynccontextmanager
async def concurrent_client(
    open_lockstream: OpenLockstream, *, is_checked: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that can send many requests at once. Checking the contract takes some 0.3 ms per batched event."""
    app = create_app(open_lockstream)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        hooks = {"response": [_check_async]} if is_checked else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://lockstream", event_hooks=hooks) as client:
            yield client


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """Serve `app` on a port, or a free one, on the server that comes with Lockstream; give the base URL."""
    with socket.create_server(("127.0.0.1", port)) as listener, _serving_on(listener, app):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving_on_unix_socket(app: Any, path: Path) -> Iterator[httpx.Client]:
    """Serve `app` on a Unix socket; give a client of it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with (
            _serving_on(listener, app),
            httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://lockstream") as client,
        ):
            yield client


@contextmanager
def _serving_on(listener: socket.socket, app: Any) -> Iterator[None]:
    server = uvicorn.Server(configuration(app, Settings()))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


async def _check_async(response: httpx.Response) -> None:
    await response.aread()
    check_contract(response)

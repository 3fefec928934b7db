"""A server whose connections measure time by a clock that tests move, so no test waits and none is too slow.

`python -m lockstream.tests.presentation.server.manual_clock` serves the log that the environment names, as
`lockstream serve` does. `pass_seconds` moves the clock.
"""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from threading import Thread
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from lockstream.presentation.http.app import create_app
from lockstream.presentation.server.protocol import Connection, connection_class
from lockstream.presentation.server.run import Server, configuration
from lockstream.presentation.server.server_log import configure_server_log
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.presentation.server.client import RawConnection
from lockstream.tests.support.processes import TIMEOUT_SECONDS, wait_until

NEVER_SECONDS = 1e6
"""Length of a second on the server's own clock: longer than any test, so that only `pass_seconds` moves it."""

KEEP_ALIVE_SECONDS = 0
"""Time after which uvicorn would close an idle connection, if that were not left to LOCKSTREAM_HEADER_SECONDS."""


def clocked_server(app: FastAPI, settings: Settings, **address: Any) -> Server:
    """Return a server of `app`. In front of it is the endpoint `/clock`, which moves the clock of connections."""

    async def with_clock(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/clock":
            response = await clock(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    config = configuration(with_clock, settings, NEVER_SECONDS, timeout_keep_alive=KEEP_ALIVE_SECONDS, **address)
    connections: dict[int, _ObservedConnection] = {}
    bases = (_ObservedConnection, connection_class(settings, NEVER_SECONDS))
    config.http = type("ClockedConnection", bases, {"by_port": connections})

    async def clock(request: Request) -> Response:
        given = await request.json()
        for port, opened_at, sent_bytes in given["connections"]:
            if not _has_received(connections.get(port), opened_at, sent_bytes):
                return Response(status_code=503)
        for _ in range(given["seconds"]):
            for port, *_ in given["connections"]:
                connections[port].tick_once()
            await asyncio.sleep(0)
        return Response()

    return Server(config, lambda: False)


def pass_seconds(seconds: int, *connections: RawConnection) -> None:
    """Let the server's clock of these connections advance, once it has received all that they have sent."""
    given = [[connection.port, connection.opened_at, connection.sent_bytes] for connection in connections]
    body = json.dumps({"seconds": seconds, "connections": given})
    with closing(HTTPConnection("127.0.0.1", connections[0].server_port, timeout=TIMEOUT_SECONDS)) as client:
        wait_until(lambda: _status(client, body) == 200)


def wait_until_received(*connections: RawConnection) -> None:
    """Wait until the server has received all that these connections have sent."""
    pass_seconds(0, *connections)


def pass_seconds_until(condition: Callable[[], bool], connection: RawConnection) -> int:
    """Advance the clock of a connection until a condition holds; return the number of seconds."""
    seconds = 0

    def holds_after_a_second() -> bool:
        nonlocal seconds
        pass_seconds(1, connection)
        seconds += 1
        return condition()

    wait_until(holds_after_a_second)
    return seconds


@contextmanager
def running(app: FastAPI) -> Iterator[int]:
    """Serve `app` with such a clock in a thread; yield the port."""
    server = clocked_server(app, Settings(), port=0, timeout_graceful_shutdown=TIMEOUT_SECONDS)
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def _status(client: HTTPConnection, body: str) -> int:
    client.request("POST", "/clock", body)
    response = client.getresponse()
    response.read()
    return response.status


class _ObservedConnection(Connection):
    """A connection that counts received bytes, and whose clock can be moved."""

    by_port: dict[int, "_ObservedConnection"]
    received_bytes = 0
    is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.made_at = time.monotonic()
        if self.client:  # it is unknown if the client has already disconnected
            self.by_port[self.client[1]] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received_bytes += len(data)

    def tick_once(self) -> None:
        if not self.is_lost:
            self._next_tick.cancel()
            self._tick()


def _has_received(connection: _ObservedConnection | None, opened_at: float, sent_bytes: int) -> bool:
    """Return whether this connection has received so many bytes, or was lost. The system uses its port again later."""
    if connection is None or connection.made_at < opened_at:
        return False
    return connection.is_lost or connection.received_bytes >= sent_bytes


def main() -> None:
    settings = Settings()
    configure_server_log(settings.log_level)
    app = create_app(lambda: deployment_of(settings).start(), lambda: settings)
    server = clocked_server(app, settings, port=settings.port, timeout_graceful_shutdown=settings.stop_seconds)
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, server.handle_exit)
    server.run()


if __name__ == "__main__":
    main()

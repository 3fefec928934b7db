"""A stream whose client reads nothing is closed after the time limit, although new parts go on coming."""

import asyncio
import logging
import socket
from contextlib import closing

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from lockstream.presentation.server.protocol import Connection, connection_class
from lockstream.settings import Settings
from lockstream.tests.presentation.server.client import get

PART = b"x" * 300
NEVER_SECONDS = 1e6
"""Length of a second on the connection's own clock, so that only the test moves it."""

SECONDS = 60
"""Time that a stream has. `LOCKSTREAM_BODY_SECONDS` is 30 by default."""


class Stream:
    """An application whose response is a stream of parts, and a connection to it that has small buffers."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[bytes] = asyncio.Queue()
        self._own, self.client = socket.socketpair()
        for end in (self._own, self.client):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.client.setblocking(False)

    async def open(self) -> Connection:
        """Return the server's side of the connection, once the stream has begun."""
        new_connection = connection_class(Settings(), NEVER_SECONDS)
        config = uvicorn.Config(self._respond, interface="asgi3", lifespan="off", access_log=False, log_config=None)
        config.load()
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: new_connection(config=config, server_state=ServerState(), app_state={}), self._own
        )
        self.client.sendall(get())
        await self.send_part()
        return connection

    async def send_part(self, part: bytes = PART) -> None:
        """Let the application send a part. An empty one is the last."""
        self._parts.put_nowait(part)
        await self._parts.join()
        await asyncio.sleep(0)  # so that the loop writes it

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        part = PART
        while part:
            part = await self._parts.get()
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})
            self._parts.task_done()


async def seconds_until_closed(connection: Connection, stream: Stream, *, reads: bool) -> int | None:
    """Send a part each second of the connection's clock, while bytes wait for the client. Return the seconds until the
    server has closed the connection, or None if it is open after several times the limit.
    """
    for seconds in range(3 * SECONDS):
        await stream.send_part()
        if reads:
            stream.client.recv(len(PART))
        connection._tick()
        if connection.transport.is_closing():
            return seconds
    return None


async def with_waiting_bytes(*, reads: bool) -> int | None:
    stream = Stream()
    with closing(stream.client):
        connection = await stream.open()
        while not connection.transport.get_write_buffer_size():
            await stream.send_part()
        try:
            return await seconds_until_closed(connection, stream, reads=reads)
        finally:
            connection.transport.abort()
            await stream.send_part(b"")


def test_a_client_that_reads_nothing_is_disconnected_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert uvloop.run(with_waiting_bytes(reads=False)) == SECONDS + 1
    [record] = [record for record in caplog.records if record.name.startswith("lockstream")]
    assert record.event_name == "stalled_client_closed"  # type: ignore[attr-defined]
    assert f"has read nothing of its response for {SECONDS} seconds" in record.getMessage()


def test_a_client_that_reads_as_much_as_is_sent_stays_connected() -> None:
    assert uvloop.run(with_waiting_bytes(reads=True)) is None

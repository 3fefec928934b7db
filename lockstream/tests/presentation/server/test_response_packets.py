"""The head of a response is sent together with its body, and a response in parts arrives whole."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import closing
from http.client import HTTPConnection
from threading import Event

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lockstream.tests.presentation.server.client import RawConnection, event, get, request
from lockstream.tests.presentation.server.guarded_server import GuardedServer
from lockstream.tests.presentation.server.manual_clock import running
from lockstream.tests.support.processes import TIMEOUT_SECONDS


def test_a_response_is_sent_in_one_piece(served: GuardedServer) -> None:
    """Bytes that are written at once on one machine are read at once. A head sent alone would mostly be read alone."""
    with served.connect() as connection:
        for number in range(50):
            connection.send(request(event(f"c{number}", locker="one piece")))
            head, _, body = connection.socket.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 202 ")
            assert b"content-length: %d" % len(body) in head
            assert body.endswith(b"}")


def test_a_response_without_a_body_is_sent_at_once(served: GuardedServer) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.send(request(path="/health/live", method="HEAD", content_type=None, content_length=None))
            assert connection.socket.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.send(get())
        assert connection.response().status == 404


def test_a_response_in_parts_arrives_whole_at_a_client_that_reads_late() -> None:
    sent = [b"first", b"", b"a" * 100_000, b"b", b"c" * 8_000_000, b"last"]
    app = FastAPI()

    @app.get("/parts")
    async def in_parts() -> Response:
        return StreamingResponse(parts())

    async def parts() -> AsyncIterator[bytes]:
        for part in sent:
            yield part

    with running(app) as port, closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)) as connection:
        for _ in range(2):
            # given a client that lets the server's buffers fill up
            connection.request("GET", "/parts")
            time.sleep(0.1)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"".join(sent))


@pytest.mark.parametrize("requests", [1, 2])
def test_a_response_in_parts_ends_without_an_error_if_the_client_leaves(
    requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    class InParts(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(100):
                    await send({"type": "http.response.body", "body": b"a" * 1_000_000, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                ended.set()

    app, ended = FastAPI(), Event()
    app.mount("/", InParts())
    with running(app) as port:
        # given a client that has sent one request, or two at once, and that leaves during the first response
        with RawConnection(port) as connection:
            connection.send(get("/parts") * requests)
            assert connection.socket.recv(100_000)
        assert ended.wait(TIMEOUT_SECONDS)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

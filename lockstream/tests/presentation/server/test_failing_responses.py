"""Responses that fail halfway, or whose request does: no client waits for a response that never comes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from lockstream.tests.presentation.server.client import RawConnection, chunked, get, request
from lockstream.tests.presentation.server.manual_clock import running
from lockstream.tests.support.processes import TIMEOUT_SECONDS


class SlowApplication:
    """An application whose responses begin and then wait, or fail."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.has_begun, self.may_go_on = Event(), Event()

        @self.app.get("/begins")
        async def begins() -> Response:
            return StreamingResponse(self._late(), headers={"content-length": "4"})

        @self.app.get("/fails")
        async def fails() -> Response:
            raise RuntimeError

        @self.app.post("/reads")
        async def reads(_: dict[str, str]) -> Response:
            return Response()

    async def _late(self) -> AsyncIterator[bytes]:
        self.has_begun.set()
        await asyncio.to_thread(self.may_go_on.wait, TIMEOUT_SECONDS)
        yield b"late"


@contextmanager
def slow_application() -> Iterator[tuple[SlowApplication, int]]:
    """Serve it; yield it and the port. The server stops at the end, although it waits for each open request."""
    application = SlowApplication()
    with running(application.app) as port:
        try:
            yield application, port
        finally:
            application.may_go_on.set()


def test_a_request_that_becomes_malformed_after_its_response_has_begun_gets_400() -> None:
    with slow_application() as (application, port), RawConnection(port) as connection:
        # given a response that has begun, and whose request has not ended
        connection.send(get("/begins", transfer_encoding="chunked"))
        assert application.has_begun.wait(TIMEOUT_SECONDS)
        # when the rest of the request is malformed
        connection.send(b"ZZ\r\n")
        # then only the refusal is sent
        assert connection.response().status == 400
        connection.end_sending()
        assert connection.is_at_end()


def test_a_response_that_begins_before_its_body_is_sent_whole() -> None:
    with slow_application() as (application, port), RawConnection(port) as connection:
        connection.send(get("/begins") + get("/docs"))
        assert application.has_begun.wait(TIMEOUT_SECONDS)
        application.may_go_on.set()
        response = connection.response()
        assert (response.status, response.body) == (200, b"late")
        assert connection.response().status == 200


@pytest.mark.parametrize("body", [b"{}", b'{"a":"b"}GARBAGE\r\n\r\n'], ids=["incomplete", "malformed"])
def test_a_request_behind_one_that_fails_does_not_keep_the_connection_open(body: bytes) -> None:
    with slow_application() as (_, port), RawConnection(port) as connection:
        connection.send(get("/fails") + request(path="/reads", content_length=9) + body)
        assert connection.response().status == 500
        assert connection.is_at_end()


def test_a_server_that_stops_does_not_wait_for_a_client_that_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as opened:
        with slow_application() as (_, port):
            connection = opened.enter_context(RawConnection(port))
            connection.send(chunked(b"ZZ\r\n", path="/reads"))
            assert connection.response().status == 400
        assert "timeout graceful shutdown exceeded" not in caplog.text
        assert connection.is_at_end()

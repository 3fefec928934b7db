"""The limits of a connection also hold while the server still catches up with its log."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from lockstream.core.ports import OnProgress
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lifecycle import BackgroundStart
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.server.client import RawConnection, Response, event, get, request
from lockstream.tests.presentation.server.manual_clock import pass_seconds, running
from lockstream.tests.support.processes import TIMEOUT_SECONDS


class SlowStartup:
    """A server that catches up with its log until `finish`."""

    def __init__(self, port: int, may_finish: Event, startup: BackgroundStart) -> None:
        self.port = port
        self._may_finish = may_finish
        self._startup = startup

    def finish(self) -> None:
        self._may_finish.set()
        self._startup.wait(TIMEOUT_SECONDS)

    def only_response_to(self, *parts: bytes, after_seconds: int = 0) -> Response:
        """Return the one response on a connection that the server then closes."""
        with RawConnection(self.port) as connection:
            connection.send(*parts)
            pass_seconds(after_seconds, connection)
            response = connection.response()
            assert connection.is_at_end()
        return response


@pytest.fixture
def startup(log_path: Path) -> Iterator[SlowStartup]:
    may_finish = Event()

    def start_slowly(_: OnProgress) -> Lockstream:
        assert may_finish.wait(TIMEOUT_SECONDS)
        return deployment_of(Settings()).start()

    with BackgroundStart(start_slowly) as startup, running(create_app(startup.lockstream)) as port:
        try:
            yield SlowStartup(port, may_finish, startup)
        finally:
            may_finish.set()


def test_a_malformed_request_gets_400(startup: SlowStartup) -> None:
    assert startup.only_response_to(b"\x16\x03\x01\r\n\r\n").status == 400


def test_headers_that_are_too_large_get_431(startup: SlowStartup) -> None:
    assert startup.only_response_to(get(x="y" * Settings().max_header_bytes)).status == 431


def test_headers_that_are_too_slow_get_408(startup: SlowStartup) -> None:
    response = startup.only_response_to(b"GET /health/ready HTTP/1.1\r\n", after_seconds=Settings().header_seconds + 1)
    assert response.status == 408
    assert "LOCKSTREAM_HEADER_SECONDS" in response.detail


def test_an_event_gets_503_before_its_body_has_arrived(startup: SlowStartup) -> None:
    with RawConnection(startup.port) as connection:
        connection.send(request(b"{", content_length=1000))
        response = connection.response()
        assert response.status == 503
        assert "Try again later" in response.detail
        # and the client does not have to send the rest
        pass_seconds(Settings().body_seconds + 1, connection)
        assert connection.is_at_end()


def test_requests_are_served_as_soon_as_the_startup_has_finished(startup: SlowStartup) -> None:
    with RawConnection(startup.port) as connection:
        connection.send(get("/health/ready"))
        assert connection.response().status == 503
        startup.finish()
        connection.send(request(event()))
        assert connection.response().status == 202

"""The limits of a connection hold from the first moment on, also while the log is still being caught up with."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from urllib.parse import urlsplit

import pytest

from lockstream.core.ports import OnProgress
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lifecycle import BackgroundStart
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.http.conftest import serving
from lockstream.tests.presentation.server.client import Answer, Wire, event, get, request
from lockstream.tests.support.processes import TIMEOUT_SECONDS

SECONDS = 1


@contextmanager
def opening() -> Iterator[tuple[int, Event, BackgroundStart]]:
    """The port of a server that opens its log until the event is set."""
    caught_up = Event()

    def open_slowly(_: OnProgress) -> Lockstream:
        assert caught_up.wait(TIMEOUT_SECONDS)
        return deployment_of(Settings()).start()

    with BackgroundStart(open_slowly) as under_way, serving(create_app(under_way.get)) as url:
        try:
            port = urlsplit(url).port
            assert port
            yield port, caught_up, under_way
        finally:
            caught_up.set()


def answered(port: int, *parts: bytes) -> Answer:
    """The one answer of a connection that the server ends."""
    with Wire(port) as wire:
        wire.send(*parts)
        answer = wire.answer()
        assert wire.ended()
    return answer


def test_the_limits_hold_while_the_log_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in "HEADER", "BODY":
        monkeypatch.setenv(f"LOCKSTREAM_{setting}_SECONDS", str(SECONDS))
    with opening() as (port, caught_up, under_way):
        # when clients do not behave, then each is told so
        assert answered(port, b"\x16\x03\x01\r\n\r\n").status == 400
        assert answered(port, get(x="y" * Settings().max_header_bytes)).status == 431
        too_slow = answered(port, b"GET /health/ready HTTP/1.1\r\n")
        assert too_slow.status == 408
        assert "LOCKSTREAM_HEADER_SECONDS" in too_slow.detail
        # what is not waited for is answered before it has come, and let go of
        not_yet = answered(port, request(b"{", content_length=1000))
        assert not_yet.status == 503
        assert "Try again later" in not_yet.detail
        # and who behaves is served as soon as that is possible
        with Wire(port) as wire:
            wire.send(get("/health/ready"))
            assert wire.answer().status == 503
        caught_up.set()
        under_way.wait(TIMEOUT_SECONDS)
        with Wire(port) as wire:  # who was silent for as long as it took may have been hung up on
            wire.send(request(event()))
            assert wire.answer().status == 202

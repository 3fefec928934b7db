"""LOCKSTREAM_ACCESS_LOG: which requests are logged, and what a line says of them."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.presentation.http.telemetry import access_log
from lockstream.presentation.http.telemetry.access_log import AccessLog
from lockstream.presentation.http.telemetry.exchanges import Exchange
from lockstream.services.running.lockstream import Lockstream
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.clients import contract_client, open_from_environment

type OpenClient = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """A function that returns the records of the access log so far."""
    return lambda: [record for record in caplog.records if record.name == "lockstream.access"]


@pytest.fixture
def open_client(monkeypatch: pytest.MonkeyPatch) -> OpenClient:
    @contextmanager
    def open_with(
        share: str, *, is_checked: bool = True, client: tuple[str, int] = ("testclient", 1), **settings: str
    ) -> Iterator[TestClient]:
        for name, value in {"ACCESS_LOG": share, **settings}.items():
            monkeypatch.setenv(f"LOCKSTREAM_{name}", value)
        app = create_app(open_from_environment)
        with contract_client(app, is_checked=is_checked, client=client, raise_server_exceptions=False) as opened:
            yield opened

    return open_with


def exchange(status: int | None = 200, seconds: float = 0.001, *, may_wait: bool = False) -> Exchange:
    return Exchange("GET", "/network", "get_network", may_wait, "192.0.2.1", "id", status=status, seconds=seconds)


def test_a_line_says_how_a_request_was_answered(open_client: OpenClient, logged: Callable[[], list[Any]]) -> None:
    with open_client("on") as client:
        posted = client.post("/events?note=query", json=registered(), headers={"X-Request-ID": "delivery-17"})
        read = client.head(f"/lockers/{LOCKER}")
        client.get("/docs")
    report, head, page = logged()
    assert {name: getattr(report, name) for name in ("method", "path", "operation", "status", "request_id")} == {
        "method": "POST",
        "path": "/events",
        "operation": "post_event",
        "status": 202,
        "request_id": "delivery-17",
    }
    assert (report.event_name, report.address, report.key_id) == ("request", "testclient", None)
    assert report.bytes == len(posted.content)
    assert report.duration_ms > 0
    assert report.getMessage().startswith("POST /events 202 in ")
    assert report.getMessage().endswith(f" ms, {len(posted.content)} bytes, from testclient, request delivery-17")
    assert (head.method, head.operation, head.bytes) == ("HEAD", "get_locker", 0)
    assert head.request_id == read.headers["x-request-id"]
    assert (page.path, page.operation, page.status) == ("/docs", "other", 200)


def test_nothing_is_logged_by_default(client: TestClient, logged: Callable[[], list[Any]]) -> None:
    assert client.get("/network").status_code == 200
    assert logged() == []


def test_a_proxy_and_browsers_are_logged_as_the_application_sees_them(
    open_client: OpenClient, logged: Callable[[], list[Any]]
) -> None:
    settings = {"TRUSTED_PROXIES": "unix,10.0.0.0/8", "ROOT_PATH": "/parcels", "CORS_ORIGINS": "https://ops.example"}
    with open_client("on", is_checked=False, client=("10.0.0.1", 1), **settings) as client:
        client.get("/parcels/network", headers={"X-Forwarded-For": "192.0.2.7"})
        client.options("/events", headers={"Origin": "https://ops.example", "Access-Control-Request-Method": "POST"})
    read, preflight = logged()
    assert (read.path, read.operation, read.address) == ("/network", "get_network", "192.0.2.7")
    assert (preflight.method, preflight.status, preflight.address) == ("OPTIONS", 200, "10.0.0.1")


@pytest.mark.parametrize(
    ("one", "is_logged"),
    [
        (exchange(), False),
        (exchange(404), False),
        (exchange(499), False),
        (exchange(500), True),
        (exchange(503), True),
        (exchange(None), True),
        (exchange(seconds=1.0), True),
        (exchange(seconds=30.0, may_wait=True), False),
        (exchange(503, may_wait=True), True),
    ],
)
def test_failed_and_slow_requests_are_logged_whatever_the_share(
    logged: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch, one: Exchange, is_logged: bool
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.01)
    AccessLog(0.01).note(one)
    assert len(logged()) == is_logged
    AccessLog(0.02).note(one)
    assert len(logged()) == is_logged + 1


def test_a_page_of_the_console_that_waits_for_events_is_not_slow(
    open_client: OpenClient, logged: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each open page of the console reads the feed for as long as it is open."""
    monkeypatch.setattr(access_log, "SLOW_SECONDS", 0)
    with open_client("0.000001", is_checked=False) as client:
        for path in ("/events?after=0", "/console/api/events?after=0", "/console/api/events/stream?after=0"):
            client.head(path)
        assert logged() == []
        client.get("/console/api/network")
    assert [line.path for line in logged()] == ["/console/api/network"]


def test_a_failed_request_is_logged_with_the_id_of_its_response(
    open_client: OpenClient, logged: Callable[[], list[Any]], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Lockstream, "list", fail)
    with open_client("0.000001") as client:
        response = client.get("/network")
    assert response.status_code == 500
    [line] = logged()
    [failure] = [one for one in caplog.records if vars(one).get("event_name") == "request_failed"]
    assert line.request_id == vars(failure)["request_id"] == response.headers["x-request-id"]
    assert failure.levelno == logging.ERROR
    assert response.headers.get_list("x-request-id") == [line.request_id]

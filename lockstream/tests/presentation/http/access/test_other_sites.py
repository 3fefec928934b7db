"""Requests that pages of other sites send to a server without keys, by a browser on its machine or by DNS rebinding."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.core.entities.keys import AuditAction, AuditQuery
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import contract_client, serving, serving_on_unix_socket
from lockstream.tests.support.keys import bearer, created, request
from lockstream.tests.support.log_audit import audited

LOOPBACK = "http://127.0.0.1:8000"
PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}

CROSS_SITE: list[Mapping[str, str]] = [
    PAGE,
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "null"},
]
OWN: list[Mapping[str, str]] = [
    {},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": LOOPBACK},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind-a-proxy.example"},
    {"Origin": LOOPBACK},
]


@contextmanager
def opened(**settings: object) -> Iterator[TestClient]:
    """Give an HTTP client of a server that listens on a loopback address, over this test's log."""
    chosen = Settings.model_validate(settings)
    app = create_app(lambda: deployment_of(chosen).start(), lambda: chosen)
    with contract_client(app, base_url=LOOPBACK) as client:
        yield client


def post(client: TestClient | httpx.Client, headers: Mapping[str, str], path: str = "/events") -> Any:
    return client.post(path, content=json.dumps(registered("c1")).encode(), headers=dict(headers))


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
@pytest.mark.parametrize("auth", ["on", "off"])
def test_a_page_of_another_site_changes_nothing(auth: str, headers: Mapping[str, str], log_path: Path) -> None:
    with opened(auth=auth) as client:
        for path in "/events", "/events/batch", "/quarantine/resubmit", "/keys":
            response = post(client, headers, path)
            assert (response.status_code, response.json()["code"]) == (403, "cross_site")
            assert "LOCKSTREAM_CORS_ORIGINS" in response.json()["detail"]
        # it may send a read, whose response a browser does not show to it
        assert client.get("/network", headers=dict(headers)).status_code == 200
    assert audited(log_path) == []
    if auth == "on":
        with closing(FileKeyStore(log_path)) as store:
            found = store.audit(AuditQuery(action=AuditAction.REFUSED), None, 10)
        assert {(one.entry.operation, one.entry.code) for one in found} >= {("post_event", "cross_site")}


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_own_pages_and_other_programs_are_served(headers: Mapping[str, str]) -> None:
    with opened() as client:
        response = client.post("/events", json=registered("c1"), headers=dict(headers))
        assert response.status_code == 202


@pytest.mark.parametrize("origins", ["https://evil.example", "*"])
def test_origins_of_the_settings_are_served(origins: str) -> None:
    with opened(cors_origins=origins) as client:
        headers = {name: value for name, value in PAGE.items() if name != "Content-Type"}
        assert client.post("/events", json=registered("c1"), headers=headers).status_code == 202
        if origins != "*":
            response = client.post("/events", json=registered("c2"), headers={"Origin": "https://other.example"})
            assert response.json()["code"] == "cross_site"


def test_a_server_with_keys_asks_for_nothing_else(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(Scope.EVENTS_WRITE)).text
    with opened() as client:
        headers = {
            **bearer(key),
            "Origin": "https://ops.example",
            "Sec-Fetch-Site": "cross-site",
            "Host": "any.example",
        }
        assert client.post("/events", json=registered("c1"), headers=headers).status_code == 202


FOREIGN_HOSTS = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7"]
OWN_HOSTS = [
    *("127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:8000", "app.localhost:1", "127.8.8.8", "[::1]:8000"),
    "[::1]",
]


def test_a_name_that_was_rebound_to_this_machine_reads_and_changes_nothing() -> None:
    with opened() as client:
        for host in FOREIGN_HOSTS:
            for response in (
                client.get("/network", headers={"Host": host}),
                client.get("/events?after=0", headers={"Host": host, "Origin": f"http://{host}"}),
                client.get("/docs", headers={"Host": host}),
                client.post("/events", json=registered("c1"), headers={"Host": host, "Origin": f"http://{host}"}),
            ):
                assert (response.status_code, response.json()["code"]) == (403, "host_not_allowed")
        for host in OWN_HOSTS:
            assert client.get("/network", headers={"Host": host}).status_code == 200
        assert client.get("/health/live", headers={"Host": "evil.example"}).status_code == 200


def test_any_host_may_be_named_if_keys_are_off_or_by_a_unix_socket(tmp_path: Path) -> None:
    with opened(auth="off") as client:
        assert client.get("/network", headers={"Host": "lockers.example"}).status_code == 200
    settings = Settings.model_validate({"EVENT_LOG_PATH": tmp_path / "other.jsonl"})
    app = create_app(lambda: deployment_of(settings).start(), lambda: settings)
    with serving_on_unix_socket(app, tmp_path / "socket") as client:
        assert client.get("/network", headers={"Host": "lockers.example"}).status_code == 200


def test_a_real_server_refuses_both(log_path: Path) -> None:
    settings = Settings.model_validate({"EVENT_LOG_PATH": log_path})
    with (
        serving(create_app(lambda: deployment_of(settings).start(), lambda: settings)) as url,
        httpx.Client(base_url=url) as client,
    ):
        assert client.get("/network").status_code == 200
        assert client.get("/network", headers={"Host": "evil.example"}).json()["code"] == "host_not_allowed"
        assert post(client, PAGE).json()["code"] == "cross_site"
        assert client.post("/events", json=registered("c1"), headers={"Origin": url}).status_code == 202

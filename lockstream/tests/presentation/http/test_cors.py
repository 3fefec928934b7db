"""LOCKSTREAM_CORS_ORIGINS: which browser applications may call the API."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.settings import Settings
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.clients import contract_client, open_from_environment

OURS, ALSO_OURS, FOREIGN = "https://ops.example", "http://localhost:3000", "https://evil.example"

PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type, lockstream-min-position, content-encoding, authorization",
}

type BrowserClient = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def browser_client(monkeypatch: pytest.MonkeyPatch) -> BrowserClient:
    """A function that opens the application with some LOCKSTREAM_CORS_ORIGINS, and gives a client of it.

    Preflight requests are not part of the contract.
    """

    @contextmanager
    def open_client(origins: str | None, *, is_checked: bool = True) -> Iterator[TestClient]:
        if origins is not None:
            monkeypatch.setenv("LOCKSTREAM_CORS_ORIGINS", origins)
        with contract_client(create_app(open_from_environment, Settings), is_checked=is_checked) as client:
            yield client

    return open_client


def cors_headers(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", ["/events", "/events/batch", f"/lockers/{LOCKER}", "/docs", "/openapi.json"])
def test_a_preflight_gets_405_by_default(browser_client: BrowserClient, path: str) -> None:
    with browser_client(None) as client:
        response = client.options(path, headers={"origin": OURS} | PREFLIGHT)
    assert response.status_code == 405
    assert cors_headers(response) == {}


def test_a_response_has_no_cors_header_by_default(browser_client: BrowserClient) -> None:
    with browser_client(None) as client:
        client.post("/events", json=registered())
        posted = client.post("/events", json=registered(), headers={"origin": OURS})
        read = client.get(f"/lockers/{LOCKER}", headers={"origin": OURS})
    assert (posted.status_code, read.status_code) == (403, 200), "without keys, another site may not change anything"
    assert cors_headers(posted) == cors_headers(read) == {}
    assert "vary" not in posted.headers


@pytest.mark.parametrize("origin", [OURS, ALSO_OURS])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_preflight_of_a_configured_origin_is_allowed(browser_client: BrowserClient, origin: str, method: str) -> None:
    with browser_client(f"{OURS}, {ALSO_OURS}", is_checked=False) as client:
        response = client.options(
            "/events/batch", headers={"origin": origin} | PREFLIGHT | {"access-control-request-method": method}
        )
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in response.headers
    assert set(response.headers["access-control-allow-methods"].split(", ")) == {"GET", "HEAD", "POST"}
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "content-encoding", "lockstream-min-position", "authorization"} <= set(allowed)
    assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": FOREIGN},
        {"origin": f"{OURS}.evil.example"},
        {"origin": OURS.replace("https", "http")},
        {"origin": "null"},
        {"origin": OURS, "access-control-request-method": "DELETE"},
        {"origin": OURS, "access-control-request-headers": "x-another"},
    ],
    ids=["another origin", "a longer host", "another scheme", "null", "another method", "another header"],
)
def test_any_other_preflight_is_refused(browser_client: BrowserClient, headers: dict[str, str]) -> None:
    with browser_client(OURS, is_checked=False) as client:
        response = client.options("/events", headers=PREFLIGHT | headers)
    assert response.status_code == 400
    if headers["origin"] != OURS:
        assert "access-control-allow-origin" not in response.headers


def test_an_options_request_that_is_not_a_preflight_gets_405(browser_client: BrowserClient) -> None:
    with browser_client(OURS) as client:
        for headers in {"origin": OURS}, {"access-control-request-method": "POST"}:
            response = client.options("/events", headers=headers)
            assert (response.status_code, response.headers["allow"]) == (405, "POST, GET, HEAD")


def test_every_response_to_a_configured_origin_may_be_read(browser_client: BrowserClient) -> None:
    with browser_client(OURS) as client:
        headers = {"origin": OURS}
        # given a response of each kind: accepted, duplicate, malformed, batch, read, missing, documentation, refused
        event = registered()
        responses = [
            client.post("/events", json=event, headers=headers),
            client.post("/events", json=event, headers=headers),
            client.post("/events", json={}, headers=headers),
            client.post("/events/batch", json=[event], headers=headers),
            client.get(f"/lockers/{LOCKER}", headers=headers),
            client.head(f"/lockers/{LOCKER}", headers=headers),
            client.get("/lockers/unknown", headers=headers),
            client.get("/unknown", headers=headers),
            client.get("/openapi.json", headers=headers),
            client.delete("/events", headers=headers),
        ]
    assert [response.status_code for response in responses] == [202, 200, 422, 200, 200, 200, 404, 404, 200, 405]
    # then a script of that origin may read it, with the position and the time to wait
    for response in responses:
        assert response.headers["access-control-allow-origin"] == OURS
        exposed = response.headers["access-control-expose-headers"].split(", ")
        assert exposed == [
            *("Lockstream-Position", "Lockstream-Through", "Lockstream-Log"),
            *("Retry-After", "ETag", "Link", "Content-Disposition", "RateLimit", "RateLimit-Policy"),
            *("WWW-Authenticate", "X-Request-ID", "traceparent"),
        ]
        assert response.headers["vary"] == "Origin"


def test_an_unavailable_response_to_a_configured_origin_may_be_read(
    browser_client: BrowserClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTREAM_MIN_FREE_BYTES", str(1 << 60))
    with browser_client(OURS) as client:
        response = client.post("/events", json=registered(), headers={"origin": OURS})
    assert response.status_code == 503
    assert response.headers["access-control-allow-origin"] == OURS
    assert "Retry-After" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", [FOREIGN, f"{OURS}:8443", f"{OURS}/", OURS.upper(), "null", None])
def test_a_response_to_another_origin_may_not_be_read(browser_client: BrowserClient, origin: str | None) -> None:
    headers = {"origin": origin} if origin else {}
    with browser_client(OURS) as client:
        first = client.post("/events", json=registered())
        posted = client.post("/events", json=registered("c2"), headers=headers)
        read = client.get(f"/lockers/{LOCKER}", headers=headers)
    assert first.status_code == 202
    assert posted.status_code == (403 if origin else 202), "without keys, another site may not change anything"
    assert read.status_code == 200, "the browser keeps the rule of reads, not the server"
    for response in posted, read:
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "Origin", "a cache must not give it to a configured origin"


def test_an_asterisk_allows_every_origin(browser_client: BrowserClient) -> None:
    with browser_client("*", is_checked=False) as client:
        preflight = client.options("/events", headers={"origin": FOREIGN} | PREFLIGHT)
        posted = client.post("/events", json=registered(), headers={"origin": FOREIGN})
    assert (preflight.status_code, posted.status_code) == (200, 202)
    assert preflight.headers["access-control-allow-origin"] == posted.headers["access-control-allow-origin"] == "*"

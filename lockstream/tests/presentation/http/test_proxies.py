"""A path prefix of a proxy, by LOCKSTREAM_ROOT_PATH or X-Forwarded-Prefix, and a mounted Lockstream.

Address and scheme of the client, by X-Forwarded-For and X-Forwarded-Proto.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Mount

from lockstream.presentation.http.app import create_app
from lockstream.settings import Settings
from lockstream.tests.support.builders import COMPARTMENT, LOCKER, RESERVATION, deposited, registered, reserved
from lockstream.tests.support.clients import contract_client, open_from_environment, serving_on_unix_socket

PROXY, STRANGER = ("10.1.2.3", 40_000), ("192.0.2.1", 40_000)

PREFIXES = ["/lockstream", "/api/lockers/v1.2", "/a~b-c_d", "/events-of-lockers"]


@pytest.fixture(autouse=True)
def trusted_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1, unix")
    monkeypatch.setenv("LOCKSTREAM_AUTH", "off")  # without keys, no client of another machine is served


@contextmanager
def proxied_client(
    prefix: str = "", *, peer: tuple[str, int] | None = PROXY, forwarded: str | None = None
) -> Iterator[TestClient]:
    """Give a client of Lockstream alone, which sends `forwarded` in X-Forwarded-Prefix.

    The client asks for a path as the proxy `peer` sends it on: with `prefix`, if the proxy does not strip it.
    """
    headers = {} if forwarded is None else {"x-forwarded-prefix": forwarded}
    app = create_app(open_from_environment)
    with contract_client(app, prefix, client=peer, headers=headers) as client:
        yield client


def assert_serves_everything(client: TestClient, seen: str, public: str) -> None:
    """Use all of the API. The proxy sends it paths that begin with `seen`; users see paths that begin with `public`."""
    # every operation
    assert client.post(f"{seen}/events", json=registered()).status_code == 202
    assert client.post(f"{seen}/events/batch", json=[reserved()]).json()[0]["status"] == 202
    for path in f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/compartments/{COMPARTMENT}", f"/reservations/{RESERVATION}":
        assert client.get(seen + path).status_code == client.head(seen + path).status_code == 200
    for path in (
        "/network",
        "/lockers",
        f"/lockers/{LOCKER}/compartments",
        "/reservations",
        "/faults",
        "/search?q=l",
        "/events?after=0",
    ):
        assert client.get(seen + path).status_code == 200
    for path in "/health/live", "/health/ready":
        assert client.get(seen + path).status_code == 200
    # the contract, which names the prefix
    servers = client.get(f"{seen}/openapi.json").json().get("servers")
    assert servers == ([{"url": public}] if public else None)
    # the documentation, whose links are relative
    page = client.get(f"{seen}/docs")
    assert page.status_code == 200
    links = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    for link in (link or url for link, url in links):
        target = urljoin(f"http://host{public}/docs", link).removeprefix(f"http://host{public}")
        assert client.get(seen + target).status_code == 200, target
    # the root, unknown paths and methods
    root = client.get(f"{seen}/")
    assert (root.status_code, root.headers["location"]) == (307, f"{public}/docs")
    assert client.get(f"{seen}/unknown").status_code == 404
    assert client.delete(f"{seen}/events").headers["allow"] == "POST, GET, HEAD"


@pytest.mark.parametrize("is_stripped", [True, False], ids=["stripped", "kept"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_everything_is_served_under_the_root_path(
    monkeypatch: pytest.MonkeyPatch, prefix: str, is_stripped: bool
) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", prefix)
    seen = "" if is_stripped else prefix
    with proxied_client(seen) as client:
        assert_serves_everything(client, seen, prefix)


@pytest.mark.parametrize("is_stripped", [True, False], ids=["stripped", "kept"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_everything_is_served_under_the_prefix_of_a_trusted_proxy(prefix: str, is_stripped: bool) -> None:
    seen = "" if is_stripped else prefix
    with proxied_client(seen, forwarded=prefix) as client:
        assert_serves_everything(client, seen, prefix)


def test_everything_is_served_without_a_prefix() -> None:
    with proxied_client() as client:
        assert_serves_everything(client, "", "")


def test_the_prefix_of_an_untrusted_client_is_ignored() -> None:
    with proxied_client(peer=STRANGER, forwarded="/lockstream") as client:
        assert_serves_everything(client, "", "")
        assert client.get("/lockstream/health/live").status_code == 404


def test_the_root_path_counts_if_the_prefix_of_a_client_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", "/ours")
    with proxied_client(peer=STRANGER, forwarded="/theirs") as client:
        assert_serves_everything(client, "", "/ours")


def test_the_prefix_of_a_trusted_proxy_replaces_the_root_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", "/ours")
    with proxied_client(forwarded="/theirs") as client:
        assert_serves_everything(client, "", "/theirs")


@pytest.mark.parametrize("peer", [("10.255.0.1", 1), ("2001:db8::1", 1), ("2001:0db8:0:0::1", 1), None])
def test_a_trusted_proxy_has_a_configured_address_or_the_unix_socket(peer: tuple[str, int] | None) -> None:
    with proxied_client(peer=peer, forwarded="/lockstream") as client:
        assert client.get("/").headers["location"] == "/lockstream/docs"


@pytest.mark.parametrize("peer", [("11.0.0.1", 1), ("2001:db8::2", 1), ("::ffff:11.0.0.1", 1), ("a name", 1), ("", 1)])
def test_a_client_of_any_other_address_is_not_trusted(peer: tuple[str, int]) -> None:
    with proxied_client(peer=peer, forwarded="/lockstream") as client:
        assert client.get("/").headers["location"] == "/docs"


def test_no_client_is_trusted_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCKSTREAM_TRUSTED_PROXIES")
    for peer in PROXY, None:
        with proxied_client(peer=peer, forwarded="/lockstream") as client:
            assert client.get("/").headers["location"] == "/docs"


def test_a_client_of_the_unix_socket_is_trusted_only_if_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trusted, location in ("unix", "/lockstream/docs"), ("127.0.0.1", "/docs"):
        monkeypatch.setenv("LOCKSTREAM_TRUSTED_PROXIES", trusted)
        socket = tmp_path / f"{trusted}.sock"
        with serving_on_unix_socket(create_app(open_from_environment), socket) as client:
            response = client.get("/", headers={"x-forwarded-prefix": "/lockstream"})
            assert (response.status_code, response.headers["location"]) == (307, location)


HOSTILE = [
    *("//evil.example", "///evil.example", "/\\evil.example", "/a//evil.example"),
    *("https://evil.example", "evil.example"),
    *("/..", "/a/../..", "/./a", "/.", "/a/..", "/a b", "/a?b", "/a#b", "/a;b", "/a%2f%2fevil.example", "/a%0d%0ab"),
    *('/"><script>alert(1)</script>', "/'+alert(1)+'", "/{locker_id}", "/a, /b", "/é", "/a\x7f", "/a\tb", "/a\x00b"),
    *("", " ", "/", "//", "/" + "a/" * 5_000 + "?"),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_a_forwarded_prefix_that_is_not_a_plain_path_is_ignored(value: str) -> None:
    with proxied_client() as client:
        for path in "/", "/openapi.json", "/docs", "/health/live":
            response = client.get(path, headers={b"x-forwarded-prefix": value.encode()})
            assert response.status_code == (307 if path == "/" else 200)
            assert "evil" not in str(response.headers)
            assert path == "/docs" or "evil" not in response.text
            if path == "/":
                assert response.headers["location"] == "/docs"
            if path == "/openapi.json":
                assert "servers" not in response.json()


@pytest.mark.parametrize("value", [value for value in HOSTILE if value not in ("/", "/a\x00b")])
def test_a_root_path_that_is_not_a_plain_path_is_not_a_valid_setting(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings(root_path=value)


def test_slashes_at_the_end_of_a_prefix_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings(root_path="/a/").root_path, Settings(root_path="/").root_path) == ("/a", "")
    with proxied_client(forwarded="/lockstream/") as client:
        assert_serves_everything(client, "", "/lockstream")


def test_a_prefix_is_forgotten_after_its_request() -> None:
    with proxied_client() as client:
        for prefix in "/a", "/b", None, "/a":
            headers = {"x-forwarded-prefix": prefix} if prefix else {}
            servers = client.get("/openapi.json", headers=headers).json().get("servers")
            assert servers == ([{"url": prefix}] if prefix else None)


def test_the_prefix_alone_redirects_to_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", "/lockstream")
    with proxied_client("/lockstream") as client:
        for path in "/lockstream", "/lockstream/":
            assert client.get(path).headers["location"] == "/lockstream/docs"
        assert client.get("/lockstreams/health/live").status_code == 404


@contextmanager
def mounted_client(path: str, prefix: str, root_path: str = "") -> Iterator[TestClient]:
    """Give a client of another application, which mounts Lockstream at `path` and does not start it."""
    lockstream = create_app(open_from_environment)
    app = Starlette(routes=[Mount(path, lockstream)])
    try:
        with contract_client(app, prefix, client=PROXY, root_path=root_path) as client:
            yield client
    finally:
        asyncio.run(lockstream.lifecycle.close())


def test_lockstream_can_be_mounted_in_another_application() -> None:
    with mounted_client("/inside", "/inside") as client:
        assert_serves_everything(client, "/inside", "/inside")


def test_lockstream_can_be_mounted_behind_a_proxy_that_strips_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", "/outside")
    with mounted_client("/inside", "/inside") as client:
        assert_serves_everything(client, "/inside", "/outside/inside")


def test_lockstream_can_be_mounted_behind_a_proxy_that_keeps_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", "/outside")
    with mounted_client("/inside", "/outside/inside", root_path="/outside") as client:
        assert_serves_everything(client, "/outside/inside", "/outside/inside")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (PROXY, ["203.0.113.7"], "203.0.113.7"),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (PROXY, [" 203.0.113.7 , 10.9.9.9"], "203.0.113.7"),
        (PROXY, ["203.0.113.7", "10.9.9.9"], "203.0.113.7"),
        (PROXY, ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (PROXY, ["10.9.9.9"], PROXY[0]),
        (PROXY, ["203.0.113.7, unknown"], PROXY[0]),
        (PROXY, [""], PROXY[0]),
        (PROXY, [], PROXY[0]),
        (None, ["203.0.113.7"], "203.0.113.7"),
        (None, [], None),
        (STRANGER, ["203.0.113.7"], STRANGER[0]),
    ],
)
def test_the_remote_address_is_the_last_one_that_no_trusted_proxy_has(
    peer: tuple[str, int] | None, forwarded: list[str], expected: str | None
) -> None:
    """A client can send X-Forwarded-For itself, so only what trusted proxies have appended counts."""
    refused = deposited()
    headers = [("x-forwarded-for", value) for value in forwarded]
    with proxied_client(peer=peer) as client:
        assert client.post("/events", json=refused, headers=httpx.Headers(headers)).status_code == 422
        assert client.get(f"/quarantine/{refused['event_id']}").json()["address"] == expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "is_secure"),
    [
        (PROXY, ["https"], True),
        (PROXY, ["HTTPS"], True),
        (PROXY, ["http, https"], True),
        (PROXY, ["http", "https"], True),
        (PROXY, ["https, http"], False),
        (PROXY, ["https, "], False),
        (PROXY, ["wss"], False),
        (PROXY, [], False),
        (None, ["https"], True),
        (STRANGER, ["https"], False),
    ],
)
def test_the_scheme_is_that_of_the_nearest_trusted_proxy(
    peer: tuple[str, int] | None, forwarded: list[str], is_secure: bool
) -> None:
    headers = httpx.Headers([("x-forwarded-proto", value) for value in forwarded])
    with proxied_client(peer=peer) as client:
        for path in "/docs", "/lockers/unknown":
            assert ("strict-transport-security" in client.get(path, headers=headers).headers) == is_secure
        headers["host"] = "localhost"
        assert "strict-transport-security" not in client.get("/docs", headers=headers).headers

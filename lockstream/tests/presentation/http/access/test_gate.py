"""The gate: forms of the header, unknown paths and methods, documentation, keys in URLs, and servers without keys."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities import key_text
from lockstream.core.entities.access import Scope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.services.running.access.rate_limits import FailureLimits
from lockstream.settings import Settings
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.keys import bearer, created

DOCUMENTATION = ["/", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"]


@contextmanager
def opened(address: str = "testserver", *, open_docs: bool = False) -> Iterator[TestClient]:
    """Give a client of the application over this test's log, as a server at `address` would receive its requests."""
    with contract_client(
        create_app(open_from_environment, lambda: Settings(open_docs=open_docs)), base_url=f"http://{address}"
    ) as client:
        yield client


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {}"])
def test_the_scheme_is_written_in_any_case(guarded: Guarded, form: str) -> None:
    assert guarded.client.get("/network", headers={"Authorization": form.format(guarded.keys["all"])}).is_success


@pytest.mark.parametrize(
    "form",
    ["{}", "Basic {}", "Token {}", "Bearer", "Bearer ", "Bearer\t{}", "Bearer {}x", "Bearer x{}", "Bearer {0} {0}"],
)
def test_another_form_is_no_key(guarded: Guarded, form: str) -> None:
    response = guarded.client.get("/network", headers={"Authorization": form.format(guarded.keys["all"])})
    assert (response.status_code, response.json()["code"]) == (401, "key_malformed")


def test_two_keys_are_none(guarded: Guarded) -> None:
    header = ("Authorization", f"Bearer {guarded.keys['all']}")
    response = guarded.client.get("/network", headers=[header, header])
    assert (response.status_code, response.json()["code"]) == (401, "key_malformed")


def test_any_bytes_are_refused(guarded: Guarded) -> None:
    chance = random.Random(7)
    right = f"Bearer {guarded.keys['all']}".encode()
    for _ in range(300):
        place = chance.randrange(7, len(right))
        value = right[:place] + bytes([chance.randrange(33, 256)]) + right[place + chance.randint(0, 1) :]
        if value != right:
            assert guarded.client.get("/network", headers={b"Authorization": value}).status_code == 401


def test_every_typing_error_is_told_from_an_unknown_key(guarded: Guarded) -> None:
    text = guarded.keys["all"]
    for place in range(13, len(text)):
        typed = text[:place] + chr(ord(text[place]) + 1) + text[place + 1 :]
        response = guarded.client.get("/network", headers=bearer(typed))
        assert response.json()["code"] == "key_malformed"


def test_only_the_right_secret_learns_that_a_key_has_ended(guarded: Guarded) -> None:
    other = key_text.new_key_text().text
    for name in "revoked", "expired":
        body = guarded.keys[name][:13] + other[13:56]
        forged = f"{body}_{key_text._checksum(body)}"
        assert key_text.is_key_text(forged)
        assert guarded.client.get("/network", headers=bearer(forged)).json()["code"] == "key_unknown"


@pytest.mark.parametrize("path", ["/nowhere", "/events/batch", "/keys/a/b/c", "/favicon.ico", *DOCUMENTATION])
def test_other_paths_need_any_key(guarded: Guarded, path: str) -> None:
    assert guarded.client.get(path).status_code == 401
    assert guarded.client.get(path, headers=bearer(guarded.keys["expired"])).status_code == 401
    assert guarded.client.get(path, headers=bearer(guarded.keys["feed"])).status_code in (200, 307, 404, 405)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_need_any_key(guarded: Guarded, method: str) -> None:
    assert guarded.client.request(method, "/network").status_code == 401
    assert guarded.client.request(method, "/network", headers=bearer(guarded.keys["feed"])).status_code == 405


def test_head_needs_the_scope_of_get(guarded: Guarded) -> None:
    assert guarded.client.head("/network").status_code == 401
    assert guarded.client.head("/network", headers=bearer(guarded.keys["feed"])).status_code == 403
    assert guarded.client.head("/network", headers=bearer(guarded.keys["read"])).status_code == 200


def test_a_key_in_the_url_is_refused_even_if_it_is_right(guarded: Guarded) -> None:
    key = guarded.keys["all"]
    for url in f"/network?access_token={key}", f"/search?q={key}", f"/nowhere?{key}":
        response = guarded.client.get(url, headers=bearer(key))
        assert (response.status_code, response.json()["code"]) == (401, "key_in_url")
        assert key not in response.text
    assert guarded.client.get("/search?q=lsk_1", headers=bearer(key)).status_code == 200


def test_documentation_is_open_if_the_settings_say_so(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        created(store)
    with opened(open_docs=True) as client:
        for path in DOCUMENTATION:
            assert client.get(path).status_code in (200, 307)
        for path in "/docsx", "/network", "/nowhere", "/docs/asset":
            assert client.get(path).status_code == 401


@pytest.mark.parametrize("address", ["testserver", "127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_a_server_without_keys_is_open_on_its_own_machine(address: str) -> None:
    with opened(address) as client:
        assert client.get("/network").status_code == 200
        assert client.get("/network", headers={"Authorization": "Bearer anything"}).status_code == 200


@pytest.mark.parametrize("address", ["10.1.2.3", "192.0.2.7:8000", "[2001:db8::1]", "0.0.0.0"])
def test_a_server_without_keys_is_closed_to_a_network(address: str, log_path: Path) -> None:
    with opened(address) as client:
        response = client.get("/network")
        assert (response.status_code, response.json()["code"]) == (403, "keys_required")
        assert "lockstream keys create" in response.json()["detail"]
        assert "LOCKSTREAM_AUTH=off" in response.json()["detail"]
        assert client.get("/docs").status_code == 403
        assert client.get("/health/live").status_code == 200
    with closing(FileKeyStore(log_path)) as store:
        text = created(store).text
    with opened(address) as client:
        assert client.get("/network", headers=bearer(text)).status_code == 200


def test_keys_are_not_checked_if_the_settings_say_so(monkeypatch: pytest.MonkeyPatch, log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        text = created(store).text
    monkeypatch.setenv("LOCKSTREAM_AUTH", "off")
    with opened("10.1.2.3") as client:
        assert client.get("/network").status_code == 200
        for method, path in (
            ("GET", "/keys"),
            ("POST", "/keys"),
            ("GET", "/audit"),
            ("POST", f"/keys/{text[4:12]}/revoke"),
        ):
            response = client.request(
                method, path, json={"name": "x", "scopes": ["admin"]} if method == "POST" else None
            )
            assert (response.status_code, response.json()["code"]) == (403, "auth_off")


def test_the_first_key_closes_a_server(log_path: Path) -> None:
    with opened() as client:
        made = client.post("/keys", json={"name": "first", "scopes": [Scope.ADMIN, Scope.READ]})
        assert made.status_code == 201
        assert client.get("/network").status_code == 401
        assert client.get("/network", headers=bearer(made.json()["text"])).status_code == 200


def test_revoked_keys_leave_a_server_closed(log_path: Path) -> None:
    with opened() as client:
        made = client.post("/keys", json={"name": "first", "scopes": [Scope.ADMIN]}).json()
        headers = bearer(made["text"])
        assert client.post(f"/keys/{made['key']['key_id']}/revoke", headers=headers).status_code == 200
        assert client.get("/network").status_code == 401
        assert client.get("/keys", headers=headers).json()["code"] == "key_revoked"
    with opened() as client:
        assert client.get("/network").status_code == 401


def test_failed_authentications_of_an_address_are_limited_but_not_those_of_a_valid_key(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = guarded.app.lockstream.access
    monkeypatch.setattr(access, "failure_limits", FailureLimits())
    noted: list[str] = []
    monkeypatch.setattr(access, "note_refusal", lambda key_id, address, operation, code: noted.append(code))
    refused = [guarded.client.get("/network") for _ in range(12)]
    assert [response.status_code for response in refused] == [401] * 10 + [429] * 2
    assert refused[-1].json()["code"] == "too_many_failed_authentications"
    assert int(refused[-1].headers["retry-after"]) in range(1, 7)
    assert noted == ["key_missing"] * 10
    assert guarded.client.get("/network", headers=bearer(guarded.keys["read"])).status_code == 200

"""The gate: forms of the header, unknown paths and methods, documentation, keys in URLs, and servers without keys."""

import json
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from msgspec import structs

from lockstream.core.entities import key_text
from lockstream.core.entities.access import Scope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.access.rate_limits import FailureLimits
from lockstream.settings import Settings
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.presentation.http.access.operations import CALLS
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.keys import OPERATOR, bearer, created, request
from lockstream.tests.support.processes import wait_until

DOCUMENTATION = ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css"]


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
def test_another_form_is_refused(guarded: Guarded, form: str) -> None:
    response = guarded.client.get("/network", headers={"Authorization": form.format(guarded.keys["all"])})
    assert (response.status_code, response.json()["code"]) == (401, "key_malformed")


def test_two_keys_are_refused(guarded: Guarded) -> None:
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


def test_documentation_without_a_key_names_the_setting_that_opens_it(guarded: Guarded) -> None:
    """A browser sends no key by itself."""
    hint = "Or set LOCKSTREAM_OPEN_DOCS=true on the server, because a browser sends no key."
    for path in "/docs", "/openapi.json":
        response = guarded.client.get(path)
        assert (response.status_code, response.json()["code"]) == (401, "key_missing")
        assert response.json()["detail"].endswith(f"with an API key. {hint}")
        assert hint not in guarded.client.get(path, headers={"Authorization": "Basic x"}).text
    assert hint not in guarded.client.get("/network").text


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
    with opened() as client, closing(FileKeyStore(log_path)) as store:
        assert client.get("/network").status_code == 200
        first = created(store)
        wait_until(lambda: client.get("/network").status_code == 401)
        assert client.get("/network", headers=bearer(first.text)).status_code == 200


def test_revoked_keys_leave_a_server_closed(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        admin = created(store, request(Scope.ADMIN))
    with opened() as client:
        headers = bearer(admin.text)
        assert client.post(f"/keys/{admin.key.key_id}/revoke", headers=headers).status_code == 200
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
    assert noted == ["key_missing"] * 10 + ["too_many_failed_authentications"] * 2
    assert guarded.client.get("/network", headers=bearer(guarded.keys["read"])).status_code == 200


ODD_ENDINGS = ["%0A", "%0D", "%00", "/", "%20", "%3Fafter=0", "%23"]


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.scope])
@pytest.mark.parametrize("ending", ODD_ENDINGS)
def test_an_odd_spelling_of_a_path_reaches_no_operation(guarded: Guarded, name: str, ending: str) -> None:
    call = CALLS[name]
    path = call.path.partition("?")[0] + ending
    for scope in set(Scope) - {call.scope}:
        response = guarded.client.request(call.method, path, json=call.body, headers=bearer(guarded.keys[scope.value]))
        assert response.status_code in {403, 404, 405}, path


def test_a_path_with_parameters_names_its_methods(guarded: Guarded) -> None:
    for path, allowed in {"/lockers/a/state": "GET, HEAD", "/keys/a/revoke": "POST"}.items():
        response = guarded.client.put(path, headers=bearer(guarded.keys["read"]))
        assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/lockers/{}", "/keys/{}", "/network?k={}"])
def test_a_key_anywhere_in_the_url_is_refused_and_not_repeated(guarded: Guarded, path: str) -> None:
    text = guarded.keys["read"]
    for written in (text, "".join(f"%{ord(character):02X}" for character in text)):
        response = guarded.client.get(path.format(written), headers=bearer(guarded.keys["all"]))
        assert (response.status_code, response.json()["code"]) == (401, "key_in_url")
        assert text not in response.text
        assert text[4:12] in response.json()["detail"]


def test_requests_without_the_scope_count_for_the_limit_of_their_key(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        limited = created(store, structs.replace(request(Scope.FEED), requests_per_second=0.001, burst_seconds=2_000))
    with opened() as client:
        statuses = [client.get("/network", headers=bearer(limited.text)).status_code for _ in range(3)]
    assert statuses == [403, 403, 429]


def test_a_server_without_keys_serves_no_client_of_another_machine(log_path: Path) -> None:
    settings = Settings.model_validate({"EVENT_LOG_PATH": log_path, "trusted_proxies": "127.0.0.1"})
    app = create_app(lambda: deployment_of(settings).start(), lambda: settings)
    with TestClient(app, client=("127.0.0.1", 1)) as client:
        assert client.get("/network").status_code == 200
        assert client.get("/network", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
        remote = client.get("/network", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (remote.status_code, remote.json()["code"]) == (403, "keys_required")
        assert "203.0.113.9" in remote.json()["detail"]


def test_the_first_key_is_not_created_over_http(log_path: Path) -> None:
    with opened() as client:
        response = client.post("/keys", json={"name": "x", "scopes": ["admin"]})
        assert (response.status_code, response.json()["code"]) == (403, "keys_required")
        assert client.get("/network").status_code == 200
    with closing(FileKeyStore(log_path)) as store:
        assert store.keys() == {}


def test_a_key_file_that_is_damaged_while_the_server_runs_is_no_internal_error(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        admin = created(store, request(Scope.ADMIN))
    with opened() as client:
        Path(f"{log_path}.keys").write_bytes(b"{}")
        for path in ("/keys", f"/keys/{admin.key.key_id}/revoke"):
            response = client.post(path, json={"name": "x", "scopes": ["read"]}, headers=bearer(admin.text))
            assert response.status_code == 503
            assert "is damaged" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "media_type"), [("/events/batch", "application/x-ndjson"), ("/events", "application/json")]
)
def test_a_key_that_is_revoked_reports_nothing_through_a_request_that_is_open(
    log_path: Path, path: str, media_type: str
) -> None:
    with closing(FileKeyStore(log_path)) as store:
        reporter, reader = created(store, request(Scope.EVENTS_WRITE)), created(store)
    app = create_app(open_from_environment)

    def slowly(compartment: str, *, ends: bool = False) -> Iterator[bytes]:
        """Yield an event, and meanwhile have its key revoked, after the request was admitted."""
        body = json.dumps(registered(compartment)).encode()
        yield body[:20]
        if ends:
            app.lockstream.access.revoke(reporter.key.key_id, OPERATOR)
        yield body[20:]

    with contract_client(app) as client:
        headers = bearer(reporter.text) | {"Content-Type": media_type}
        assert client.post(path, content=slowly("c1"), headers=headers).status_code in {200, 202}
        ended = client.post(path, content=slowly("c2", ends=True), headers=headers)
        assert (ended.status_code, ended.json()["code"]) == (401, "key_revoked")
        assert client.get("/network", headers=bearer(reader.text)).json()["compartments"] == 1

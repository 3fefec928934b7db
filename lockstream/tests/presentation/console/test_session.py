"""The session: signing in and out, the cookie, and keys that are not accepted."""

from collections.abc import Mapping
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.core.use_cases.manage_keys import revoke
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.console.session import COOKIE
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import FROM_HERE, console_client, document, session
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.keys import NOW, OPERATOR, bearer, created, request
from lockstream.tests.support.processes import wait_until

UNKNOWN = "lsk_k3yEx4mp_ySqFvkhm1zQrjS2m3rRyNhpyR0vPtk6Lm4Qy1RXyZzA_0abcde"


def sign_in(client: TestClient, key: str, wanted: str = "", **headers: str) -> Any:
    form = {"key": key, "next": wanted}
    return client.post("/console/sign-in", data=form, headers=FROM_HERE | headers)


def cookie_of(response: Any) -> Mapping[str, str]:
    """Return the attributes of the cookie that a response sets, in lower case, and its value as `value`."""
    (header,) = response.headers.get_list("set-cookie")
    morsel = SimpleCookie(header)[COOKIE]
    return {name: value for name, value in morsel.items() if value} | {"value": morsel.value}


def test_without_a_key_each_page_leads_to_the_sign_in_page_and_back(guarded: Guarded) -> None:
    response = guarded.client.get("/console/lockers?q=locker&degraded=true")
    assert response.status_code == 303
    place = urlsplit(response.headers["location"])
    assert place.path == "/console/sign-in"
    (wanted,) = parse_qs(place.query)["next"]
    # and when the person signs in
    response = sign_in(guarded.client, guarded.keys["all"], wanted)
    # then the page follows that was asked for
    assert response.status_code == 303
    assert response.headers["location"] == "/console/lockers?q=locker&degraded=true"


def test_a_page_whose_id_has_reserved_characters_is_found_again(guarded: Guarded) -> None:
    path = f"/console/lockers/{quote('50% ?#&=+ ü', safe='')}"
    place = urlsplit(guarded.client.get(path).headers["location"])
    response = sign_in(guarded.client, guarded.keys["all"], parse_qs(place.query)["next"][0])
    assert httpx.URL(response.headers["location"]).raw_path == httpx.URL(path).raw_path


def test_the_cookie_is_for_the_console_alone_and_for_no_script(guarded: Guarded) -> None:
    cookie = cookie_of(sign_in(guarded.client, guarded.keys["all"]))
    assert cookie == {
        "value": guarded.keys["all"],
        "path": "/console",
        "httponly": True,
        "samesite": "strict",
    }


def test_the_cookie_is_secure_under_tls(guarded: Guarded) -> None:
    headers = FROM_HERE | {"Origin": "https://testserver"}
    for path, form in (("sign-in", {"key": guarded.keys["all"]}), ("sign-out", {})):
        response = guarded.client.post(f"https://testserver/console/{path}", data=form, headers=headers)
        assert cookie_of(response)["secure"]


def test_signing_out_has_the_browser_forget_the_key(guarded: Guarded) -> None:
    response = guarded.client.post("/console/sign-out", headers=FROM_HERE | session(guarded.keys["all"]))
    assert (response.status_code, response.headers["location"]) == (303, "/console/sign-in")
    cookie = cookie_of(response)
    assert (cookie["value"], cookie["max-age"], cookie["path"]) == ("", "0", "/console")


def test_a_link_signs_nobody_out(guarded: Guarded) -> None:
    response = guarded.client.get("/console/sign-out", headers=session(guarded.keys["all"]))
    assert (response.status_code, "set-cookie" in response.headers) == (404, False)


REFUSED = ["", "wr0ng", UNKNOWN, "ключ", "tw0 words", "a\r\nSet-Cookie: b=c", "a\x00b", "x" * 100_000]


@pytest.mark.parametrize("key", REFUSED, ids=lambda key: repr(key[:20]))
def test_a_wrong_key_is_refused_with_the_reason(guarded: Guarded, key: str) -> None:
    response = sign_in(guarded.client, key, "/lockers")
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert 'role="alert"' in response.text
    assert 'name="next" value="/lockers"' in response.text
    assert key == "" or key not in response.text


@pytest.mark.parametrize("name", ["expired", "revoked"])
def test_a_key_that_has_ended_is_refused_with_the_reason(guarded: Guarded, name: str) -> None:
    response = sign_in(guarded.client, guarded.keys[name])
    assert (response.status_code, "set-cookie" in response.headers) == (401, False)
    assert name in response.text


@pytest.mark.parametrize("name", ["expired", "revoked"])
def test_a_session_whose_key_has_ended_is_led_to_the_sign_in_page_with_the_reason(guarded: Guarded, name: str) -> None:
    response = guarded.client.get("/console/lockers?q=l", headers=session(guarded.keys[name]))
    assert response.status_code == 303
    assert parse_qs(urlsplit(response.headers["location"]).query) == {"next": ["/lockers?q=l"], "why": [f"key_{name}"]}
    assert cookie_of(response)["max-age"] == "0"
    page = document(guarded.client, response.headers["location"])
    assert f"the key {'has expired' if name == 'expired' else 'was revoked'}" in page.text


def test_a_script_gets_the_reason_as_json(guarded: Guarded) -> None:
    headers = session(guarded.keys["revoked"]) | {"Accept": "application/json"}
    response = guarded.client.get("/console/lockers", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "key_revoked")


def test_a_session_ends_when_its_key_is_revoked(guarded: Guarded) -> None:
    with closing(FileKeyStore(guarded.log)) as store:
        key = created(store, request(Scope.READ))
        wait_until(lambda: guarded.client.get("/console/lockers", headers=session(key.text)).status_code == 200)
        store.change(lambda keys: revoke(keys, key.key.key_id, OPERATOR, NOW + 1))
    wait_until(lambda: guarded.client.get("/console/lockers", headers=session(key.text)).status_code == 303)


def test_the_header_of_the_api_is_no_session(guarded: Guarded) -> None:
    response = guarded.client.get("/console/lockers", headers=bearer(guarded.keys["all"]))
    assert response.status_code == 303
    assert guarded.client.get("/console/api/lockers", headers=bearer(guarded.keys["all"])).status_code == 401


def test_the_cookie_opens_nothing_but_the_console(guarded: Guarded) -> None:
    for path in ("/lockers", "/events?after=0", "/keys", "/docs", "/openapi.json"):
        assert guarded.client.get(path, headers=session(guarded.keys["all"])).status_code == 401, path


PLACES = {
    "": "/console",
    "/": "/console",
    "/lockers?after=1&limit=2": "/console/lockers?after=1&limit=2",
    "/lockers/a%2Fb": "/console",
    "//evil.example/lockers": "/console",
    "https://evil.example/": "/console",
    "/\\evil.example": "/console",
    "javascript:alert(1)": "/console",
    "/../events": "/console",
    "/lockers/../../events": "/console",
    "/api/lockers": "/console",
    "/sign-out": "/console",
    "/lockers?path=/keys&scope=x&self=y": "/console/lockers?path=%2Fkeys&scope=x&self=y",
    "/lockers?q=a\r\nSet-Cookie: evil=1": "/console/lockers?q=a%0D%0ASet-Cookie%3A+evil%3D1",
    "/lockers\r\nSet-Cookie: evil=1": "/console",
    "/lockers?q=ключ": "/console/lockers?q=%D0%BA%D0%BB%D1%8E%D1%87",
    "/lockers/%0d%0aSet-Cookie:%20evil=1": "/console/lockers/%0d%0aSet-Cookie:%20evil=1",
}
"""Values of `next` in a link that anybody can send, and where signing in leads."""


@pytest.mark.parametrize("wanted", PLACES, ids=repr)
def test_signing_in_leads_to_a_page_of_the_console_alone(guarded: Guarded, wanted: str) -> None:
    response = sign_in(guarded.client, guarded.keys["all"], wanted)
    assert response.status_code == 303
    assert response.headers["location"] == PLACES[wanted]
    assert len(response.headers.get_list("set-cookie")) == 1


COOKIES = [
    *("", "=", ";;;", COOKIE, f"{COOKIE}=", f'{COOKIE}=""', f"{COOKIE}=%00", f"{COOKIE}=é\xff", f"x={COOKIE}=key"),
    *(f"{COOKIE}={UNKNOWN}", f"{COOKIE}=Bearer x", f"{COOKIE}={'x' * 8_000}", "{" * 100, "a=b; " * 1_000),
]


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: repr(cookie[:30]))
def test_a_hostile_cookie_is_nobody(guarded: Guarded, cookie: str) -> None:
    given = {b"Cookie": cookie.encode("latin-1")}
    for path, status in (("/console/lockers", 303), ("/console/api/lockers", 401), ("/console/sign-in", 200)):
        response = guarded.client.get(path, headers=given)
        assert response.status_code == status


@pytest.mark.parametrize("before", ['{"a": "b"}; ', "theme=dark mode; ", "é=ü; ", "a=b,c=d; ", ";=;"])
def test_cookies_of_others_do_not_hide_the_session(guarded: Guarded, before: str) -> None:
    cookie = f"{before}{COOKIE}={guarded.keys['all']}; other=1"
    response = guarded.client.get("/console/lockers", headers={b"Cookie": cookie.encode("latin-1")})
    assert response.status_code == 200


def test_two_different_sessions_are_none(guarded: Guarded) -> None:
    """Another site under the same domain may set a cookie too, with the key of its owner."""
    both = f"{COOKIE}={guarded.keys['read']}; {COOKIE}={guarded.keys['all']}"
    response = guarded.client.get("/console/lockers", headers={"Cookie": both})
    assert response.status_code == 303
    page = guarded.client.get(response.headers["location"], headers={"Cookie": both})
    assert "two sessions with different keys" in page.text
    assert "Remove the cookies of this site" in page.text
    same = f"{COOKIE}={guarded.keys['all']}; {COOKIE}={guarded.keys['all']}"
    assert guarded.client.get("/console/lockers", headers={"Cookie": same}).status_code == 200


def test_installations_at_other_ports_of_a_host_have_other_cookies(guarded: Guarded) -> None:
    host = "http://testserver:8001"
    response = guarded.client.post(
        f"{host}/console/sign-in", data={"key": guarded.keys["all"]}, headers=FROM_HERE | {"Origin": host}
    )
    assert response.headers["set-cookie"].startswith(f"{COOKIE}_8001={guarded.keys['all']};")
    # then the sessions of two ports are two sessions
    both = {"Cookie": f"{COOKIE}_8001={guarded.keys['all']}; {COOKIE}_8002={guarded.keys['read']}"}
    for port, status in (("8001", 200), ("8002", 403), ("8003", 303)):
        page = guarded.client.get(f"http://testserver:{port}/console/keys", headers=both)
        assert page.status_code == status
    signed_out = guarded.client.post(f"{host}/console/sign-out", headers=FROM_HERE | {"Origin": host} | both)
    assert signed_out.headers["set-cookie"].startswith(f'{COOKIE}_8001="";')


@pytest.mark.parametrize("host", ["testserver", "[::1]", "testserver:", "testserver:x", "a:b:c", "testserver:9999999"])
def test_a_host_without_a_port_has_the_plain_cookie(guarded: Guarded, host: str) -> None:
    response = guarded.client.get("/console/lockers", headers=session(guarded.keys["all"]) | {"Host": host})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/console/lockers", "/console/sign-in", "/console/search", "/console/api/lockers"])
@pytest.mark.parametrize("name", ["read", ""])
def test_a_key_in_the_address_is_refused_and_copied_nowhere(guarded: Guarded, path: str, name: str) -> None:
    headers = session(guarded.keys[name]) if name else {}
    for query in (f"q={UNKNOWN}", f"next={quote('/lockers?q=' + UNKNOWN)}", quote(UNKNOWN, safe="")):
        response = guarded.client.get(f"{path}?{query}", headers=headers)
        assert response.status_code == 401
        assert "k3yEx4mp" in response.text
        assert UNKNOWN not in f"{response.text}{response.headers}"
        assert "set-cookie" not in response.headers  # the session goes on


def test_an_open_server_asks_for_no_key(log_path: Path) -> None:
    with console_client(Settings()) as client:
        assert client.get("/console/lockers").status_code == 200
        assert client.get("/console/lockers", headers=session("anything")).status_code == 200
        response = sign_in(client, "anything", "/lockers")
        assert (response.headers["location"], "set-cookie" in response.headers) == ("/console/lockers", False)


def test_a_server_without_keys_refuses_other_machines(log_path: Path) -> None:
    with console_client(Settings(), client=("192.0.2.7", 1)) as client:
        response = client.get("/console/lockers")
        assert response.status_code == 403
        assert "This server has no API key" in response.text
        assert client.get("/console/api/lockers").status_code == 403


def test_too_many_wrong_keys_from_one_address_get_429(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        created(store)
    with console_client(Settings()) as client:
        statuses = [sign_in(client, UNKNOWN).status_code for _ in range(100)]
        response = sign_in(client, UNKNOWN)
    assert (statuses[0], response.status_code) == (401, 429)
    assert int(response.headers["retry-after"]) >= 1


def test_a_session_has_the_rate_limit_of_its_key(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(Scope.READ)).text
    settings = Settings.model_validate({"requests_per_second": 1})
    with console_client(settings, headers=session(key)) as client:
        for path in ("/console/lockers", "/console/api/lockers"):
            responses = [client.get(path) for _ in range(30)]
            assert responses[-1].status_code == 429
            assert int(responses[-1].headers["retry-after"]) >= 1

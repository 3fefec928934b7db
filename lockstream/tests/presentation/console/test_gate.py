"""The gate of the console: requests of other sites, methods, odd forms, files, and servers that are not ready."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ASGIScope

from lockstream.core.entities.access import Scope
from lockstream.core.entities.keys import AuditAction, AuditQuery
from lockstream.core.errors import StartingUp
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.console import entry, files
from lockstream.presentation.console.application import POLICY
from lockstream.presentation.console.entry import make_console
from lockstream.presentation.console.forms import MAX_BYTES
from lockstream.presentation.console.pages import lockers
from lockstream.presentation.http.app import Application, create_app
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import (
    FROM_HERE,
    ORIGIN,
    console_app,
    console_client,
    document,
    page_paths,
    session,
)
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.builders import COMPARTMENT, LOCKER, RESERVATION, registered
from lockstream.tests.support.faulty_store import FaultyStore, running_on
from lockstream.tests.support.keys import created, request

VALUES = {
    "locker_id": LOCKER,
    "compartment_id": COMPARTMENT,
    "reservation_id": RESERVATION,
    "event_id": "00000000-0000-4000-8000-000000000000",
    "key_id": "k3yEx4mp",
}

SITE, FROM = "Sec-Fetch-Site", "Origin"

ORIGINS: list[tuple[bool, str, dict[str, str]]] = [
    (True, "http", {SITE: "same-origin", FROM: ORIGIN}),
    (True, "https", {SITE: "same-origin", FROM: "https://testserver"}),
    (True, "http", {SITE: "same-origin", FROM: "https://testserver"}),  # a proxy ends TLS
    (True, "http", {FROM: ORIGIN}),  # an address without TLS, for which browsers leave the site out
    (False, "https", {FROM: "https://testserver"}),
    (False, "http", {FROM: "https://testserver"}),
    (False, "http", {}),
    (False, "http", {SITE: "same-origin"}),
    (False, "http", {SITE: "same-origin", FROM: "null"}),
    (False, "http", {SITE: "same-origin", FROM: ""}),
    (False, "http", {SITE: "same-origin", FROM: "http://evil.example"}),
    (False, "http", {SITE: "same-origin", FROM: "http://testserver:8000"}),
    (False, "http", {SITE: "same-origin", FROM: "http://testserver.evil.example"}),
    (False, "http", {SITE: "same-origin", FROM: "http://evil.example@testserver"}),
    (False, "http", {SITE: "same-origin", FROM: "http://["}),
    (False, "http", {SITE: "same-origin", FROM: "file://testserver"}),
    (False, "http", {SITE: "same-site", FROM: ORIGIN}),
    (False, "http", {SITE: "cross-site", FROM: ORIGIN}),
    (False, "http", {SITE: "none", FROM: ORIGIN}),
    (False, "http", {SITE: "", FROM: ORIGIN}),
    (False, "http", {FROM: "http://evil.example"}),
    (False, "http", {FROM: "null"}),
]
"""Whether a form is accepted, its scheme, and the headers by which a browser says where it comes from."""


@pytest.mark.parametrize(("is_accepted", "scheme", "headers"), ORIGINS)
def test_a_form_must_come_from_a_page_of_the_console(
    guarded: Guarded, is_accepted: bool, scheme: str, headers: dict[str, str]
) -> None:
    for path, form in (("sign-in", {"key": guarded.keys["all"]}), ("sign-out", {}), ("lockers", {})):
        response = guarded.client.post(
            f"{scheme}://testserver/console/{path}", data=form, headers=headers | session(guarded.keys["all"])
        )
        expected = 403 if not is_accepted else 405 if path == "lockers" else 303
        assert response.status_code == expected, path
        assert ("set-cookie" in response.headers) == (expected == 303)


def test_the_audit_log_has_each_refusal_of_the_console(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(Scope.READ))
    settings = Settings.model_validate({"requests_per_second": 1, "burst_seconds": 1})
    with console_client(settings, headers=session(key.text)) as client:
        # when another site sends a form, and the key sends more requests than it may
        client.post("/console/sign-out", headers={SITE: "cross-site", FROM: "http://evil.example"})
        for path in ("/console/lockers", "/console/api/lockers"):
            statuses = [client.get(path).status_code for _ in range(20)]
            assert 429 in statuses
    # then the audit log has them, once the server has stopped
    with closing(FileKeyStore(log_path)) as store:
        found = [one.entry for one in store.audit(AuditQuery(action=AuditAction.REFUSED), None, 100)]
    refusals = {(entry.key_id, entry.operation, entry.code, entry.address) for entry in found}
    assert refusals == {
        ("", "console", "origin_refused", "testclient"),
        (key.key.key_id, "console", "too_many_requests", "testclient"),
    }
    assert sum(entry.count for entry in found) > 30


def test_the_access_log_names_the_key_of_a_session(log_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(Scope.READ))
    with console_client(Settings.model_validate({"access_log": "on"}), headers=session(key.text)) as client:
        for path in ("/console/lockers", "/console/api/lockers", "/console/sign-in"):
            assert client.get(path).status_code == 200
    lines = [record for record in caplog.records if record.name == "lockstream.access"]
    assert [record.__dict__["key_id"] for record in lines] == [key.key.key_id, key.key.key_id, None]


@pytest.mark.parametrize("headers", [{}, {"X-Request-ID": "delivery-17"}], ids=["new id", "given id"])
def test_an_internal_error_has_the_id_of_its_request(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    monkeypatch.delattr(lockers, "_totals")
    response = guarded.client.get(f"/console/lockers/{LOCKER}", headers=session(guarded.keys["all"]) | headers)
    assert response.status_code == 500
    [request_id] = response.headers.get_list("x-request-id")
    assert request_id == headers.get("X-Request-ID", request_id)
    assert f"The id of this request is {request_id}." in response.text
    assert "_totals" not in response.text
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (line.__dict__["event_name"], line.__dict__["request_id"]) == ("request_failed", request_id)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
def test_other_methods_are_refused(guarded: Guarded, method: str) -> None:
    headers = FROM_HERE | session(guarded.keys["all"])
    for path in ("lockers", "api/lockers", "csv/lockers", "static/console.css", "static/none"):
        response = guarded.client.request(method, f"/console/{path}", headers=headers)
        is_no_page = path.startswith("static") and method == "POST"
        assert response.status_code == (404 if is_no_page else 405), path
        assert is_no_page or response.headers["allow"] == "GET, HEAD"


def test_head_has_the_headers_of_a_page_and_no_body(guarded: Guarded) -> None:
    for path in ("lockers", "sign-in", "api/lockers", "csv/lockers", "static/console.css"):
        headers = session(guarded.keys["all"])
        response = guarded.client.head(f"/console/{path}", headers=headers)
        expected = guarded.client.get(f"/console/{path}", headers=headers)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers.get("content-type") == expected.headers.get("content-type")


@pytest.mark.parametrize("path", ["/nothing", "/lockers/a/b/c", "/lockers//events", "/sign-out", "/api"])
def test_an_unknown_page_says_so(guarded: Guarded, path: str) -> None:
    response = guarded.client.get(f"/console{path}", headers=session(guarded.keys["all"]))
    assert (response.status_code, "There is no such page" in response.text) == (404, True)


def test_a_locker_that_is_unknown_has_the_sentence_of_the_api(guarded: Guarded) -> None:
    page = document(guarded.client, "/console/lockers/unknown", guarded.keys["all"], 404)
    detail = guarded.client.get("/console/api/lockers/unknown", headers=session(guarded.keys["all"])).json()["detail"]
    assert detail in page.text


QUERIES = [
    "path=x",
    "self=x",
    "wanted=x",
    "query=x",
    "scope=x",
    "%00=%00",
    "q=%ff",
    "limit=0",
    "at=x",
    "&&=&",
    "a=" * 500,
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:20])
def test_no_query_is_an_internal_error(guarded: Guarded, query: str) -> None:
    for path in page_paths(VALUES):
        response = guarded.client.get(f"{path}?{query}", headers=session(guarded.keys["all"]))
        assert response.status_code < 500, path
        assert response.headers["content-security-policy"] == POLICY


def test_each_page_has_its_headers(guarded: Guarded) -> None:
    for path in (*page_paths(VALUES), "/console/sign-in", "/console/nothing"):
        response = guarded.client.get(path, headers=session(guarded.keys["all"]))
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_link_to_csv_answers_a_browser_with_csv(guarded: Guarded) -> None:
    page = document(guarded.client, "/console/reservations", guarded.keys["all"])
    [path] = [link["href"] for _, link in page.elements if "data-csv" in link]
    accept = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    response = guarded.client.get(path, headers=accept | session(guarded.keys["all"]))
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="reservations.csv"'
    assert response.text.startswith("reservation_id,locker_id,")
    # and without a session, or with a key that lacks the scope, the answer is that of the API
    assert guarded.client.get(path, headers=accept).status_code == 401
    assert guarded.client.get(path, headers=accept | session(guarded.keys["feed"])).status_code == 403


def test_a_key_without_a_scope_gets_the_sentence_of_the_api(guarded: Guarded) -> None:
    page = document(guarded.client, "/console/lockers", guarded.keys["feed"], 403)
    assert "lacks the scope read" in page.text


FORMS = {
    "another media type": (b"{}", "application/json"),
    "no media type": (b"key=x", ""),
    "too large": (b"key=" + b"x" * MAX_BYTES, "application/x-www-form-urlencoded"),
    "too many fields": (b"a=1&" * 5_000, "application/x-www-form-urlencoded"),
    "other bytes": (b"key=\xff\xfe", "application/x-www-form-urlencoded"),
    "bad percents": (b"key=%ff", "application/x-www-form-urlencoded"),
    "files": (b"--b\r\n\r\n--b--", "multipart/form-data; boundary=b"),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_odd_form_is_refused_with_a_sentence(guarded: Guarded, name: str) -> None:
    body, media_type = FORMS[name]
    headers = FROM_HERE | ({"Content-Type": media_type} if media_type else {})
    response = guarded.client.post("/console/sign-in", content=body, headers=headers)
    assert response.status_code == 422
    assert 'role="alert"' in response.text


def test_files_are_kept_by_browsers_for_as_long_as_they_are_the_same(guarded: Guarded) -> None:
    page = document(guarded.client, "/console/sign-in")
    loaded = [value for value in (*page.values("src"), *page.values("href")) if "/static/" in value]
    assert len(loaded) >= 4
    for path in loaded:
        response = guarded.client.get(path)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = guarded.client.get(path, headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        # and without the version, or with another one, a browser asks each time
        for other in (f"/console/static/{path.rpartition('/')[2]}", f"/console/static/old/{path.rpartition('/')[2]}"):
            assert guarded.client.get(other).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br", "gzip"), ("gzip;q=0.5", "gzip"), ("identity", None), ("gzip;q=0, identity", None)],
)
def test_files_are_compressed_if_the_browser_takes_that(guarded: Guarded, accepted: str, encoding: str | None) -> None:
    plain = guarded.client.get("/console/static/console.css", headers={"Accept-Encoding": "identity"})
    response = guarded.client.get("/console/static/console.css", headers={"Accept-Encoding": accepted})
    assert response.headers.get("content-encoding") == encoding
    assert response.content == plain.content
    assert (response.headers["etag"] == plain.headers["etag"]) == (encoding is None)
    assert response.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", ["none.css", "..%2Fapplication.py", "%2e%2e/session.py", "a/b/c.js", ".css"])
def test_no_other_file_is_served(guarded: Guarded, name: str) -> None:
    assert guarded.client.get(f"/console/static/{name}").status_code == 404


def test_a_name_of_no_file_takes_no_memory(guarded: Guarded) -> None:
    before = files._content.cache_info().currsize
    for number in range(20):
        assert guarded.client.get(f"/console/static/none-{number}.css").status_code == 404
    assert files._content.cache_info().currsize == before


def test_a_new_colour_has_a_new_address() -> None:
    plain, red = (Settings.model_validate({"console_colour": colour}) for colour in (None, "#B3261E"))
    assert files.version(plain) != files.version(red)
    with console_client(red) as client:
        page = document(client, "/console/lockers")
        (theme,) = [value for value in page.values("href") if value.endswith("/theme.css")]
        assert client.get(theme).text == ":root { --installation: #b3261e; --on-installation: #ffffff; }\n"
        assert any("bar--coloured" in value for value in page.values("class"))


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_the_text_on_any_colour_has_enough_contrast(colour: tuple[int, int, int]) -> None:
    """WCAG 2.2, criterion 1.4.3, asks for 4.5."""
    text = files._text_on("#{:02x}{:02x}{:02x}".format(*colour))
    shown = 1.0 if text == "#ffffff" else 0.0
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    light, dark = max(shown, luminance) + 0.05, min(shown, luminance) + 0.05
    assert light / dark >= 4.5


def test_the_name_of_the_installation_is_on_each_page(log_path: Path) -> None:
    name = "Berlin <b>&\"'"
    with console_client(Settings.model_validate({"console_name": name})) as client:
        for path in ("/console/lockers", "/console/sign-in", "/console/nothing"):
            response = client.get(path)
            assert "Berlin &lt;b&gt;&amp;&#34;&#39;" in response.text
            assert "<b>&" not in response.text


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345g", "url(x)", "#b3261e; }"])
def test_a_colour_has_six_digits(colour: str) -> None:
    with pytest.raises(ValueError, match="is not a colour"):
        Settings.model_validate({"console_colour": colour})


def test_without_the_console_its_paths_are_unknown(log_path: Path) -> None:
    with console_client(Settings.model_validate({"console": False})) as client:
        for path in ("/console", "/console/lockers", "/console/sign-in", "/console/static/console.css"):
            assert client.get(path).status_code == 404
        assert client.get("/").headers["location"] == "/docs"
    with console_client(Settings()) as client:
        assert client.get("/").headers["location"] == "/console"


def test_a_thread_loads_the_console_while_the_loop_serves_others(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, served = list[int](), list[int]()

    async def console(scope: ASGIScope, receive: Receive, send: Send) -> None:
        served.append(get_ident())

    def load(application: Application) -> ASGIApp:
        loaded.append(get_ident())
        return console

    async def ask() -> None:
        loading: Any = make_console(console_app(Settings()))
        await asyncio.gather(loading({}, None, None), loading({}, None, None))
        await loading({}, None, None)

    monkeypatch.setattr(entry, "_load", load)
    asyncio.run(ask())
    assert loaded
    assert get_ident() not in loaded
    assert served == [get_ident()] * 3


@contextmanager
def starting() -> Iterator[TestClient]:
    """Give a client of a server that catches up with its log."""

    def open_later() -> Lockstream:
        raise StartingUp("is catching up with its log, at event 1,000 of 9,000")

    with TestClient(create_app(open_later, Settings, make_console), follow_redirects=False) as client:
        yield client


def test_a_starting_server_shows_its_progress_and_the_page_reloads_itself(log_path: Path) -> None:
    with starting() as client:
        for path in ("/console", "/console/lockers", "/console/sign-in"):
            response = client.get(path)
            assert response.status_code == 503
            assert response.headers["refresh"] == "2"
            assert "at event 1,000 of 9,000" in response.text
            assert "This page reloads itself." in response.text
        assert client.get("/console/api/lockers").json()["detail"].endswith("Try again later.")
        assert client.get("/console/static/console.css").status_code == 200


def test_pages_are_shown_after_the_log_has_failed(log_path: Path) -> None:
    settings = Settings()
    store = FaultyStore(settings)
    app = create_app(lambda: running_on(store, settings), lambda: settings, make_console)
    with console_client(settings, app) as client:
        assert client.post("/events", json=registered()).status_code == 202
        with store.failing_flushes():
            assert client.post("/events", json=registered("c2")).status_code == 503
        assert client.post("/events", json=registered("c2")).status_code == 503
        page = document(client, f"/console/lockers/{LOCKER}")
        assert COMPARTMENT in page.text


@pytest.mark.parametrize("is_stripped", [True, False])
def test_behind_a_proxy_each_address_has_the_prefix(log_path: Path, is_stripped: bool) -> None:
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(*Scope)).text
    seen = "" if is_stripped else "/lockstream"
    with console_client(Settings.model_validate({"root_path": "/lockstream"})) as client:
        # a person is led to the sign-in page
        response = client.get(f"{seen}/console/lockers?q=a")
        place = httpx.URL(response.headers["location"])
        assert (place.path, place.params["next"]) == ("/lockstream/console/sign-in", "/lockers?q=a")
        # and back, with a cookie for the console behind the prefix
        response = client.post(f"{seen}/console/sign-in", data={"key": key, "next": "/lockers?q=a"}, headers=FROM_HERE)
        assert response.headers["location"] == "/lockstream/console/lockers?q=a"
        assert "Path=/lockstream/console;" in response.headers["set-cookie"]
        # and all addresses of the page are behind it
        page = document(client, f"{seen}/console/lockers", key)
        addresses = [*page.values("href"), *page.values("src"), *page.values("action"), *page.values("data-console")]
        assert all(one.startswith(("/lockstream/console", "#", "?")) for one in addresses), addresses
        for address in page.values("href"):
            if address.startswith("/lockstream/console/static"):
                assert client.get(address.removeprefix("" if seen else "/lockstream")).status_code == 200
        assert client.get(f"{seen}/console/api/lockers", headers=session(key)).status_code == 200
        assert client.get(f"{seen}/").headers["location"] == "/lockstream/console"

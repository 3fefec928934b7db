"""The pages of API keys and of the audit log, for administrators alone."""

import re
from typing import Any

import pytest

from lockstream.core.entities.access import Scope
from lockstream.presentation.console.pages import keys as keys_pages
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import FROM_HERE, Document, console_client, document, session
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import wait_until

KEY_TEXT = re.compile(r"lsk_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")


def send(guarded: Guarded, path: str, key: str = "", **form: Any) -> Any:
    """Send a form as an administrator's browser without scripts does."""
    return guarded.client.post(f"/console{path}", data=form, headers=FROM_HERE | session(key or guarded.keys["all"]))


def newest(guarded: Guarded) -> str:
    """Return the hidden field of the form of a new key."""
    page = document(guarded.client, "/console/keys/new", guarded.keys["all"])
    [value] = [one["value"] for tag, one in page.elements if tag == "input" and one.get("name") == "newest"]
    return value


def key_ids(guarded: Guarded) -> set[str]:
    listed = guarded.client.get("/keys?limit=1000", headers=bearer(guarded.keys["all"])).json()["items"]
    return {item["key_id"] for item in listed}


def create(guarded: Guarded, **form: Any) -> str:
    """Create a key by the form, and return its text."""
    response = send(guarded, "/keys/new", newest=newest(guarded), **{"name": "test", "scopes": ["read"]} | form)
    assert response.status_code == 200, response.text
    [text] = set(KEY_TEXT.findall(response.text))
    return str(text)


def shown(guarded: Guarded, text: str) -> dict[str, Any]:
    """Return a key as the API shows it."""
    key: dict[str, Any] = guarded.client.get(f"/keys/{text[4:12]}", headers=bearer(guarded.keys["all"])).json()
    return key


def test_the_list_shows_each_key_and_no_secret(guarded: Guarded) -> None:
    response = guarded.client.get("/console/keys", headers=session(guarded.keys["all"]))
    page = Document(response.text)
    assert {f"/console/keys/{key_id}" for key_id in key_ids(guarded)} <= set(page.values("href"))
    for word in ("Active", "Expired", "Revoked", "yours", "never"):
        assert word in page.text
    assert not KEY_TEXT.search(response.text)


def test_a_new_key_is_shown_once_and_works(guarded: Guarded) -> None:
    text = create(
        guarded,
        name="<i>locker",
        scopes=["events:write", "read"],
        lockers=" station-7*\r\n\r\nstation-9 ",
        expires_days="1.5",
        requests_per_second="2.5",
        events_per_second="20",
        burst_seconds="3",
    )
    key = shown(guarded, text)
    assert (key["name"], key["scopes"], key["lockers"]) == (
        "<i>locker",
        ["events:write", "read"],
        ["station-7*", "station-9"],
    )
    assert (key["requests_per_second"], key["events_per_second"], key["burst_seconds"]) == (2.5, 20.0, 3)
    assert key["expires_at"]
    assert guarded.client.get("/lockers", headers=bearer(text)).status_code == 200
    for path in ("/console/keys", f"/console/keys/{text[4:12]}", "/console/audit"):
        assert text not in guarded.client.get(path, headers=session(guarded.keys["all"])).text


def test_a_form_that_is_sent_twice_creates_one_key(guarded: Guarded) -> None:
    seen = newest(guarded)
    assert send(guarded, "/keys/new", newest=seen, name="once", scopes="read").status_code == 200
    before = key_ids(guarded)
    again = send(guarded, "/keys/new", newest=seen, name="once", scopes="read")
    assert again.status_code == 409
    assert "A key was created since this form was opened" in again.text
    assert 'value="once"' in again.text
    assert key_ids(guarded) == before


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"scopes": []}, "scopes"),
        ({"name": ""}, "name"),
        ({"scopes": ["admin"], "lockers": "a"}, "admin"),
        ({"expires_days": "soon"}, "Expires after days: &#39;soon&#39; is not a number."),
        ({"expires_days": "inf"}, "is not a number"),
        ({"expires_days": "nan"}, "is not a number"),
        ({"burst_seconds": "-1"}, "burst_seconds"),
        ({"requests_per_second": "0"}, "requests_per_second"),
        ({"lockers": "a\x01b"}, "locker"),
    ],
)
def test_a_key_that_cannot_be_is_refused_with_a_sentence_and_the_form_is_kept(
    guarded: Guarded, form: dict[str, Any], sentence: str
) -> None:
    before = key_ids(guarded)
    values = {"name": "kept", "scopes": ["feed"], "lockers": ""} | form
    response = send(guarded, "/keys/new", newest=newest(guarded), **values)
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert sentence in response.text
    assert f'value="{values["name"]}"' in response.text
    assert key_ids(guarded) == before


def test_a_rotation_shows_the_new_key_and_keeps_the_old_one_for_the_overlap(guarded: Guarded) -> None:
    old = create(guarded, name="to rotate")
    response = send(guarded, f"/keys/{old[4:12]}", action="rotate", overlap_hours="0.5")
    assert response.status_code == 200
    [new] = set(KEY_TEXT.findall(response.text))
    for text in (old, new):
        assert guarded.client.get("/lockers", headers=bearer(text)).status_code == 200
    assert shown(guarded, old)["replaced_by"] == new[4:12]
    # a page that is loaded again rotates nothing
    again = send(guarded, f"/keys/{old[4:12]}", action="rotate", overlap_hours="0.5")
    assert (again.status_code, KEY_TEXT.search(again.text)) == (422, None)
    assert f"/console/keys/{new[4:12]}" in Document(again.text).values("href")
    # and an overlap of 0 ends it at once
    last = send(guarded, f"/keys/{new[4:12]}", action="rotate", overlap_hours="0")
    assert last.status_code == 200
    assert guarded.client.get("/lockers", headers=bearer(new)).status_code == 401


@pytest.mark.parametrize("overlap", ["long", "-1", "inf", "1e300"])
def test_an_overlap_that_cannot_be_is_refused(guarded: Guarded, overlap: str) -> None:
    text = create(guarded)
    response = send(guarded, f"/keys/{text[4:12]}", action="rotate", overlap_hours=overlap)
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert shown(guarded, text)["replaced_by"] is None


def test_a_key_is_revoked_once_its_id_or_name_is_typed(guarded: Guarded) -> None:
    for confirmed in ("id", "name"):
        text = create(guarded, name="to revoke")
        key_id = text[4:12]
        for wrong in ("", "yes", key_id.swapcase()):
            response = send(guarded, f"/keys/{key_id}", action="revoke", confirmed=wrong)
            assert response.status_code == 422
            assert "Nothing was revoked." in response.text
        assert guarded.client.get("/lockers", headers=bearer(text)).status_code == 200
        typed = key_id if confirmed == "id" else "to revoke"
        response = send(guarded, f"/keys/{key_id}", action="revoke", confirmed=typed)
        assert (response.status_code, response.headers["location"]) == (303, f"/console/keys/{key_id}")
        assert guarded.client.get("/lockers", headers=bearer(text)).status_code == 401
        page = document(guarded.client, f"/console/keys/{key_id}", guarded.keys["all"])
        assert "Revoked" in page.text
        assert "Revoke this key" not in page.text


def test_an_unknown_key_is_not_found(guarded: Guarded) -> None:
    assert "There is no key" in document(guarded.client, "/console/keys/unknown1", guarded.keys["all"], 404).text
    assert send(guarded, "/keys/unknown1", action="rotate").status_code == 404
    assert send(guarded, "/keys/unknown1", action="revoke", confirmed="unknown1").status_code == 404


def test_the_audit_log_is_listed_and_filtered(guarded: Guarded) -> None:
    text = create(guarded, name="audited")
    assert guarded.client.get("/keys", headers=bearer(text)).status_code == 403
    page = document(guarded.client, f"/console/audit?key_id={text[4:12]}&action=created", guarded.keys["all"])
    assert "audited" in page.text
    path = f"/console/audit?key_id={text[4:12]}&action=refused"  # refusals are written a little later
    wait_until(lambda: "scope_missing" in document(guarded.client, path, guarded.keys["all"]).text)
    assert "get_keys" in document(guarded.client, path, guarded.keys["all"]).text
    assert (
        "No entry matches."
        in document(guarded.client, "/console/audit?since=2999-01-01T00:00", guarded.keys["all"]).text
    )
    assert (
        "The query parameter action" in document(guarded.client, "/console/audit?action=none", guarded.keys["all"]).text
    )


@pytest.mark.parametrize("path", ["/keys", "/keys/new", "/keys/k3yEx4mp", "/audit"])
def test_the_pages_need_the_scope_admin(guarded: Guarded, path: str) -> None:
    for scope in set(Scope) - {Scope.ADMIN}:
        assert "lacks the scope admin" in document(guarded.client, f"/console{path}", guarded.keys[scope], 403).text


def test_no_form_of_another_site_and_no_key_without_the_scope_changes_anything(guarded: Guarded) -> None:
    text = create(guarded, name="not yours")
    key_id, before = text[4:12], key_ids(guarded)
    forms: list[tuple[str, dict[str, Any]]] = [
        ("/keys/new", {"newest": newest(guarded), "name": "evil", "scopes": "read"}),
        (f"/keys/{key_id}", {"action": "rotate", "overlap_hours": "0"}),
        (f"/keys/{key_id}", {"action": "revoke", "confirmed": key_id}),
    ]
    for path, form in forms:
        for headers in ({}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}):
            sent = headers | session(guarded.keys["all"])
            assert guarded.client.post(f"/console{path}", data=form, headers=sent).status_code == 403
        for scope in set(Scope) - {Scope.ADMIN}:
            assert send(guarded, path, guarded.keys[scope], **form).status_code == 403
    assert key_ids(guarded) == before
    assert shown(guarded, text)["status"] == "active"


def test_a_server_without_keys_says_how_the_first_one_is_made(log_path: object) -> None:
    with console_client(Settings()) as client:
        assert "lockstream keys create" in document(client, "/console/keys").text
        refused = client.post(
            "/console/keys/new", data={"newest": "", "name": "a", "scopes": "read"}, headers=FROM_HERE
        )
        assert (refused.status_code, "lockstream keys create" in refused.text) == (403, True)


def test_a_server_that_checks_no_keys_shows_none(log_path: object) -> None:
    with console_client(Settings.model_validate({"auth": "off"})) as client:
        for path in ("/keys", "/keys/new", "/audit"):
            assert "LOCKSTREAM_AUTH is off" in document(client, f"/console{path}", status=403).text


def test_each_scope_has_a_text() -> None:
    assert set(keys_pages.SCOPE_TEXTS) == set(Scope)

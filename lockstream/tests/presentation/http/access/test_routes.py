"""`/keys` and `/audit`: pages, filters, forms of bodies, and what a rotation keeps."""

from typing import Any

import pytest

from lockstream.core.entities.access import Scope
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import wait_until

NEW = {"name": "new", "scopes": ["read", "feed"], "lockers": ["b", "a*"], "expires_seconds": 3600, "burst_seconds": 3}


def admin(guarded: Guarded) -> dict[str, str]:
    return bearer(guarded.keys[Scope.ADMIN])


def post(guarded: Guarded, path: str, body: Any = None) -> Any:
    return guarded.client.post(path, json=body, headers=admin(guarded))


def get(guarded: Guarded, path: str) -> Any:
    response = guarded.client.get(path, headers=admin(guarded))
    assert response.status_code == 200
    return response.json()


def test_a_new_key_is_shown_once(guarded: Guarded) -> None:
    made = post(guarded, "/keys", NEW)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key, text = made.json()["key"], made.json()["text"]
    assert text.startswith(f"lsk_{key['key_id']}_")
    assert (key["scopes"], key["lockers"], key["burst_seconds"]) == (["read", "feed"], ["a*", "b"], 3)
    assert key["created_by"] == guarded.keys[Scope.ADMIN][4:12]
    assert get(guarded, f"/keys/{key['key_id']}") == key
    assert guarded.client.get("/lockers", headers=bearer(text)).status_code == 200
    assert text not in guarded.client.get("/keys", headers=admin(guarded)).text


def test_a_rotation_keeps_what_the_key_allows(guarded: Guarded) -> None:
    old = post(guarded, "/keys", NEW).json()
    new = post(guarded, f"/keys/{old['key']['key_id']}/rotate")
    assert new.status_code == 201
    key = new.json()["key"]
    for name in "name", "scopes", "lockers", "burst_seconds":
        assert key[name] == old["key"][name]
    assert (key["replaces"], key["revoked_at"]) == (old["key"]["key_id"], None)
    kept = get(guarded, f"/keys/{old['key']['key_id']}")
    assert (kept["status"], kept["replaced_by"]) == ("active", key["key_id"])
    for text in old["text"], new.json()["text"]:
        assert guarded.client.get("/lockers", headers=bearer(text)).status_code == 200
    again = post(guarded, f"/keys/{old['key']['key_id']}/rotate", {"overlap_seconds": 0})
    assert again.status_code == 409
    ended = post(guarded, f"/keys/{key['key_id']}/rotate", {"overlap_seconds": 0})
    assert ended.status_code == 201
    refused = guarded.client.get("/lockers", headers=bearer(new.json()["text"]))
    assert refused.json()["code"] == "key_revoked"
    assert ended.json()["key"]["key_id"] in refused.json()["detail"]


def test_a_revocation_holds_at_once_and_again(guarded: Guarded) -> None:
    made = post(guarded, "/keys", NEW).json()
    path = f"/keys/{made['key']['key_id']}/revoke"
    first, second = post(guarded, path), post(guarded, path)
    assert (first.status_code, first.json()["status"]) == (200, "revoked")
    assert second.json() == first.json()
    assert guarded.client.get("/lockers", headers=bearer(made["text"])).status_code == 401
    assert post(guarded, f"/keys/{made['key']['key_id']}/rotate").status_code == 409


def test_keys_are_listed_in_pages(guarded: Guarded) -> None:
    everything = get(guarded, "/keys?limit=1000")["items"]
    assert [key["key_id"] for key in everything] == sorted(key["key_id"] for key in everything)
    pages, after = [], ""
    while True:
        page = get(guarded, f"/keys?limit=3{after}")
        pages += [key["key_id"] for key in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert pages == [key["key_id"] for key in everything]
    text = guarded.client.get("/keys", headers={**admin(guarded), "Accept": "text/csv"}).text
    assert text.count("\r\n") == 1 + len(everything)


def test_the_audit_log_is_listed_in_pages_and_filtered(guarded: Guarded) -> None:
    made = post(guarded, "/keys", NEW).json()["key"]["key_id"]
    post(guarded, f"/keys/{made}/revoke")
    found = get(guarded, f"/audit?key_id={made}")["items"]
    assert [(entry["action"], entry["name"], entry["by"]) for entry in found] == [
        (action, "new", guarded.keys[Scope.ADMIN][4:12]) for action in ("revoked", "created")
    ]
    first = get(guarded, f"/audit?key_id={made}&limit=1")
    second = get(guarded, f"/audit?key_id={made}&limit=1&after={first['next']}")
    assert first["items"] + second["items"] == found
    assert second["next"] is None
    assert get(guarded, "/audit?since=2999-01-01T00:00:00Z")["items"] == []
    assert {entry["action"] for entry in get(guarded, "/audit?action=created")["items"]} == {"created"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["all"]}, "scopes"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "x\u0007", "scopes": ["read"]}, "printable"),
        ({"name": "x", "scopes": ["admin"], "lockers": ["a"]}, "cannot be bound"),
        ({"name": "x", "scopes": ["read"], "lockers": ["a/b"]}, "locker"),
        ({"name": "x", "scopes": ["read"], "expires_seconds": 0}, "expires_seconds"),
        ({"name": "x", "scopes": ["read"], "burst_seconds": -1}, "burst"),
        ({"name": "x", "scopes": ["read"], "admin": True}, "admin"),
        ([], "object"),
    ],
)
def test_a_key_that_cannot_be_is_refused(guarded: Guarded, body: Any, error: str) -> None:
    before = get(guarded, "/keys?limit=1000")["items"]
    response = post(guarded, "/keys", body)
    assert response.status_code == 422
    assert error in response.text
    assert len(get(guarded, "/keys?limit=1000")["items"]) == len(before)


def test_refused_requests_are_in_the_audit_log(guarded: Guarded) -> None:
    guarded.client.get("/network", headers=bearer(guarded.keys[Scope.FEED]))
    path = f"/audit?key_id={guarded.keys[Scope.FEED][4:12]}&action=refused"
    wait_until(lambda: get(guarded, path)["items"])
    found = get(guarded, path)["items"]
    assert (found[0]["operation"], found[0]["code"]) == ("get_network", "scope_missing")

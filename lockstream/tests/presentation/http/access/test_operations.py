"""Every operation of the contract with every kind of key."""

from typing import Any

import pytest

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import new_key_text
from lockstream.presentation.http.access.scopes import SCOPES, require_scopes
from lockstream.presentation.http.app import ROUTERS
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.presentation.http.access.operations import CALLS, Call
from lockstream.tests.support.keys import bearer

OPERATIONS = [route.name for router in ROUTERS for route in router.routes if hasattr(route, "name")]
GUARDED = [name for name in CALLS if CALLS[name].scope is not None]


def send(guarded: Guarded, call: Call, headers: dict[str, str]) -> Any:
    return guarded.client.request(call.method, call.path, json=call.body, headers=headers)


def refused_code(guarded: Guarded, call: Call, headers: dict[str, str], status: int) -> tuple[str, str]:
    """Return code and challenge of a refusal. That of HEAD has no body, so it is asked for with GET."""
    response = send(guarded, call._replace(method="GET") if call.method == "HEAD" else call, headers)
    assert response.status_code == status
    assert send(guarded, call, headers).status_code == status
    return response.json()["code"], response.headers["www-authenticate"]


def mistyped(text: str) -> str:
    """Return a key with a typing error in its secret."""
    return text[:20] + ("a" if text[20] != "a" else "b") + text[21:]


def test_the_table_has_each_operation_of_the_contract() -> None:
    assert sorted(OPERATIONS) == sorted(CALLS), "give the new operation a request in operations.py"
    assert {name: call.scope for name, call in CALLS.items()} == SCOPES


def test_an_operation_without_a_scope_is_refused() -> None:
    with pytest.raises(LookupError, match="get_new"):
        require_scopes([*SCOPES, "get_new"])
    with pytest.raises(LookupError, match="get_keys"):
        require_scopes(set(SCOPES) - {"get_keys"})


@pytest.mark.parametrize("name", GUARDED)
def test_a_request_without_a_key_is_refused(guarded: Guarded, name: str) -> None:
    code, challenge = refused_code(guarded, CALLS[name], {}, 401)
    assert (code, challenge) == ("key_missing", 'Bearer realm="lockstream"')


@pytest.mark.parametrize("name", GUARDED)
def test_a_request_with_an_unknown_key_is_refused(guarded: Guarded, name: str) -> None:
    code, challenge = refused_code(guarded, CALLS[name], bearer(new_key_text().text), 401)
    assert code == "key_unknown"
    assert 'error="invalid_token"' in challenge


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize(
    ("key", "code"), [("mistyped", "key_malformed"), ("expired", "key_expired"), ("revoked", "key_revoked")]
)
def test_a_request_with_a_key_that_is_not_accepted_is_refused(guarded: Guarded, name: str, key: str, code: str) -> None:
    text = mistyped(guarded.keys["all"]) if key == "mistyped" else guarded.keys[key]
    found, challenge = refused_code(guarded, CALLS[name], bearer(text), 401)
    assert found == code
    assert 'error="invalid_token"' in challenge


@pytest.mark.parametrize("name", GUARDED)
def test_a_request_with_every_other_scope_is_refused(guarded: Guarded, name: str) -> None:
    call = CALLS[name]
    for scope in set(Scope) - {call.scope}:
        code, challenge = refused_code(guarded, call, bearer(guarded.keys[scope]), 403)
        assert code == "scope_missing"
        assert challenge.endswith(f'error="insufficient_scope", scope="{call.scope}"')


@pytest.mark.parametrize("name", CALLS)
def test_a_request_with_the_right_scope_is_served(guarded: Guarded, name: str) -> None:
    call = CALLS[name]
    key = call.scope.value if call.scope else "all"
    assert send(guarded, call, bearer(guarded.keys[key])).status_code == call.status


@pytest.mark.parametrize("name", [name for name in CALLS if name not in GUARDED])
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer lsk_", "Basic dTpw", "\xff"])
def test_health_needs_no_key(guarded: Guarded, name: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    assert send(guarded, CALLS[name], headers).status_code == 200  # type: ignore[arg-type]  # httpx accepts bytes

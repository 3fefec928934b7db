"""Figures of the whole network are refused to a key that is bound to lockers, on each kind of store."""

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.access.scopes import SCOPES, WHOLE_NETWORK
from lockstream.tests.presentation.http.access.operations import CALLS


def test_each_such_operation_exists() -> None:
    assert SCOPES.keys() >= WHOLE_NETWORK


@pytest.mark.parametrize("operation", sorted(WHOLE_NETWORK))
def test_a_bound_key_is_refused_and_others_are_served(clients: dict[str, TestClient], operation: str) -> None:
    path = CALLS[operation].path
    for name in ("locker", "tenant"):
        refused = clients[name].get(path)
        assert (refused.status_code, refused.json()["code"]) == (403, "lockers_bound")
        assert "is bound to lockers" in refused.json()["detail"]
    for name in ("operator", ""):
        assert clients[name].get(path).status_code == CALLS[operation].status

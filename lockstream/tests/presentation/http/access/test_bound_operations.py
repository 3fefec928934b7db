"""Every operation of the contract tells a bound caller the same, whatever other lockers there are, or none."""

from collections.abc import Iterator

import httpx
import pytest

from lockstream.core.entities.access import Lockers, Scope
from lockstream.presentation.http.access.scopes import SCOPES
from lockstream.presentation.http.app import create_app
from lockstream.tests.presentation.http.access.answers import Statement, body_of, statement_of
from lockstream.tests.presentation.http.access.bound_requests import GETS, POSTS, STREAM, Get, gets, paths
from lockstream.tests.presentation.http.access.networks import CALLER, FOREIGN, Network, networks
from lockstream.tests.support.memory_system import open_in_memory

__all__ = ["networks"]

WORDS = ("'other'", "r-other", "own-10", "own-3", "r-own-1-1-1", "-8000-0001")
"""Parts of what only other lockers have. The caller's own requests are the only place where it may find them."""


def test_the_table_covers_the_contract() -> None:
    contract = create_app(open_in_memory).openapi()
    operations = {
        (method.upper(), path)
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
        if SCOPES[operation["operationId"]] is not Scope.ADMIN  # such a key is never bound
        and operation["operationId"] != "get_metrics"  # refused, see test_metrics
    }
    assert operations == {("GET", path) for path in (*GETS, STREAM)} | {("POST", path) for path in POSTS}


def test_every_read_is_the_same_with_and_without_other_lockers(networks: list[Network]) -> None:
    for template in GETS:
        for get in gets(template):
            whole, otherwise, alone = (list(_pages(network, get)) for network in networks)
            assert whole == alone, get
            assert otherwise == alone, get


def test_a_caller_without_lockers_sees_an_empty_network(networks: list[Network]) -> None:
    whole = networks[0]
    for template in GETS:
        for get in gets(template):
            if "{" not in get.url and template.count("{") == 0:
                response = whole.client.get(get.url, headers={**get.headers, CALLER: "nothing"})
                assert not any(word in response.text.replace(get.url, "") for word in ("own-", "r-o")), get


def test_no_answer_has_an_id_of_another_locker(networks: list[Network]) -> None:
    for template in GETS:
        for get in gets(template):
            if not any(word in get.url for word in WORDS):
                for _, headers, body in _pages(networks[0], get):
                    assert not any(word in f"{headers}{body}" for word in WORDS), get


def test_changes_of_the_quarantine_concern_the_callers_entries_alone(networks: list[Network]) -> None:
    for template, bodies in POSTS.items():
        for path in paths(template):
            for body in bodies:
                answers = [statement_of(network.client.post(path, json=body)) for network in networks]
                assert answers[0] == answers[1] == answers[2], (path, body)
    # and the entries of other lockers are as they were
    listed = networks[0].client.get("/quarantine?limit=1000", headers={CALLER: "anyone"}).json()["items"]
    foreign = {item["event_id"]: item for item in listed if item["locker_id"] in ("own", "own-10", "other", "own-3")}
    assert foreign.keys() == {body["event_id"] for body in FOREIGN.refused}
    assert {item["count"] for item in foreign.values()} == {1}


def test_a_token_of_another_caller_shows_no_more(networks: list[Network]) -> None:
    whole = networks[0].client
    for url in ("/lockers?limit=3", "/reservations?limit=3", "/faults?limit=2", "/reservations?limit=3&sort=id"):
        token = whole.get(url, headers={CALLER: "anyone"}).json()["next"]
        seen = whole.get(f"{url}&after={token}").json()
        lockers = Lockers.of(["own-1", "own-2*"])
        assert seen["items"]
        assert all(lockers.allow(item["locker_id"]) for item in seen["items"]), url


def test_callers_see_their_own_parts_of_one_network(networks: list[Network]) -> None:
    whole = networks[0].client
    by_caller = {
        name: {item["locker_id"] for item in whole.get("/lockers", headers={CALLER: name}).json()["items"]}
        for name in ("bound", "other", "nothing", "anyone")
    }
    assert by_caller["bound"] == {"own-1", "own-2", 'own-2"3'}
    assert by_caller["other"] == {"own-10", "other"}
    assert by_caller["nothing"] == set()
    assert by_caller["anyone"] == by_caller["bound"] | by_caller["other"] | {"own", "own-3"}


def _pages(network: Network, get: Get) -> Iterator[Statement]:
    """Yield the statements of all pages of a list, or of the only answer."""
    url = get.url_in(network.positions)
    while True:
        response = network.client.get(url, headers=get.headers)
        yield statement_of(response)
        link = response.headers.get("link")
        if not link:
            return
        url = str(httpx.URL(url).join(link[1 : link.index(">")]))


@pytest.mark.parametrize("url", ["/lockers", "/reservations", "/faults", "/network", "/quarantine", "/events?after=0"])
def test_the_caller_has_something_to_see(networks: list[Network], url: str) -> None:
    assert "own-1" in networks[2].client.get(url).text or body_of(networks[2].client.get(url))["lockers"] == 3

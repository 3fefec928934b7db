"""Pages of lists: the limit, the token and link of the next page, and tokens that are used wrongly."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.listings import CountKey
from lockstream.presentation.http.app import create_app
from lockstream.presentation.http.page_tokens import binding_of, encode_token
from lockstream.tests.presentation.http.routes.network import client_of_network, post
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.memory_system import open_in_memory

URLS = [
    "/lockers",
    "/lockers?q=l&available=true",
    "/lockers?order=desc",
    "/lockers?sort=last_event",
    "/lockers?sort=last_event&order=desc",
    "/lockers?sort=available",
    "/lockers?sort=available&order=desc&q=l",
    "/lockers?sort=degraded",
    "/lockers?sort=degraded&order=desc",
    "/lockers/l1/compartments",
    "/lockers/l1/compartments?status=degraded",
    "/reservations",
    "/reservations?order=desc",
    "/reservations?sort=id",
    "/reservations?sort=id&order=desc",
    "/reservations?changed_after=2026-11-20T09:00:00%2B01:00",
    "/faults",
    "/faults?order=asc",
    "/faults?locker_id=l1",
    "/lockers/l1/events",
    "/lockers/l1/events?order=desc",
    "/lockers/l1/events?type=ReservationCreated",
    "/lockers/l1/compartments/c4/events",
    "/lockers/l1/compartments/c4/events?order=desc",
    "/reservations/r2/events",
    "/reservations/r2/events?order=desc",
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with client_of_network(monkeypatch) as client:
        yield client


def with_limit(url: str, limit: int) -> str:
    return f"{url}{'&' if '?' in url else '?'}limit={limit}"


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("url", URLS)
def test_pages_together_are_the_whole_list(client: TestClient, url: str, limit: int) -> None:
    whole = client.get(url).json()
    found: list[Any] = []
    page = client.get(with_limit(url, limit))
    while page.json()["next"] is not None:
        assert len(page.json()["items"]) == limit
        found += page.json()["items"]
        # the Link header and the token `next` give the same page
        linked = client.get(urljoin(str(page.url), page.links["next"]["url"]))
        page = client.get(f"{with_limit(url, limit)}&after={page.json()['next']}")
        assert (page.json(), page.headers) == (linked.json(), linked.headers)
    assert "Link" not in page.headers
    assert 0 < len(page.json()["items"]) <= limit
    assert found + page.json()["items"] == whole["items"]
    assert whole["next"] is None


def test_the_limit_may_change_between_pages(client: TestClient) -> None:
    first = client.get("/reservations?limit=1").json()
    rest = client.get(f"/reservations?after={first['next']}").json()
    assert [len(page["items"]) for page in (first, rest)] == [1, 3]


def test_defaults_may_be_sent_or_omitted(client: TestClient) -> None:
    token = client.get("/reservations?limit=1").json()["next"]
    assert client.get(f"/reservations?order=asc&sort=changed&after={token}").status_code == 200


def test_a_page_has_a_hundred_items_by_default_and_a_thousand_at_most() -> None:
    with contract_client(create_app(open_in_memory)) as client:
        post(client, [registered(f"c{number:04}") for number in range(1_001)])
        path = "/lockers/locker-1/compartments"
        assert len(client.get(path).json()["items"]) == 100
        page = client.get(f"{path}?limit=1000").json()
        assert len(page["items"]) == 1_000
        assert len(client.get(f"{path}?limit=1000&after={page['next']}").json()["items"]) == 1


def test_a_page_neither_repeats_nor_skips_what_did_not_change(client: TestClient) -> None:
    first = client.get("/lockers?limit=1").json()
    post(client, [registered("c1", locker="l0"), registered("c1", locker="l1b"), registered("c1", locker="l3")])
    rest = client.get(f"/lockers?after={first['next']}").json()
    assert [item["locker_id"] for item in rest["items"]] == ["l1b", "l2", "l3"]


def test_the_link_keeps_the_query(client: TestClient) -> None:
    response = client.get("/reservations?limit=1&changed_after=2026-11-20T09:00:00%2B01:00&locker_id=l1")
    token = response.json()["next"]
    assert response.headers["Link"] == (
        f'<?limit=1&changed_after=2026-11-20T09%3A00%3A00%2B01%3A00&locker_id=l1&after={token}>; rel="next"'
    )


@pytest.mark.parametrize("is_stripped", [True, False], ids=["stripped", "kept"])
def test_the_link_is_right_behind_a_path_prefix(monkeypatch: pytest.MonkeyPatch, *, is_stripped: bool) -> None:
    monkeypatch.setenv("LOCKSTREAM_ROOT_PATH", "/lockstream")
    seen = "" if is_stripped else "/lockstream"
    with contract_client(create_app(open_in_memory), seen) as client:
        assert client.post(f"{seen}/events/batch", json=[registered("a"), registered("b")]).status_code == 200
        page = client.get(f"{seen}/lockers/locker-1/compartments?limit=1")
        url = urljoin("http://host/lockstream/lockers/locker-1/compartments?limit=1", page.links["next"]["url"])
        public = url.removeprefix("http://host/lockstream")
        assert public.startswith("/lockers/locker-1/compartments?limit=1&after=")
        assert [item["compartment_id"] for item in client.get(seen + public).json()["items"]] == ["b"]


@pytest.mark.parametrize(
    "url",
    [
        "/lockers?q=l",
        "/lockers?order=desc",
        "/lockers?sort=last_event",
        "/lockers?sort=degraded",
        "/reservations?order=desc",
        "/reservations?sort=id",
        "/reservations?status=CREATED",
        "/reservations?locker_id=l1",
        "/reservations?changed_before=2026-11-23T08:00:00Z",
        "/faults",
        "/faults?order=asc",
        "/lockers/l2/compartments",
        "/lockers/l1/events",
        "/lockers/l1/compartments/c1/events",
        "/reservations/r2/events",
    ],
)
def test_a_token_of_another_list_gets_422(client: TestClient, url: str) -> None:
    for other in "/reservations", "/lockers/l1/compartments":
        token = client.get(f"{other}?limit=1").json()["next"]
        response = client.get(with_limit(url, 1) + f"&after={token}")
        assert response.status_code == 422
        assert response.json()["detail"] == (
            "The query parameter after belongs to a list with other filters or another order. Repeat the filters and "
            "the order of the page before, or omit after to begin anew."
        )


def good_token(client: TestClient) -> str:
    token: str = client.get("/lockers?limit=1").json()["next"]
    return token


CHANGES: dict[str, Callable[[str], str]] = {
    "a word": lambda _: "x",
    "not ASCII": lambda _: "é",
    "NUL": lambda _: "%00",
    "cut": lambda token: token[:-1],
    "longer": lambda token: token + "A",
    "padded": lambda token: token + "=",
    "blank": lambda token: token + "%20",
    "another version": lambda token: "Ag" + token[2:],
    "another alphabet": lambda token: "~" + token,
    "text that is not UTF-8": lambda token: urlsafe_b64encode(b"\x01" + b"a" * 6 + b"\xa1\xff").decode(),
    "repeated": lambda token: token * 100,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_token_that_was_changed_gets_422(client: TestClient, change: Callable[[str], str]) -> None:
    response = client.get(f"/lockers?after={change(good_token(client))}")
    assert response.status_code == 422
    detail = response.json()["detail"]
    assert detail.startswith("The query parameter after is '")
    assert detail.endswith(" Send the `next` of the page before as it is, or omit after to begin anew.")


@pytest.mark.parametrize("key", [7, "", "a\0b", "a/b", "x" * 129, "a\n", (1, "l1")])
def test_a_forged_token_reaches_no_database(client: TestClient, key: Any) -> None:
    assert encode_token("l1", binding_by("id")) == good_token(client)
    require_refused(client, "id", key)


@pytest.mark.parametrize("key", [7, "l1", (-1, "l1"), (2**31, "l1"), (1, "a/b"), (1, 1), (1,), (1, "l1", 1), ("l1", 1)])
def test_a_forged_token_of_a_list_by_a_count_reaches_no_database(client: TestClient, key: Any) -> None:
    token = client.get("/lockers?sort=degraded&limit=1").json()["next"]
    assert encode_token(CountKey(0, "l2"), binding_by("degraded")) == token
    require_refused(client, "degraded", key)


def test_a_forged_token_of_a_list_by_the_last_event_reaches_no_database(client: TestClient) -> None:
    token = client.get("/lockers?sort=last_event&limit=1").json()["next"]
    assert encode_token(14, binding_by("last_event")) == token
    for key in 0, 2**63, "l1", (1, "l1"):
        require_refused(client, "last_event", key)


def binding_by(sort: str) -> bytes:
    """Return what a token of the list of all lockers in an order is bound to."""
    filters = dict.fromkeys(("q", "available", "degraded", "silent", "gone"))
    return binding_of("lockers", "", {**filters, "sort": sort, "order": "asc"})


def require_refused(client: TestClient, sort: str, key: Any) -> None:
    response = client.get(f"/lockers?sort={sort}&after={encode_token(key, binding_by(sort))}")
    assert response.status_code == 422
    assert response.json()["detail"].startswith("The query parameter after is '")

"""The lists: their filters, their order and their items."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from lockstream.core.use_cases import sorted_lockers
from lockstream.presentation.http.app import create_app
from lockstream.services.running import lockstream
from lockstream.tests.presentation.http.routes.network import FAULTS, client_of_network, post, time_on
from lockstream.tests.support.builders import fault_reported, registered, reserved
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.memory_system import open_in_memory

HISTORIES = "/lockers/l1/events", "/lockers/l1/compartments/c1/events", "/reservations/r2/events"
LISTS = "/lockers", "/lockers/l1/compartments", "/reservations", "/faults", *HISTORIES
ALL = *LISTS, "/network", "/search?q=l"

NETWORK_KEYS = "lockers", "compartments", "available", "reserved", "occupied", "degraded"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with client_of_network(monkeypatch) as client:
        yield client


@pytest.fixture
def empty_client() -> Iterator[TestClient]:
    with contract_client(create_app(open_in_memory)) as client:
        yield client


def items(client: TestClient, url: str) -> list[dict[str, Any]]:
    response = client.get(url)
    assert response.status_code == 200, response.text
    listed: list[dict[str, Any]] = response.json()["items"]
    return listed


def ids(client: TestClient, url: str, name: str) -> list[str]:
    return [item[name] for item in items(client, url)]


def test_the_network_is_shown_as_totals(client: TestClient) -> None:
    assert client.get("/network").json() == {
        "lockers": 2,
        "compartments": 5,
        "available": 2,
        "reserved": 1,
        "occupied": 1,
        "degraded": 2,
        "reservations": {"CREATED": 1, "DEPOSITED": 1, "PICKED_UP": 1, "EXPIRED": 1},
        "open_faults": [{"severity": 5, "count": 1}, {"severity": 3, "count": 1}],
        "position": 17,
        "last_event_at": time_on(23),
    }


def test_an_empty_network_has_empty_lists(empty_client: TestClient) -> None:
    network = empty_client.get("/network").json()
    assert [network[key] for key in NETWORK_KEYS] == [0] * len(NETWORK_KEYS)
    assert (network["open_faults"], network["position"], network["last_event_at"]) == ([], 0, None)
    for path in "/lockers", "/reservations", "/faults":
        assert empty_client.get(path).json() == {"items": [], "next": None}
    nothing: dict[str, list[str]] = {"lockers": [], "compartments": [], "reservations": [], "events": []}
    assert empty_client.get("/search?q=a").json() == nothing


def test_a_locker_is_listed_with_its_counts(client: TestClient) -> None:
    assert items(client, "/lockers") == [
        {
            "locker_id": "l1",
            "compartments": 4,
            "available": 1,
            "reserved": 1,
            "occupied": 1,
            "degraded": 2,
            "events": 12,
            "last_event_at": time_on(22),
            "last_position": 14,
            "silent": False,
            "gone": False,
            "usual_silence_seconds": None,
        },
        {
            "locker_id": "l2",
            "compartments": 1,
            "available": 1,
            "reserved": 0,
            "occupied": 0,
            "degraded": 0,
            "events": 5,
            "last_event_at": time_on(23),
            "last_position": 17,
            "silent": False,
            "gone": False,
            "usual_silence_seconds": None,
        },
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("available=true", ["l1", "l2"]),
        ("available=false", []),
        ("degraded=true", ["l1"]),
        ("degraded=false", ["l2"]),
        ("q=l2", ["l2"]),
        ("q=L", []),
        ("q=l&degraded=false&available=true", ["l2"]),
        ("sort=id&order=asc", ["l1", "l2"]),
        ("order=desc", ["l2", "l1"]),
        ("sort=last_event", ["l1", "l2"]),
        ("sort=last_event&order=desc&silent=false&gone=false", ["l2", "l1"]),
        ("sort=available", ["l1", "l2"]),
        ("sort=available&order=desc", ["l2", "l1"]),
        ("sort=degraded", ["l2", "l1"]),
        ("sort=degraded&order=desc&available=true", ["l1", "l2"]),
        ("sort=degraded&q=l1&silent=false", ["l1"]),
    ],
)
def test_lockers_are_filtered_and_sorted(client: TestClient, query: str, expected: list[str]) -> None:
    assert ids(client, f"/lockers?{query}", "locker_id") == expected


def test_an_unknown_order_gets_422_with_the_orders_that_exist(client: TestClient) -> None:
    for query, detail in (
        ("sort=free", "The query parameter sort is 'free'. Send id, last_event, available or degraded."),
        ("sort=id&order=up", "The query parameter order is 'up'. Send asc or desc."),
    ):
        response = client.get(f"/lockers?{query}")
        assert (response.status_code, response.json()) == (422, {"detail": detail})


def test_too_many_lockers_to_be_sorted_get_422_with_what_is_allowed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_lockers, "MAX_SORTED", 1)
    response = client.get("/lockers?available=true&sort=last_event")
    assert (response.status_code, response.json()) == (
        422,
        {
            "detail": "More than 1 locker pass the filters, too many to sort by last_event. Narrow the filters, sort "
            "by id, or filter by silent and gone alone."
        },
    )
    assert ids(client, "/lockers?q=l2&sort=last_event", "locker_id") == ["l2"]
    assert ids(client, "/lockers?sort=last_event&silent=false", "locker_id") == ["l1", "l2"]


def test_a_compartment_is_listed_with_its_status_and_since_when(client: TestClient) -> None:
    keys = "compartment_id", "status", "degraded", "active_reservation", "since", "since_position"
    assert [tuple(item.values()) for item in items(client, "/lockers/l1/compartments")] == [
        ("c1", "reserved", True, "r3", time_on(22), 14),
        ("c2", "occupied", False, "r1", time_on(21), 10),
        ("c3", "degraded", True, None, time_on(21), 9),
        ("c4", "available", False, None, time_on(22), 12),
    ]
    assert tuple(items(client, "/lockers/l1/compartments")[0]) == keys


@pytest.mark.parametrize(
    ("status", "expected"),
    [("available", ["c4"]), ("reserved", ["c1"]), ("occupied", ["c2"]), ("degraded", ["c1", "c3"])],
)
def test_compartments_are_filtered_by_status(client: TestClient, status: str, expected: list[str]) -> None:
    assert ids(client, f"/lockers/l1/compartments?status={status}", "compartment_id") == expected


def test_a_locker_without_matching_compartments_has_an_empty_list(client: TestClient) -> None:
    assert items(client, "/lockers/l2/compartments?status=degraded") == []


@pytest.mark.parametrize("locker", ["l3", "%00", "%FF", "x" * 129, "a%0Ab"])
def test_an_unknown_locker_has_no_list_of_compartments(client: TestClient, locker: str) -> None:
    response = client.get(f"/lockers/{locker}/compartments")
    assert (response.status_code, response.headers["Lockstream-Position"]) == (404, "17")
    assert response.json()["detail"].startswith("There is no locker ")


def test_a_reservation_is_listed_with_the_times_of_its_steps(client: TestClient) -> None:
    by_id = {item["reservation_id"]: item for item in items(client, "/reservations")}
    assert by_id["r2"] == {
        "reservation_id": "r2",
        "locker_id": "l1",
        "compartment_id": "c4",
        "status": "PICKED_UP",
        "created_at": time_on(20),
        "created_position": 8,
        "deposited_at": time_on(21),
        "deposited_position": 11,
        "changed_at": time_on(22),
        "changed_position": 12,
    }
    assert (by_id["r0"]["deposited_at"], by_id["r0"]["deposited_position"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["r3", "r1", "r2", "r0"]),
        ("order=asc", ["r3", "r1", "r2", "r0"]),
        ("order=desc&sort=changed", ["r0", "r2", "r1", "r3"]),
        ("sort=id", ["r0", "r1", "r2", "r3"]),
        ("sort=id&order=desc", ["r3", "r2", "r1", "r0"]),
        ("status=DEPOSITED", ["r1"]),
        ("status=EXPIRED&locker_id=l1", []),
        ("locker_id=l2", ["r0"]),
        (f"changed_before={time_on(22)}", ["r3", "r1"]),
        (f"changed_after={time_on(21)}", ["r2", "r0"]),
        (f"changed_after={time_on(20)}&changed_before={time_on(23)}", ["r1", "r2"]),
        (f"changed_after={time_on(23)}", []),
        ("changed_before=2026-11-22T08:00:00.0000001Z", ["r3", "r1", "r2"]),
        ("changed_after=2026-11-20T07:59:59.9999999Z&status=CREATED", ["r3"]),
        ("changed_before=2026-11-22T10:00:00%2B02:00", ["r3", "r1"]),
        ("changed_after=0001-01-01T00:00:00Z&changed_before=9999-12-31T23:59:59Z", ["r3", "r1", "r2", "r0"]),
    ],
)
def test_reservations_are_filtered_and_sorted(client: TestClient, query: str, expected: list[str]) -> None:
    assert ids(client, f"/reservations?{query}", "reservation_id") == expected


def test_parcels_that_wait_for_days_are_one_request(client: TestClient) -> None:
    # when parcels are asked for that were deposited more than three days before noon of November 24, 2026
    waiting = items(client, "/reservations?status=DEPOSITED&changed_before=2026-11-21T12:00:00Z")
    # then they are listed with the compartment, and the time of the deposit
    assert [(item["compartment_id"], item["deposited_at"]) for item in waiting] == [("c2", time_on(21))]


def test_a_fault_is_listed_with_its_times(client: TestClient) -> None:
    cleared, opened = items(client, "/faults?order=asc")[1:]
    assert cleared == {
        "fault_id": FAULTS[1]["event_id"],
        "locker_id": "l2",
        "compartment_id": "c1",
        "severity": 0,
        "open": False,
        "reported_at": time_on(22),
        "reported_position": 13,
        "cleared_at": time_on(23),
        "cleared_position": 15,
    }
    assert (opened["open"], opened["cleared_at"], opened["cleared_position"]) == (True, None, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [14, 13, 9]),
        ("order=desc", [14, 13, 9]),
        ("order=asc", [9, 13, 14]),
        ("open=true", [14, 9]),
        ("open=false", [13]),
        ("min_severity=3", [14, 9]),
        ("min_severity=4", [14]),
        ("min_severity=2147483647", []),
        ("locker_id=l1", [14, 9]),
        ("locker_id=l1&compartment_id=c3", [9]),
        ("locker_id=l2&compartment_id=c3", []),
    ],
)
def test_faults_are_filtered_and_sorted(client: TestClient, query: str, expected: list[int]) -> None:
    assert [item["reported_position"] for item in items(client, f"/faults?{query}")] == expected


def test_a_search_finds_ids_that_begin_so(client: TestClient) -> None:
    assert client.get("/search?q=l").json() == {
        "lockers": ["l1", "l2"],
        "compartments": [],
        "reservations": [],
        "events": [],
    }
    assert client.get("/search?q=c1").json()["compartments"] == [
        {"locker_id": "l1", "compartment_id": "c1"},
        {"locker_id": "l2", "compartment_id": "c1"},
    ]
    assert client.get("/search?q=r").json()["reservations"] == ["r0", "r1", "r2", "r3"]


def test_a_search_finds_accepted_events_by_the_beginning_of_their_ids(empty_client: TestClient) -> None:
    ids = [f"0190a5e0-0000-4000-8000-0000000000{number:02}" for number in range(25)]
    post(empty_client, [registered(f"c{number}", event_id=one) for number, one in enumerate(ids)])
    found = [{"event_id": one, "position": position} for position, one in enumerate(ids, 1)]
    assert empty_client.get("/search?q=0190A5E0-0000").json()["events"] == found[:20]
    assert empty_client.get(f"/search?q={ids[24].upper()}").json()["events"] == found[24:]
    assert empty_client.get(f"/search?q={ids[24]}0").json()["events"] == []


def test_a_search_finds_at_most_twenty_of_each_kind(empty_client: TestClient) -> None:
    names = [f"x{number:02}" for number in range(25)]
    post(empty_client, [registered(name, locker=name) for name in names])
    post(empty_client, [reserved(name, name, locker=name) for name in names])
    found = empty_client.get("/search?q=x").json()
    assert found["lockers"] == found["reservations"] == names[:20]
    assert [match["compartment_id"] for match in found["compartments"]] == names[:20]


@pytest.mark.parametrize("odd", ["Paketbox Zürich 1", "a+b&c=d", "50%", "📦", "a'b\"c`d", "?#;,"])
def test_odd_ids_are_found_and_filtered(empty_client: TestClient, odd: str) -> None:
    post(
        empty_client, [registered(odd, locker=odd), reserved(odd, odd, locker=odd), fault_reported(1, odd, locker=odd)]
    )
    given = quote(odd, safe="")
    assert empty_client.get(f"/search?q={given}").json()["lockers"] == [odd]
    assert ids(empty_client, f"/lockers?q={given}", "locker_id") == [odd]
    assert ids(empty_client, f"/lockers/{given}/compartments", "compartment_id") == [odd]
    assert ids(empty_client, f"/reservations?locker_id={given}", "reservation_id") == [odd]
    assert ids(empty_client, f"/faults?locker_id={given}&compartment_id={given}", "locker_id") == [odd]


@pytest.mark.parametrize("url", ALL)
def test_a_list_says_which_position_it_reflects(client: TestClient, url: str) -> None:
    assert client.get(url).headers["Lockstream-Position"] == "17"
    post(client, [registered("c9", locker="l9")])
    assert client.get(url, headers={"Lockstream-Min-Position": "18"}).headers["Lockstream-Position"] == "18"


@pytest.mark.parametrize("url", ALL)
def test_a_list_waits_for_its_min_position_and_then_gets_503(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(lockstream, "MIN_POSITION_SECONDS", 0.05)
    response = client.get(url, headers={"Lockstream-Min-Position": "18"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "the request demands 18" in response.json()["detail"]
    assert client.get(url, headers={"Lockstream-Min-Position": "x"}).status_code == 422


@pytest.mark.parametrize("url", ALL)
def test_head_gets_the_headers_of_get(client: TestClient, url: str) -> None:
    get, head = client.get(url), client.head(url)
    assert (head.status_code, head.content, head.headers) == (200, b"", get.headers)


@pytest.mark.parametrize("path", ["/network", *LISTS, "/search"])
def test_no_other_method_is_allowed(client: TestClient, path: str) -> None:
    for method in "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")

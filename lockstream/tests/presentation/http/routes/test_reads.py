"""GET of a locker, a compartment and a reservation: the exact response, which shows all acknowledged events."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.clients import check_contract

ODD_IDS = [
    "Paketbox Zürich 1",
    "ロッカー・三",
    "📦",
    "e\u0301",
    " ",
    ".",
    "..",
    "a'b\"c`d",
    "50%",
    "%2F",
    "a?b#c",
    "a+b&c=d",
    "{locker_id}",
    "a\\b",
    "a;b,c:d@e",
    "'; DROP TABLE compartments; --",
    "\U0010ffff",
    "x" * 128,
    "ü" * 128,
]


def read_locker(client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"/lockers/{LOCKER}").json()
    return body


def test_a_locker_shows_its_counts_and_hash(client: TestClient) -> None:
    for event in registered("a"), registered("b"), registered("c"), reserved(compartment="a"), fault_reported(3, "b"):
        client.post("/events", json=event)
    locker = read_locker(client)
    assert len(locker.pop("state_hash")) == 64
    assert locker == {"locker_id": LOCKER, "compartments": 3, "active_reservations": 1, "degraded_compartments": 1}


def test_a_compartment_shows_whether_it_is_degraded_and_its_reservation(client: TestClient) -> None:
    client.post("/events", json=registered())
    path = f"/lockers/{LOCKER}/compartments/{COMPARTMENT}"
    free = {"compartment_id": COMPARTMENT, "degraded": False, "active_reservation": None}
    assert client.get(path).json() == free
    client.post("/events", json=reserved())
    assert client.get(path).json() == free | {"active_reservation": RESERVATION}


def test_a_reservation_shows_its_status(client: TestClient) -> None:
    client.post("/events", json=registered())
    for event, status in [(reserved(), "CREATED"), (deposited(), "DEPOSITED"), (picked_up(), "PICKED_UP")]:
        client.post("/events", json=event)
        response = client.get(f"/reservations/{RESERVATION}")
        assert (response.status_code, response.json()) == (200, {"reservation_id": RESERVATION, "status": status})


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/lockers/unknown", ["unknown"]),
        (f"/lockers/unknown/compartments/{COMPARTMENT}", ["unknown", COMPARTMENT]),
        (f"/lockers/{LOCKER}/compartments/unknown", [LOCKER, "unknown"]),
        ("/reservations/unknown", ["unknown"]),
    ],
)
def test_an_unknown_id_gets_404_with_its_name(client: TestClient, path: str, names: list[str]) -> None:
    client.post("/events", json=registered())
    response = client.get(path)
    assert response.status_code == 404
    assert list(response.json()) == ["detail"]
    assert all(repr(name) in response.json()["detail"] for name in names)


def test_a_refused_event_creates_nothing(client: TestClient) -> None:
    client.post("/events", json=reserved())
    assert client.get(f"/lockers/{LOCKER}").status_code == 404
    assert client.get(f"/reservations/{RESERVATION}").status_code == 404


def test_each_read_shows_the_event_acknowledged_right_before_it(client: TestClient) -> None:
    fault = fault_reported(3)
    steps = [
        (registered(), (1, 0, 0)),
        (registered("another"), (2, 0, 0)),
        (reserved(), (2, 1, 0)),
        (fault, (2, 1, 1)),
        (deposited(), (2, 1, 1)),
        (picked_up(), (2, 0, 1)),
        (fault_cleared(fault), (2, 0, 0)),
        (reserved("r2"), (2, 1, 0)),
        (expired("r2"), (2, 0, 0)),
    ]
    for event, counts in steps:
        assert client.post("/events", json=event).status_code == 202
        locker = read_locker(client)
        assert (locker["compartments"], locker["active_reservations"], locker["degraded_compartments"]) == counts


def test_the_state_hash_is_equal_for_equal_states_only(client: TestClient) -> None:
    fault = fault_reported(1)
    hashes = []
    for event in registered(), reserved(), deposited(), picked_up(), fault, fault_cleared(fault):
        client.post("/events", json=event)
        hashes.append(read_locker(client)["state_hash"])
    assert len(set(hashes[:5])) == 4, "free, reserved, deposited, free again, with a fault"
    assert hashes[0] == hashes[3] == hashes[5]


def test_reads_are_the_same_after_a_restart(new_client: NewClient) -> None:
    paths = f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/compartments/{COMPARTMENT}", f"/reservations/{RESERVATION}"
    with new_client() as client:
        for event in registered(), reserved(), deposited(), fault_reported(3):
            client.post("/events", json=event)
        before = [client.get(path).json() for path in paths]
    with new_client() as client:
        assert [client.get(path).json() for path in paths] == before


@pytest.mark.parametrize("odd", ODD_IDS)
def test_an_id_of_any_characters_is_found_by_its_percent_encoded_form(shared_server: str, odd: str) -> None:
    encoded = quote(odd, safe="").replace(".", "%2E")
    events = [registered(odd, locker=odd), reserved(odd, odd, locker=odd)]
    with httpx.Client(base_url=shared_server, event_hooks={"response": [check_contract]}) as client:
        assert [client.post("/events", json=event).status_code for event in events] == [202, 202]
        assert client.get(f"/lockers/{encoded}").json()["locker_id"] == odd
        assert client.get(f"/lockers/{encoded}/compartments/{encoded}").json() == {
            "compartment_id": odd,
            "degraded": False,
            "active_reservation": odd,
        }
        assert client.get(f"/reservations/{encoded}").json() == {"reservation_id": odd, "status": "CREATED"}


def test_ids_that_differ_by_case_or_unicode_form_are_different(client: TestClient) -> None:
    for name in "a", "A", "\u00e9", "e\u0301":
        assert client.post("/events", json=registered(name)).status_code == 202
    assert read_locker(client)["compartments"] == 4


@pytest.mark.parametrize("path", [f"/lockers/{LOCKER}%2F", f"/lockers/{LOCKER}/", f"/lockers//{LOCKER}"])
def test_a_path_that_names_no_locker_gets_404(client: TestClient, path: str) -> None:
    client.post("/events", json=registered())
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("impossible", ["%00", "%ff", "%ed%a0%80", "a" * 2_000])
def test_an_impossible_id_gets_404(client: TestClient, impossible: str) -> None:
    for path in (
        f"/lockers/{impossible}",
        f"/lockers/{impossible}/compartments/{impossible}",
        f"/reservations/{impossible}",
    ):
        assert client.get(path).status_code == 404

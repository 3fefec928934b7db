"""The reads: what is answered, to the letter; and each shows all that was acknowledged before it."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.conftest import Clients
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


def locker(client: TestClient) -> dict[str, Any]:
    shown: dict[str, Any] = client.get(f"/lockers/{LOCKER}").json()
    return shown


def test_a_locker_shows_its_counts_and_hash(client: TestClient) -> None:
    for event in registered("a"), registered("b"), registered("c"), reserved(compartment="a"), fault_reported(3, "b"):
        client.post("/events", json=event)
    shown = locker(client)
    assert len(shown.pop("state_hash")) == 64
    assert shown == {"locker_id": LOCKER, "compartments": 3, "active_reservations": 1, "degraded_compartments": 1}


def test_a_compartment_shows_its_condition_and_its_reservation(client: TestClient) -> None:
    client.post("/events", json=registered())
    where = f"/lockers/{LOCKER}/compartments/{COMPARTMENT}"
    free = {"compartment_id": COMPARTMENT, "degraded": False, "active_reservation": None}
    assert client.get(where).json() == free
    client.post("/events", json=reserved())
    assert client.get(where).json() == free | {"active_reservation": RESERVATION}


def test_a_reservation_shows_its_status(client: TestClient) -> None:
    client.post("/events", json=registered())
    for event, status in [(reserved(), "CREATED"), (deposited(), "DEPOSITED"), (picked_up(), "PICKED_UP")]:
        client.post("/events", json=event)
        shown = client.get(f"/reservations/{RESERVATION}")
        assert (shown.status_code, shown.json()) == (200, {"reservation_id": RESERVATION, "status": status})


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/lockers/nowhere", ["nowhere"]),
        (f"/lockers/nowhere/compartments/{COMPARTMENT}", ["nowhere", COMPARTMENT]),
        (f"/lockers/{LOCKER}/compartments/nothing", [LOCKER, "nothing"]),
        ("/reservations/nobody", ["nobody"]),
    ],
)
def test_what_is_unknown_is_not_found(client: TestClient, path: str, named: list[str]) -> None:
    client.post("/events", json=registered())
    answer = client.get(path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["detail"]
    assert all(name in answer.json()["detail"] for name in named)


def test_an_event_that_was_refused_makes_nothing(client: TestClient) -> None:
    client.post("/events", json=reserved())
    assert client.get(f"/lockers/{LOCKER}").status_code == 404
    assert client.get(f"/reservations/{RESERVATION}").status_code == 404


def test_each_read_shows_what_was_acknowledged_right_before_it(client: TestClient) -> None:
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
        shown = locker(client)
        assert (shown["compartments"], shown["active_reservations"], shown["degraded_compartments"]) == counts


def test_the_hash_changes_with_the_state_and_comes_back_with_it(client: TestClient) -> None:
    fault = fault_reported(1)
    hashes = []
    for event in registered(), reserved(), deposited(), picked_up(), fault, fault_cleared(fault):
        client.post("/events", json=event)
        hashes.append(locker(client)["state_hash"])
    assert len(set(hashes[:5])) == 4, "free, reserved, deposited, free again, with a fault"
    assert hashes[0] == hashes[3] == hashes[5], "equal states have equal hashes"


def test_reads_are_the_same_after_a_restart(clients: Clients) -> None:
    paths = f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/compartments/{COMPARTMENT}", f"/reservations/{RESERVATION}"
    with clients() as before:
        for event in registered(), reserved(), deposited(), fault_reported(3):
            before.post("/events", json=event)
        shown = [before.get(path).json() for path in paths]
    with clients() as after:
        assert [after.get(path).json() for path in paths] == shown


@pytest.mark.parametrize("odd", ODD_IDS)
def test_an_id_of_any_characters_is_found_by_its_encoded_form(served: str, odd: str) -> None:
    encoded = quote(odd, safe="").replace(".", "%2E")
    events = [registered(odd, locker=odd), reserved(odd, odd, locker=odd)]
    with httpx.Client(base_url=served) as client:
        assert [client.post("/events", json=event).status_code for event in events] == [202, 202]
        assert client.get(f"/lockers/{encoded}").json()["locker_id"] == odd
        assert client.get(f"/lockers/{encoded}/compartments/{encoded}").json() == {
            "compartment_id": odd,
            "degraded": False,
            "active_reservation": odd,
        }
        assert client.get(f"/reservations/{encoded}").json() == {"reservation_id": odd, "status": "CREATED"}


def test_ids_differ_by_case_and_by_unicode_form(client: TestClient) -> None:
    for name in "a", "A", "\u00e9", "e\u0301":
        assert client.post("/events", json=registered(name)).status_code == 202
    assert locker(client)["compartments"] == 4


@pytest.mark.parametrize("path", [f"/lockers/{LOCKER}%2F", f"/lockers/{LOCKER}/", f"/lockers//{LOCKER}"])
def test_a_path_that_names_no_locker_is_not_found(client: TestClient, path: str) -> None:
    client.post("/events", json=registered())
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("odd", ["%00", "%ff", "%ed%a0%80", "a" * 2_000])
def test_what_can_be_no_id_is_not_found(client: TestClient, odd: str) -> None:
    for path in f"/lockers/{odd}", f"/lockers/{odd}/compartments/{odd}", f"/reservations/{odd}":
        assert client.get(path).status_code == 404

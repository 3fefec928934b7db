"""A fault of severity 3 or more degrades its compartment while it is open; a lesser one never does."""

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)


def given(client: TestClient, *events: Body) -> None:
    for event in events:
        assert client.post("/events", json=event).status_code == 202, event


def degraded(client: TestClient, compartment: str = COMPARTMENT) -> bool:
    shown = client.get(f"/lockers/{LOCKER}/compartments/{compartment}").json()
    assert isinstance(shown["degraded"], bool)
    return shown["degraded"]


def degraded_compartments(client: TestClient) -> object:
    return client.get(f"/lockers/{LOCKER}").json()["degraded_compartments"]


@pytest.mark.parametrize("severity", [0, 1, 2])
def test_a_lesser_fault_does_not_degrade(client: TestClient, severity: int) -> None:
    given(client, registered(), fault_reported(severity))
    assert not degraded(client)
    assert degraded_compartments(client) == 0
    assert client.post("/events", json=reserved()).status_code == 202


@pytest.mark.parametrize("severity", [3, 4, 5, 2**31 - 1])
def test_a_severe_fault_degrades(client: TestClient, severity: int) -> None:
    given(client, registered(), fault_reported(severity))
    assert degraded(client)
    assert degraded_compartments(client) == 1


def test_a_degraded_compartment_cannot_be_reserved(client: TestClient) -> None:
    given(client, registered(), fault_reported(3))
    answer = client.post("/events", json=reserved())
    assert answer.status_code == 409
    assert answer.json()["code"] == "compartment_degraded"
    assert client.get(f"/reservations/{RESERVATION}").status_code == 404


def test_the_other_compartments_can_be_reserved(client: TestClient) -> None:
    given(client, registered("a"), registered("b"), fault_reported(3, "a"), reserved(compartment="b"))
    assert degraded(client, "a")
    assert not degraded(client, "b")
    assert degraded_compartments(client) == 1


def test_the_same_compartment_id_at_another_locker_can_be_reserved(client: TestClient) -> None:
    given(client, registered(), registered(locker="locker-2"), fault_reported(3), reserved(locker="locker-2"))


def test_clearing_the_fault_makes_the_compartment_sound(client: TestClient) -> None:
    fault = fault_reported(4)
    given(client, registered(), fault, fault_cleared(fault))
    assert not degraded(client)
    assert degraded_compartments(client) == 0
    given(client, reserved())


def test_a_compartment_is_degraded_until_its_last_severe_fault_is_cleared(client: TestClient) -> None:
    first, second = fault_reported(3), fault_reported(5)
    given(client, registered(), first, second, fault_cleared(first))
    assert degraded(client)
    given(client, fault_cleared(second))
    assert not degraded(client)


def test_clearing_a_lesser_fault_leaves_the_severe_one(client: TestClient) -> None:
    lesser, severe = fault_reported(2), fault_reported(3)
    given(client, registered(), lesser, severe, fault_cleared(lesser))
    assert degraded(client)


def test_clearing_the_severe_fault_leaves_the_lesser_one_open(client: TestClient) -> None:
    lesser, severe = fault_reported(2), fault_reported(3)
    given(client, registered(), lesser, severe, fault_cleared(severe))
    assert not degraded(client)
    given(client, fault_cleared(lesser))


def test_a_cleared_compartment_can_be_degraded_again(client: TestClient) -> None:
    fault = fault_reported(3)
    given(client, registered(), fault, fault_cleared(fault), fault_reported(3))
    assert degraded(client)


def test_a_parcel_in_a_degraded_compartment_is_deposited_and_picked_up(client: TestClient) -> None:
    given(client, registered(), reserved(), fault_reported(5), deposited(), picked_up())
    assert client.get(f"/reservations/{RESERVATION}").json()["status"] == "PICKED_UP"
    assert degraded(client), "the fault is still open"


def test_a_reservation_of_a_degraded_compartment_expires(client: TestClient) -> None:
    given(client, registered(), reserved(), fault_reported(5), expired())
    assert client.get(f"/reservations/{RESERVATION}").json()["status"] == "EXPIRED"
    assert client.get(f"/lockers/{LOCKER}/compartments/{COMPARTMENT}").json()["active_reservation"] is None


def test_a_fault_does_not_end_a_reservation(client: TestClient) -> None:
    given(client, registered(), reserved(), fault_reported(5))
    assert client.get(f"/lockers/{LOCKER}/compartments/{COMPARTMENT}").json() == {
        "compartment_id": COMPARTMENT,
        "degraded": True,
        "active_reservation": RESERVATION,
    }


def test_degradation_outlasts_what_lockers_say_about_time(client: TestClient) -> None:
    """Order is the order of acceptance: a clearing that claims to be older than its fault counts all the same."""
    fault = fault_reported(3)
    given(client, registered(), fault, fault_cleared(fault) | {"occurred_at": "1999-12-31T23:59:59Z"})
    assert not degraded(client)

"""Refusals show a bound caller nothing of other lockers: the answer is that for an id that never existed.

Two answers cannot be hidden, because ids are unique in the whole network: that a reservation id is taken, and that an
event id is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.tests.support.builders import (
    Body,
    body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

MINE, THEIRS, NOWHERE = "mine-1", "theirs-1", "nowhere"

OPEN_FAULT, CLEARED_FAULT = (fault_reported(4, "c5", locker=THEIRS) for _ in range(2))
REGISTRATION = registered("c1", locker=THEIRS)

NETWORK = [
    *(registered(f"c{number}", locker=MINE) for number in (1, 2)),
    REGISTRATION,
    *(registered(f"c{number}", locker=THEIRS) for number in (2, 3, 4, 5)),
    reserved("created", "c1", locker=THEIRS),
    *(reserved("deposited", "c2", locker=THEIRS), deposited("deposited", locker=THEIRS)),
    *(
        reserved("picked-up", "c3", locker=THEIRS),
        deposited("picked-up", locker=THEIRS),
        picked_up("picked-up", locker=THEIRS),
    ),
    *(reserved("expired", "c4", locker=THEIRS), expired("expired", locker=THEIRS)),
    *(OPEN_FAULT, CLEARED_FAULT, fault_cleared(CLEARED_FAULT, "c5", locker=THEIRS)),
]
"""Events of two lockers. Only the second one has reservations and faults, of every status."""

RESERVATIONS = ["created", "deposited", "picked-up", "expired"]
FOREIGN_IDS = [OPEN_FAULT["event_id"], CLEARED_FAULT["event_id"], REGISTRATION["event_id"]]
OF_RESERVATION = ["ParcelDeposited", "ParcelPickedUp", "ReservationExpired"]


class Attack(NamedTuple):
    """An event that names a foreign id, and a function that makes the same event with another id instead."""

    name: str
    make: Callable[[str], Body]
    foreign_id: str
    unknown_id: str


def _attacks() -> list[Attack]:
    attacks = [
        Attack(f"{event_type} of the other locker", make, THEIRS, NOWHERE)
        for event_type, make in {
            "CompartmentRegistered": lambda locker: registered("c1", locker=locker),
            "ReservationCreated": lambda locker: reserved("created", "c1", locker=locker),
            "ParcelDeposited": lambda locker: deposited("created", locker=locker),
            "ParcelPickedUp": lambda locker: picked_up("deposited", locker=locker),
            "ReservationExpired": lambda locker: expired("created", locker=locker),
            "FaultReported": lambda locker: fault_reported(3, "c1", locker=locker),
            "FaultCleared": lambda locker: fault_cleared(OPEN_FAULT, "c5", locker=locker),
        }.items()
    ]
    for event_type in OF_RESERVATION:
        for given in ({}, {"compartment_id": None}, {"compartment_id": "c1"}, {"compartment_id": "c9"}):
            attacks += [
                Attack(
                    f"{event_type} of the reservation {reservation_id} {given}",
                    lambda wanted, event_type=event_type, given=given: body(  # type: ignore[misc]
                        event_type, MINE, reservation_id=wanted, **given
                    ),
                    reservation_id,
                    "never-created",
                )
                for reservation_id in RESERVATIONS
            ]
    attacks += [
        Attack(
            f"FaultCleared of {fault_id} at {compartment}",
            lambda wanted, compartment=compartment: fault_cleared(  # type: ignore[misc]
                {"event_id": wanted}, compartment, locker=MINE
            ),
            fault_id,
            "0190a5e0-0000-4000-8000-0000000000ff",
        )
        for fault_id in FOREIGN_IDS
        for compartment in ("c1", "c5")
    ]
    return attacks


ATTACKS = _attacks()


@pytest.fixture
def attacked(clients: dict[str, TestClient]) -> dict[str, TestClient]:
    """The clients, after an operator has reported the events of `NETWORK`."""
    items = clients["operator"].post("/events/batch", json=NETWORK).json()
    assert {item["status"] for item in items} == {202}
    return clients


def alone(client: TestClient, event: Body) -> tuple[int, str]:
    response = client.post("/events", json=event)
    return response.status_code, response.text


def in_batch(client: TestClient, event: Body) -> tuple[int, str]:
    response = client.post("/events/batch", json=[event])
    return response.status_code, response.text


def answers(client: TestClient, make: Callable[[str], Body], named_id: str) -> list[tuple[int, str]]:
    """Return the answers to an event that names an id, with a placeholder for every id that the caller has sent."""
    found = []
    for send in (alone, in_batch):
        event = make(named_id)
        status, text = send(client, event)
        found.append((status, text.replace(event["event_id"], "EVENT").replace(named_id, "ID")))
    return found


def test_the_attacks_have_each_event_type() -> None:
    types = {attack.make(attack.foreign_id)["type"] for attack in ATTACKS}
    assert types == set(EVENT_TYPES)


@pytest.mark.parametrize("name", ["locker", "tenant"])
def test_a_foreign_id_gets_the_answer_of_an_id_that_never_existed(attacked: dict[str, TestClient], name: str) -> None:
    for attack in ATTACKS:
        foreign = answers(attacked[name], attack.make, attack.foreign_id)
        unknown = answers(attacked[name], attack.make, attack.unknown_id)
        assert foreign == unknown, attack.name
        assert all(THEIRS not in text for _, text in foreign), attack.name


def test_an_unbound_caller_is_told_the_mismatch(attacked: dict[str, TestClient]) -> None:
    for name in ("operator", ""):
        response = attacked[name].post("/events", json=deposited("created", locker=MINE))
        assert (response.status_code, response.json()["code"]) == (422, "reservation_mismatch")
        response = attacked[name].post("/events", json=fault_cleared(OPEN_FAULT, "c1", locker=MINE))
        assert (response.status_code, response.json()["code"]) == (409, "fault_mismatch")


def test_a_bound_caller_is_told_of_a_mismatch_inside_its_own_locker(attacked: dict[str, TestClient]) -> None:
    fault = fault_reported(1, "c2", locker=MINE)
    for one in (reserved("own", "c1", locker=MINE), fault):
        assert attacked["locker"].post("/events", json=one).status_code == 202
    response = attacked["locker"].post("/events", json=deposited("own", locker=MINE, compartment_id="c2"))
    assert response.json()["code"] == "reservation_mismatch"
    response = attacked["locker"].post("/events", json=fault_cleared(fault, "c1", locker=MINE))
    assert response.json()["code"] == "fault_mismatch"


def test_only_that_an_id_is_taken_cannot_be_hidden(attacked: dict[str, TestClient]) -> None:
    # a reservation id of another locker
    response = attacked["locker"].post("/events", json=reserved("created", "c1", locker=MINE))
    assert (response.status_code, response.json()) == (
        409,
        {
            "detail": "Reservation id 'created' was used before. Choose an id that was never used in the whole "
            "network.",
            "code": "reservation_already_exists",
        },
    )
    # and an event id, with its position
    taken = registered("c3", locker=MINE, event_id=REGISTRATION["event_id"])
    response = attacked["locker"].post("/events", json=taken)
    assert (response.status_code, response.json()) == (
        200,
        {"event_id": REGISTRATION["event_id"], "position": 3, "outcome": "duplicate"},
    )


def entry(client: TestClient, event_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/quarantine/{event_id}").json()
    return found


@pytest.mark.parametrize("name", ["locker", "operator"])
def test_the_quarantine_keeps_what_a_bound_caller_may_know(attacked: dict[str, TestClient], name: str) -> None:
    # given events of one locker that name a reservation and a fault of another one
    of_reservation, of_fault = deposited("created", locker=MINE), fault_cleared(OPEN_FAULT, "c1", locker=MINE)
    unknown = deposited("never-created", locker=MINE)
    for one in (of_reservation, of_fault, unknown):
        assert attacked[name].post("/events", json=one).status_code in (409, 422)
    # then their entries say what they would say without the other locker
    for _ in range(2):
        shown = entry(attacked["operator"], of_reservation["event_id"])
        expected = entry(attacked["operator"], unknown["event_id"])
        assert shown["code"] == expected["code"] == "unknown_reservation"
        assert shown["detail"] == expected["detail"].replace("never-created", "created")
        assert entry(attacked["operator"], of_fault["event_id"])["code"] == "unknown_fault"
        # also after an operator has resubmitted them, who is told the true reason
        response = attacked["operator"].post(f"/quarantine/{of_reservation['event_id']}/resubmit")
        assert response.json()["code"] == "reservation_mismatch"
        report = attacked["operator"].post("/quarantine/resubmit", json={}).json()
        assert {item["code"] for item in report["items"]} == {
            "reservation_mismatch",
            "fault_mismatch",
            "unknown_reservation",
        }


def test_a_server_without_keys_keeps_the_true_reason(attacked: dict[str, TestClient]) -> None:
    one = deposited("created", locker=MINE, event_id=str(uuid4()))
    assert attacked[""].post("/events", json=one).status_code == 422
    assert entry(attacked[""], one["event_id"])["code"] == "reservation_mismatch"

"""An impossible event is refused with the status and code of docs/rules.md, and changes nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.support.builders import (
    LOCKER,
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

FAULT, NO_FAULT = fault_reported(1), registered()

CASES: dict[str, tuple[Sequence[Body], Body, int, str]] = {
    "a compartment is registered twice": ([registered()], registered(), 409, "compartment_already_registered"),
    "an unknown compartment is reserved": ([], reserved(), 422, "unknown_compartment"),
    "another locker's compartment is reserved": (
        [registered(locker="other")],
        reserved(),
        422,
        "unknown_compartment",
    ),
    "an id of an active reservation is used again": (
        [registered("a"), registered("b"), reserved(compartment="a")],
        reserved(compartment="b"),
        409,
        "reservation_already_exists",
    ),
    "an id of an ended reservation is used again": (
        [registered(), reserved(), expired()],
        reserved(),
        409,
        "reservation_already_exists",
    ),
    "an id of another locker's reservation is used again": (
        [registered(), registered(locker="other"), reserved(locker="other")],
        reserved(),
        409,
        "reservation_already_exists",
    ),
    "an id is used again at an unknown compartment": (
        [registered(), reserved()],
        reserved(compartment="unknown"),
        422,
        "unknown_compartment",
    ),
    "an id is used again at a degraded compartment": (
        [registered(), reserved(), fault_reported(3)],
        reserved(),
        409,
        "reservation_already_exists",
    ),
    "a degraded compartment is reserved": ([registered(), fault_reported(3)], reserved(), 409, "compartment_degraded"),
    "a degraded and occupied compartment is reserved": (
        [registered(), reserved("first"), fault_reported(3)],
        reserved("second"),
        409,
        "compartment_degraded",
    ),
    "an occupied compartment is reserved": (
        [registered(), reserved("first")],
        reserved("second"),
        409,
        "compartment_reserved",
    ),
    "a compartment with a parcel is reserved": (
        [registered(), reserved("first"), deposited("first")],
        reserved("second"),
        409,
        "compartment_reserved",
    ),
    "an unknown parcel is deposited": ([registered()], deposited(), 422, "unknown_reservation"),
    "an unknown parcel is picked up": ([registered()], picked_up(), 422, "unknown_reservation"),
    "an unknown reservation expires": ([registered()], expired(), 422, "unknown_reservation"),
    "a parcel is deposited at another locker": (
        [registered(), reserved()],
        deposited(locker="other"),
        422,
        "reservation_mismatch",
    ),
    "a parcel is picked up from another compartment": (
        [registered(), reserved(), deposited()],
        picked_up(compartment_id="other"),
        422,
        "reservation_mismatch",
    ),
    "a reservation expires at another locker": (
        [registered(), reserved()],
        expired(locker="other"),
        422,
        "reservation_mismatch",
    ),
    "an ended reservation is named with another compartment": (
        [registered(), reserved(), expired()],
        expired(compartment_id="other"),
        422,
        "reservation_mismatch",
    ),
    "a parcel is deposited twice": (
        [registered(), reserved(), deposited()],
        deposited(),
        409,
        "reservation_not_awaiting_deposit",
    ),
    "a parcel is deposited after its pick-up": (
        [registered(), reserved(), deposited(), picked_up()],
        deposited(),
        409,
        "reservation_not_awaiting_deposit",
    ),
    "a parcel is deposited after its reservation expired": (
        [registered(), reserved(), expired()],
        deposited(),
        409,
        "reservation_not_awaiting_deposit",
    ),
    "a parcel is picked up after its reservation expired": (
        [registered(), reserved(), deposited(), expired()],
        picked_up(),
        409,
        "reservation_expired",
    ),
    "a parcel is picked up before its deposit": (
        [registered(), reserved()],
        picked_up(),
        409,
        "reservation_not_awaiting_pickup",
    ),
    "a parcel is picked up twice": (
        [registered(), reserved(), deposited(), picked_up()],
        picked_up(),
        409,
        "reservation_not_awaiting_pickup",
    ),
    "a reservation expires after the pick-up": (
        [registered(), reserved(), deposited(), picked_up()],
        expired(),
        409,
        "reservation_final",
    ),
    "a reservation expires twice": ([registered(), reserved(), expired()], expired(), 409, "reservation_final"),
    "a fault is reported of an unknown compartment": ([], FAULT, 422, "unknown_compartment"),
    "a fault is cleared of an unknown compartment": ([], fault_cleared(FAULT), 422, "unknown_compartment"),
    "an unknown fault is cleared": ([registered()], fault_cleared(FAULT), 409, "unknown_fault"),
    "an event that is no fault is cleared as one": (
        [NO_FAULT],
        fault_cleared(NO_FAULT),
        409,
        "unknown_fault",
    ),
    "a fault is cleared at another compartment": (
        [registered(), registered("b"), FAULT],
        fault_cleared(FAULT, "b"),
        409,
        "fault_mismatch",
    ),
    "a fault is cleared at another locker": (
        [registered(), registered(locker="other"), FAULT],
        fault_cleared(FAULT, locker="other"),
        409,
        "fault_mismatch",
    ),
    "a cleared fault is cleared at another compartment": (
        [registered(), registered("b"), FAULT, fault_cleared(FAULT)],
        fault_cleared(FAULT, "b"),
        409,
        "fault_mismatch",
    ),
    "a fault is cleared twice": (
        [registered(), FAULT, fault_cleared(FAULT)],
        fault_cleared(FAULT),
        409,
        "fault_already_cleared",
    ),
}


@pytest.mark.parametrize(("history", "event", "status", "code"), CASES.values(), ids=CASES)
def test_it_is_refused(
    client: TestClient, log_path: Path, history: Sequence[Body], event: Body, status: int, code: str
) -> None:
    for earlier in history:
        assert client.post("/events", json=earlier).status_code == 202, earlier
    log, state = log_path.read_bytes(), client.get(f"/lockers/{LOCKER}").text

    answer = client.post("/events", json=event | {"event_id": "5ea1ab1e-0000-4000-8000-000000000000"})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"detail", "code"}
    assert answer.json()["detail"].endswith("."), "a sentence, for people"
    assert log_path.read_bytes() == log
    assert client.get(f"/lockers/{LOCKER}").text == state


def test_after_a_pick_up_or_an_expiry_the_compartment_can_be_reserved_anew(client: TestClient) -> None:
    events = [registered(), reserved("first"), deposited("first"), picked_up("first")]
    events += [reserved("second"), expired("second"), reserved("third")]
    assert [client.post("/events", json=event).status_code for event in events] == [202] * 7

"""State hash: equal states of a locker have equal hashes, and every visible difference changes the hash."""

import json
from hashlib import sha256

import pytest
from msgspec.structs import replace

from lockstream.core.entities.state import CompartmentView, Locker, Status
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.support.builders import (
    LOCKER,
    Body,
    deposited,
    event,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

FAULT, OTHER_FAULT = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
VIEW = CompartmentView('Fach "1" \\ ß \U0001f512', True, "reservation-1", Status.DEPOSITED, ((FAULT, 3),))
GIVEN = Locker("Bahnhof é", (CompartmentView("A", False, None, None, ()), VIEW))


def hash_after(*bodies: Body) -> str:
    """Return the state hash of the locker after these events, each of which must be accepted."""
    store = MemoryStore()
    ingest([event(body) for body in bodies], store.unit_of_work())
    assert store.log.end.position == len(bodies), "an event was refused"
    locker = store.reads.locker(LOCKER)
    assert locker is not None
    return state_hash(locker)


def test_the_state_hash_is_the_sha_256_of_the_documented_canonical_form() -> None:
    canonical = {
        "locker_id": GIVEN.locker_id,
        "compartments": [
            {
                "compartment_id": view.compartment_id,
                "degraded": view.degraded,
                "active_reservation": view.active_reservation,
                "reservation_status": view.reservation_status and view.reservation_status.value,
                "open_faults": [list(fault) for fault in view.open_faults],
            }
            for view in GIVEN.compartments
        ],
    }
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert state_hash(GIVEN) == sha256(text.encode()).hexdigest()


def test_the_state_hash_is_the_same_in_every_version() -> None:
    golden = (
        '{"compartments":[{"active_reservation":null,"compartment_id":"A","degraded":false,"open_faults":[],'
        '"reservation_status":null}],"locker_id":"L"}'
    )
    locker = Locker("L", (CompartmentView("A", False, None, None, ()),))
    assert state_hash(locker) == sha256(golden.encode()).hexdigest()
    assert state_hash(locker) == "98589469b1ba10da14c3d8b4b3e7ecd19116bbcc1e630cd7477a347a3b68ba65"


CHANGES = {
    "another id": replace(GIVEN, locker_id="Bahnhof e"),
    "one compartment fewer": replace(GIVEN, compartments=(VIEW,)),
    "one compartment more": replace(GIVEN, compartments=(*GIVEN.compartments, replace(VIEW, compartment_id="Z"))),
    **{
        f"{field}: {value}": replace(GIVEN, compartments=(GIVEN.compartments[0], replace(VIEW, **{field: value})))
        for field, value in (
            ("compartment_id", "B"),
            ("degraded", False),
            ("active_reservation", None),
            ("active_reservation", "reservation-2"),
            ("reservation_status", Status.CREATED),
            ("reservation_status", None),
            ("open_faults", ()),
            ("open_faults", ((FAULT, 4),)),
            ("open_faults", ((OTHER_FAULT, 3),)),
            ("open_faults", ((FAULT, 3), (OTHER_FAULT, 0))),
        )
    },
}


def test_every_visible_difference_changes_the_state_hash() -> None:
    assert len({state_hash(GIVEN), *map(state_hash, CHANGES.values())}) == len(CHANGES) + 1


@pytest.mark.parametrize(
    "body",
    [
        registered("another"),
        reserved("reservation-2", "other"),
        deposited(),
        expired(),
        fault_reported(0),
        fault_reported(3),
    ],
    ids=lambda body: str(body["type"]) + str(body["payload"].get("severity", "")),
)
def test_an_event_with_a_visible_effect_changes_the_state_hash(body: Body) -> None:
    given = [registered(), registered("other"), reserved()]
    assert hash_after(*given, body) != hash_after(*given)


def test_the_order_of_arrival_does_not_change_the_state_hash() -> None:
    a, b = registered("a"), registered("b")
    faults = [fault_reported(severity, "a") for severity in (1, 3, 5)]
    booking = [reserved("reservation-1", "b"), deposited()]
    assert hash_after(a, b, *faults, *booking) == hash_after(b, *booking, a, *reversed(faults))


def test_ended_reservations_and_cleared_faults_do_not_change_the_state_hash() -> None:
    fault = fault_reported(5)
    ended = [reserved(), deposited(), fault, picked_up(), fault_cleared(fault), reserved("reservation-2")]
    assert hash_after(registered(), *ended, expired("reservation-2")) == hash_after(registered())


def test_clocks_and_further_payload_fields_do_not_change_the_state_hash() -> None:
    earlier = registered(colour="red") | {"occurred_at": "2001-01-01T00:00:00Z"}
    assert hash_after(earlier) == hash_after(registered())


def test_events_of_other_lockers_do_not_change_the_state_hash() -> None:
    others = [registered(locker="locker-2"), reserved(locker="locker-2"), fault_reported(4, locker="locker-2")]
    assert hash_after(registered(), *others) == hash_after(registered())

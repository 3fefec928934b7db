"""keys(event) names all that deciding and evolving look at."""

from itertools import product

import pytest

from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.evolve import evolve
from lockstream.core.read_set import keys
from lockstream.core.rules import decide
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
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

REPORT = fault_reported()
PLACE = (LOCKER, COMPARTMENT)
WANTED: dict[str, tuple[Body, Keys]] = {
    "CompartmentRegistered": (registered(), Keys(compartment=PLACE)),
    "ReservationCreated": (reserved(), Keys(compartment=PLACE, reservation=RESERVATION)),
    "ParcelDeposited": (deposited(), Keys(reservation=RESERVATION)),
    "ParcelPickedUp": (picked_up(compartment_id=COMPARTMENT), Keys(reservation=RESERVATION)),
    "ReservationExpired": (expired(compartment_id="other"), Keys(reservation=RESERVATION)),
    "FaultReported": (REPORT, Keys(compartment=PLACE)),
    "FaultCleared": (fault_cleared(REPORT), Keys(compartment=PLACE, fault=REPORT["event_id"])),
}

COMPARTMENTS = [Compartment(LOCKER, COMPARTMENT, *rest) for rest in ((None, 0), (None, 1), (RESERVATION, 0))]
RESERVATIONS = [Reservation(RESERVATION, LOCKER, COMPARTMENT, status) for status in Status]
FAULTS = [Fault(REPORT["event_id"], LOCKER, COMPARTMENT, severity, severity == 0) for severity in (0, 3)]


@pytest.mark.parametrize("event_type", WANTED)
def test_an_event_names_its_rows(event_type: str) -> None:
    body, wanted = WANTED[event_type]
    assert keys(event(body)) == wanted


@pytest.mark.parametrize("event_type", WANTED)
def test_no_row_that_is_not_named_bears_on_the_decision(event_type: str) -> None:
    body, wanted = WANTED[event_type]
    when = event(body)
    for state in (Slice(*rows) for rows in product([None, *COMPARTMENTS], [None, *RESERVATIONS], [None, *FAULTS])):
        assert decide(state, when) == decide(_named(state, wanted), when)


@pytest.mark.parametrize("event_type", WANTED)
def test_no_row_that_is_not_named_is_changed(event_type: str) -> None:
    body, wanted = WANTED[event_type]
    when = event(body)
    for state in (Slice(*rows) for rows in product(COMPARTMENTS, RESERVATIONS, FAULTS)):
        after, narrow = evolve(state, when), evolve(_named(state, wanted), when)
        if wanted.reservation is None:
            assert after.reservation is state.reservation
            assert narrow.reservation is None
        if wanted.fault is None and event_type != "FaultReported":
            assert after.fault is state.fault
            assert narrow.fault is None
        assert after.compartment == narrow.compartment


def _named(state: Slice, wanted: Keys) -> Slice:
    """What a store loads for these keys: with a reservation alone comes its compartment."""
    return Slice(
        state.compartment if wanted.compartment or state.reservation else None,
        state.reservation if wanted.reservation else None,
        state.fault if wanted.fault else None,
    )

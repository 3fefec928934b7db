"""Read set: it names every row that deciding and evolving an event look at."""

from itertools import product

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.evolve import evolve
from lockstream.core.read_set import _READ_SETS, ReadSet, read_set_of
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
COMPARTMENT_KEY = (LOCKER, COMPARTMENT)
EXPECTED: dict[str, tuple[Body, ReadSet]] = {
    "CompartmentRegistered": (registered(), ReadSet(compartment=COMPARTMENT_KEY)),
    "ReservationCreated": (reserved(), ReadSet(compartment=COMPARTMENT_KEY, reservation=RESERVATION)),
    "ParcelDeposited": (deposited(), ReadSet(reservation=RESERVATION)),
    "ParcelPickedUp": (picked_up(compartment_id=COMPARTMENT), ReadSet(reservation=RESERVATION)),
    "ReservationExpired": (expired(compartment_id="other"), ReadSet(reservation=RESERVATION)),
    "FaultReported": (REPORT, ReadSet(compartment=COMPARTMENT_KEY)),
    "FaultCleared": (fault_cleared(REPORT), ReadSet(compartment=COMPARTMENT_KEY, fault=REPORT["event_id"])),
}
"""An event of each type, and its read set."""

COMPARTMENTS = [Compartment(LOCKER, COMPARTMENT, *rest) for rest in ((None, 0), (None, 1), (RESERVATION, 0))]
RESERVATIONS = [Reservation(RESERVATION, LOCKER, COMPARTMENT, status) for status in Status]
FAULTS = [Fault(REPORT["event_id"], LOCKER, COMPARTMENT, severity, severity == 0) for severity in (0, 3)]

each_event_type = pytest.mark.parametrize("event_type", EXPECTED)


@each_event_type
def test_an_event_has_this_read_set(event_type: str) -> None:
    body, read_set = EXPECTED[event_type]
    assert read_set_of(event(body)) == read_set


@each_event_type
def test_a_decision_depends_on_no_row_outside_the_read_set(event_type: str) -> None:
    body, read_set = EXPECTED[event_type]
    when = event(body)
    for state in (Slice(*rows) for rows in product([None, *COMPARTMENTS], [None, *RESERVATIONS], [None, *FAULTS])):
        assert decide(state, when) == decide(_loaded(state, read_set), when)


@each_event_type
def test_an_event_changes_no_row_outside_the_read_set(event_type: str) -> None:
    body, read_set = EXPECTED[event_type]
    when = event(body)
    for state in (Slice(*rows) for rows in product(COMPARTMENTS, RESERVATIONS, FAULTS)):
        after, after_loaded = evolve(state, when), evolve(_loaded(state, read_set), when)
        if read_set.reservation is None:
            assert after.reservation is state.reservation
            assert after_loaded.reservation is None
        if read_set.fault is None and event_type != "FaultReported":
            assert after.fault is state.fault
            assert after_loaded.fault is None
        assert after.compartment == after_loaded.compartment


def test_every_event_type_has_a_read_set() -> None:
    assert set(_READ_SETS) == set(EVENT_TYPES.values())
    assert set(EXPECTED) == set(EVENT_TYPES)


def _loaded(state: Slice, read_set: ReadSet) -> Slice:
    """Return the rows that a store loads for `read_set`: a reservation's compartment is loaded with it."""
    return Slice(
        state.compartment if read_set.compartment or state.reservation else None,
        state.reservation if read_set.reservation else None,
        state.fault if read_set.fault else None,
    )

"""Row set: `read_set_of` names every row that deciding and evolving the events of a batch look at."""

from itertools import product

import pytest

from lockstream.core.entities.events import EVENT_TYPES, Event
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Status
from lockstream.core.evolve import evolve
from lockstream.core.row_set import ReadSet, RowSet, read_set_of
from lockstream.core.rules import decide
from lockstream.tests.core.states import State
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
KEY = (LOCKER, COMPARTMENT)
EXPECTED: dict[str, tuple[Body, ReadSet]] = {
    "CompartmentRegistered": (registered(), ReadSet({KEY}, set(), set(), {LOCKER})),
    "ReservationCreated": (reserved(), ReadSet({KEY}, {RESERVATION}, set(), {LOCKER})),
    "ParcelDeposited": (deposited(), ReadSet(set(), {RESERVATION}, set(), {LOCKER})),
    "ParcelPickedUp": (picked_up(compartment_id=COMPARTMENT), ReadSet({KEY}, {RESERVATION}, set(), {LOCKER})),
    "ReservationExpired": (
        expired(compartment_id="other"),
        ReadSet({(LOCKER, "other")}, {RESERVATION}, set(), {LOCKER}),
    ),
    "FaultReported": (REPORT, ReadSet({KEY}, set(), set(), {LOCKER})),
    "FaultCleared": (fault_cleared(REPORT), ReadSet({KEY}, set(), {REPORT["event_id"]}, {LOCKER})),
}
"""An event of each type, and its read set."""

COMPARTMENTS = [Compartment(LOCKER, COMPARTMENT, *rest) for rest in ((None, 0), (None, 1), (RESERVATION, 0))]
RESERVATIONS = [Reservation(RESERVATION, LOCKER, COMPARTMENT, status) for status in Status]
FAULTS = [Fault(REPORT["event_id"], LOCKER, COMPARTMENT, severity, 1, 2 * (severity == 0)) for severity in (0, 3)]
LOCKER_TOTALS = LockerTotals(LOCKER, 3, 2, 1)
STATES = [
    State(*rows, LOCKER_TOTALS) for rows in product([None, *COMPARTMENTS], [None, *RESERVATIONS], [None, *FAULTS])
]

each_event_type = pytest.mark.parametrize("event_type", EXPECTED)


@each_event_type
def test_an_event_has_this_read_set(event_type: str) -> None:
    body, read_set = EXPECTED[event_type]
    assert read_set_of([event(body)]) == read_set


def test_the_read_set_of_a_batch_holds_those_of_its_events() -> None:
    batch = [event(body) for body, _ in EXPECTED.values()]
    for kind, keys in zip(read_set_of(batch), zip(*(each for _, each in EXPECTED.values()), strict=True), strict=True):
        assert kind == set().union(*keys)


@each_event_type
def test_decisions_and_evolutions_look_at_no_row_outside_the_read_set(event_type: str) -> None:
    when = event(EXPECTED[event_type][0])
    for state in STATES:
        expected = decide(state.rows(), when)
        restricted = only_read_set(state, when)
        assert decide(restricted, when) == expected
        if expected is None and (state.compartment or state == State(locker=LOCKER_TOTALS)):
            assert evolve(restricted, when, 3) == evolve(state.rows(), when, 3)


def test_every_event_type_has_an_expected_read_set() -> None:
    assert set(EXPECTED) == set(EVENT_TYPES)


def test_saved_rows_replace_those_with_the_same_keys() -> None:
    rows = RowSet({KEY: COMPARTMENTS[0]}, {RESERVATION: None}, {}, {LOCKER: LOCKER_TOTALS})
    rows.save([COMPARTMENTS[2], RESERVATIONS[0]])
    rows.save([RESERVATIONS[1]])
    assert rows.compartments == rows.changed[Compartment] == {KEY: COMPARTMENTS[2]}
    assert rows.reservations == rows.changed[Reservation] == {RESERVATION: RESERVATIONS[1]}
    assert rows.faults == rows.changed[Fault] == {}
    assert (rows.lockers, rows.changed[LockerTotals]) == ({LOCKER: LOCKER_TOTALS}, {})


def only_read_set(state: State, when: Event) -> RowSet:
    """Return a row set that fails with KeyError for a row outside the read set of `when`."""
    keys, rows = read_set_of([when]), state.rows()
    reservations = {key: rows.reservations[key] for key in keys.reservations}
    places = keys.compartments.union(row.compartment_key for row in reservations.values() if row)
    return RowSet(
        {key: rows.compartments[key] for key in places},
        reservations,
        {key: rows.faults[key] for key in keys.faults},
        {key: rows.lockers[key] for key in keys.lockers},
    )

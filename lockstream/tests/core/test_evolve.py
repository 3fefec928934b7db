"""Evolve: the changes of each accepted event, and no others (docs/rules.md, "What an accepted event changes")."""

from copy import deepcopy

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.state import Compartment, Fault, Reservation, Status
from lockstream.core.errors import InconsistentHistory
from lockstream.core.evolve import _EVOLUTIONS, evolve
from lockstream.tests.core.states import State, evolved
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

REPORT = fault_reported(3)
FREE = Compartment(LOCKER, COMPARTMENT)
OCCUPIED = Compartment(LOCKER, COMPARTMENT, RESERVATION)


def reservation(status: Status = Status.CREATED) -> Reservation:
    return Reservation(RESERVATION, LOCKER, COMPARTMENT, status)


def fault(severity: int, *, cleared: bool = False) -> Fault:
    return Fault(REPORT["event_id"], LOCKER, COMPARTMENT, severity, cleared)


def degraded(faults: int, active: str | None = None) -> Compartment:
    return Compartment(LOCKER, COMPARTMENT, active, faults)


CHANGES: dict[str, tuple[State, Body, State]] = {
    "registration creates a free compartment without faults": (State(), registered(), State(FREE)),
    "a reservation is created and occupies its compartment": (State(FREE), reserved(), State(OCCUPIED, reservation())),
    "a deposit leaves the compartment occupied": (
        State(OCCUPIED, reservation()),
        deposited(),
        State(OCCUPIED, reservation(Status.DEPOSITED)),
    ),
    "a pick-up frees the compartment": (
        State(OCCUPIED, reservation(Status.DEPOSITED)),
        picked_up(),
        State(FREE, reservation(Status.PICKED_UP)),
    ),
    "expiry before the deposit frees the compartment": (
        State(OCCUPIED, reservation()),
        expired(),
        State(FREE, reservation(Status.EXPIRED)),
    ),
    "expiry after the deposit frees the compartment": (
        State(OCCUPIED, reservation(Status.DEPOSITED)),
        expired(),
        State(FREE, reservation(Status.EXPIRED)),
    ),
    "a pick-up leaves a degraded compartment degraded": (
        State(degraded(2, RESERVATION), reservation(Status.DEPOSITED)),
        picked_up(),
        State(degraded(2), reservation(Status.PICKED_UP)),
    ),
    "expiry leaves a degraded compartment degraded": (
        State(degraded(1, RESERVATION), reservation()),
        expired(),
        State(degraded(1), reservation(Status.EXPIRED)),
    ),
    "a fault of severity 2 is open and does not degrade": (
        State(FREE),
        REPORT | {"payload": {"compartment_id": COMPARTMENT, "severity": 2}},
        State(FREE, fault=fault(2)),
    ),
    "a fault of severity 3 is open and degrades": (State(FREE), REPORT, State(degraded(1), fault=fault(3))),
    "a fault leaves the reservation in its compartment": (
        State(OCCUPIED),
        REPORT,
        State(degraded(1, RESERVATION), fault=fault(3)),
    ),
    "a second degrading fault is counted": (State(degraded(1)), REPORT, State(degraded(2), fault=fault(3))),
    "clearing the only degrading fault ends the degradation": (
        State(degraded(1), fault=fault(3)),
        fault_cleared(REPORT),
        State(FREE, fault=fault(3, cleared=True)),
    ),
    "clearing one of two degrading faults leaves the compartment degraded": (
        State(degraded(2), fault=fault(5)),
        fault_cleared(REPORT),
        State(degraded(1), fault=fault(5, cleared=True)),
    ),
    "clearing a fault that does not degrade leaves the degrading one": (
        State(degraded(1), fault=fault(2)),
        fault_cleared(REPORT),
        State(degraded(1), fault=fault(2, cleared=True)),
    ),
    "clearing a fault leaves the reservation in its compartment": (
        State(degraded(1, RESERVATION), fault=fault(3)),
        fault_cleared(REPORT),
        State(OCCUPIED, fault=fault(3, cleared=True)),
    ),
}
"""By rule: the state before, an event, and the state after."""

STATES_BEFORE = deepcopy({change: given for change, (given, _, _) in CHANGES.items()})
"""Copies from before the first test, because all tests share the rows of `CHANGES`."""


@pytest.mark.parametrize("change", CHANGES)
def test_an_event_changes_only_its_own_rows(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolved(given, event(when)) == then


@pytest.mark.parametrize("change", CHANGES)
def test_evolve_leaves_the_given_state_unchanged(change: str) -> None:
    given, when, _ = CHANGES[change]
    rows, expected = given.rows(), given.rows()
    evolve(rows, event(when))
    for table in ("compartments", "reservations", "faults", "changed"):
        assert getattr(rows, table) == getattr(expected, table)
    assert given == STATES_BEFORE[change]


@pytest.mark.parametrize("change", CHANGES)
def test_the_time_by_the_lockers_clock_changes_nothing(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolved(given, event(when | {"occurred_at": "1999-01-01T00:00:00-12:00"})) == then


@pytest.mark.parametrize(
    "when",
    [reserved(), deposited(), picked_up(), expired(), REPORT, fault_reported(0), fault_cleared(REPORT)],
    ids=lambda body: f"{body['type']} {body['payload'].get('severity', '')}",
)
def test_an_event_without_its_rows_is_an_inconsistent_history(when: Body) -> None:
    with pytest.raises(InconsistentHistory, match=f"{when['type']} {when['event_id']}"):
        evolve(State().rows(), event(when))


def test_every_event_type_has_an_evolution() -> None:
    assert set(_EVOLUTIONS) == set(EVENT_TYPES.values())

"""Evolve: the changes of each accepted event, and no others (docs/rules.md, "What an accepted event changes")."""

from copy import deepcopy

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Status
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
from lockstream.tests.support.gaps import gap_sums

REPORT = fault_reported(3)
POSITION = 9
"""Position of the event under test. The rows before have lower positions."""


def compartment(active: str | None = None, faults: int = 0, changed: int = 1, registered: int = 1) -> Compartment:
    return Compartment(LOCKER, COMPARTMENT, active, faults, changed, registered)


def reservation(status: Status = Status.CREATED, deposited: int = 0, changed: int = 2) -> Reservation:
    return Reservation(RESERVATION, LOCKER, COMPARTMENT, status, 2, deposited, changed)


def fault(severity: int, reported: int = 4, cleared: int = 0) -> Fault:
    return Fault(REPORT["event_id"], LOCKER, COMPARTMENT, severity, reported, cleared)


def state(*rows: Compartment | Reservation | Fault, after: bool = False) -> State:
    """Return a state with these rows, and with the totals of their locker counted from them.

    The locker has had 5 events up to position 7 before the event under test.
    """
    [one] = [row for row in rows if isinstance(row, Compartment)]
    statuses = [row.status for row in rows if isinstance(row, Reservation)]
    totals = LockerTotals(
        LOCKER,
        6 if after else 5,
        POSITION if after else 7,
        compartments=1,
        available=int(not one.active_reservation and not one.degrading_faults),
        degraded=int(one.degrading_faults > 0),
        reserved=statuses.count(Status.CREATED),
        occupied=statuses.count(Status.DEPOSITED),
        picked_up=statuses.count(Status.PICKED_UP),
        expired=statuses.count(Status.EXPIRED),
        **gap_sums([(1, True), (7, False), *([(POSITION, False)] if after else [])]),
    )
    by_class = {type(row): row for row in rows}
    return State(one, by_class.get(Reservation), by_class.get(Fault), totals)  # type: ignore[arg-type]


FREE, OCCUPIED = compartment(), compartment(RESERVATION, changed=2)
FREED = compartment(changed=POSITION)
DEPOSITED = reservation(Status.DEPOSITED, 3, 3)
CHANGES: dict[str, tuple[State, Body, State]] = {
    "registration creates a free compartment without faults": (
        State(),
        registered(),
        State(compartment(changed=POSITION, registered=POSITION), locker=LockerTotals(LOCKER, 1, POSITION, 1, 1)),
    ),
    "a reservation is created and occupies its compartment": (
        state(FREE),
        reserved(),
        state(
            compartment(RESERVATION, changed=POSITION),
            Reservation(RESERVATION, LOCKER, COMPARTMENT, Status.CREATED, POSITION, 0, POSITION),
            after=True,
        ),
    ),
    "a deposit leaves the compartment occupied": (
        state(OCCUPIED, reservation()),
        deposited(),
        state(OCCUPIED, reservation(Status.DEPOSITED, POSITION, POSITION), after=True),
    ),
    "a pick-up frees the compartment": (
        state(OCCUPIED, DEPOSITED),
        picked_up(),
        state(FREED, reservation(Status.PICKED_UP, 3, POSITION), after=True),
    ),
    "expiry before the deposit frees the compartment": (
        state(OCCUPIED, reservation()),
        expired(),
        state(FREED, reservation(Status.EXPIRED, 0, POSITION), after=True),
    ),
    "expiry after the deposit frees the compartment": (
        state(OCCUPIED, DEPOSITED),
        expired(),
        state(FREED, reservation(Status.EXPIRED, 3, POSITION), after=True),
    ),
    "a pick-up leaves a degraded compartment degraded": (
        state(compartment(RESERVATION, 2), DEPOSITED),
        picked_up(),
        state(compartment(None, 2, POSITION), reservation(Status.PICKED_UP, 3, POSITION), after=True),
    ),
    "expiry leaves a degraded compartment degraded": (
        state(compartment(RESERVATION, 1), reservation()),
        expired(),
        state(compartment(None, 1, POSITION), reservation(Status.EXPIRED, 0, POSITION), after=True),
    ),
    "a fault of severity 2 is open and does not degrade": (
        state(FREE),
        REPORT | {"payload": {"compartment_id": COMPARTMENT, "severity": 2}},
        state(FREE, fault(2, POSITION), after=True),
    ),
    "a fault of severity 3 is open and degrades": (
        state(FREE),
        REPORT,
        state(compartment(None, 1, POSITION), fault(3, POSITION), after=True),
    ),
    "a fault leaves the reservation in its compartment": (
        state(OCCUPIED),
        REPORT,
        state(compartment(RESERVATION, 1, POSITION), fault(3, POSITION), after=True),
    ),
    "a second degrading fault is counted, and the compartment has been degraded since the first": (
        state(compartment(None, 1)),
        REPORT,
        state(compartment(None, 2), fault(3, POSITION), after=True),
    ),
    "clearing the only degrading fault ends the degradation": (
        state(compartment(None, 1), fault(3)),
        fault_cleared(REPORT),
        state(FREED, fault(3, cleared=POSITION), after=True),
    ),
    "clearing one of two degrading faults leaves the compartment degraded": (
        state(compartment(None, 2), fault(5)),
        fault_cleared(REPORT),
        state(compartment(None, 1), fault(5, cleared=POSITION), after=True),
    ),
    "clearing a fault that does not degrade leaves the degrading one": (
        state(compartment(None, 1), fault(2)),
        fault_cleared(REPORT),
        state(compartment(None, 1), fault(2, cleared=POSITION), after=True),
    ),
    "clearing a fault leaves the reservation in its compartment": (
        state(compartment(RESERVATION, 1), fault(3)),
        fault_cleared(REPORT),
        state(compartment(RESERVATION, 0, POSITION), fault(3, cleared=POSITION), after=True),
    ),
}
"""By rule: the state before, an event, and the state after."""

STATES_BEFORE = deepcopy({change: given for change, (given, _, _) in CHANGES.items()})
"""Copies from before the first test, because all tests share the rows of `CHANGES`."""


@pytest.mark.parametrize("change", CHANGES)
def test_an_event_changes_only_its_own_rows(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolved(given, event(when), POSITION) == then


@pytest.mark.parametrize("change", CHANGES)
def test_evolve_leaves_the_given_state_unchanged(change: str) -> None:
    given, when, _ = CHANGES[change]
    rows, expected = given.rows(), given.rows()
    evolve(rows, event(when), POSITION)
    for table in ("compartments", "reservations", "faults", "lockers", "changed"):
        assert getattr(rows, table) == getattr(expected, table)
    assert given == STATES_BEFORE[change]


@pytest.mark.parametrize("change", CHANGES)
def test_the_time_by_the_lockers_clock_changes_nothing(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolved(given, event(when | {"occurred_at": "1999-01-01T00:00:00-12:00"}), POSITION) == then


@pytest.mark.parametrize(
    "when",
    [reserved(), deposited(), picked_up(), expired(), REPORT, fault_reported(0), fault_cleared(REPORT)],
    ids=lambda body: f"{body['type']} {body['payload'].get('severity', '')}",
)
def test_an_event_without_its_rows_is_an_inconsistent_history(when: Body) -> None:
    with pytest.raises(InconsistentHistory, match=f"{when['type']} {when['event_id']}"):
        evolve(State().rows(), event(when), POSITION)


def test_every_event_type_has_an_evolution() -> None:
    assert set(_EVOLUTIONS) == set(EVENT_TYPES.values())

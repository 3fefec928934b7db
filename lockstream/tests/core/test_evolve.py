"""Evolve: the changes of each accepted event, and no others (docs/rules.md, "What an accepted event changes")."""

from copy import deepcopy

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.errors import InconsistentHistory
from lockstream.core.evolve import _EVOLUTIONS, evolve
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


CHANGES: dict[str, tuple[Slice, Body, Slice]] = {
    "registration creates a free compartment without faults": (Slice(), registered(), Slice(FREE)),
    "a reservation is created and occupies its compartment": (Slice(FREE), reserved(), Slice(OCCUPIED, reservation())),
    "a deposit leaves the compartment occupied": (
        Slice(OCCUPIED, reservation()),
        deposited(),
        Slice(OCCUPIED, reservation(Status.DEPOSITED)),
    ),
    "a pick-up frees the compartment": (
        Slice(OCCUPIED, reservation(Status.DEPOSITED)),
        picked_up(),
        Slice(FREE, reservation(Status.PICKED_UP)),
    ),
    "expiry before the deposit frees the compartment": (
        Slice(OCCUPIED, reservation()),
        expired(),
        Slice(FREE, reservation(Status.EXPIRED)),
    ),
    "expiry after the deposit frees the compartment": (
        Slice(OCCUPIED, reservation(Status.DEPOSITED)),
        expired(),
        Slice(FREE, reservation(Status.EXPIRED)),
    ),
    "a pick-up leaves a degraded compartment degraded": (
        Slice(degraded(2, RESERVATION), reservation(Status.DEPOSITED)),
        picked_up(),
        Slice(degraded(2), reservation(Status.PICKED_UP)),
    ),
    "expiry leaves a degraded compartment degraded": (
        Slice(degraded(1, RESERVATION), reservation()),
        expired(),
        Slice(degraded(1), reservation(Status.EXPIRED)),
    ),
    "a fault of severity 2 is open and does not degrade": (
        Slice(FREE),
        REPORT | {"payload": {"compartment_id": COMPARTMENT, "severity": 2}},
        Slice(FREE, fault=fault(2)),
    ),
    "a fault of severity 3 is open and degrades": (Slice(FREE), REPORT, Slice(degraded(1), fault=fault(3))),
    "a fault leaves the reservation in its compartment": (
        Slice(OCCUPIED),
        REPORT,
        Slice(degraded(1, RESERVATION), fault=fault(3)),
    ),
    "a second degrading fault is counted": (Slice(degraded(1)), REPORT, Slice(degraded(2), fault=fault(3))),
    "clearing the only degrading fault ends the degradation": (
        Slice(degraded(1), fault=fault(3)),
        fault_cleared(REPORT),
        Slice(FREE, fault=fault(3, cleared=True)),
    ),
    "clearing one of two degrading faults leaves the compartment degraded": (
        Slice(degraded(2), fault=fault(5)),
        fault_cleared(REPORT),
        Slice(degraded(1), fault=fault(5, cleared=True)),
    ),
    "clearing a fault that does not degrade leaves the degrading one": (
        Slice(degraded(1), fault=fault(2)),
        fault_cleared(REPORT),
        Slice(degraded(1), fault=fault(2, cleared=True)),
    ),
    "clearing a fault leaves the reservation in its compartment": (
        Slice(degraded(1, RESERVATION), fault=fault(3)),
        fault_cleared(REPORT),
        Slice(OCCUPIED, fault=fault(3, cleared=True)),
    ),
}
"""By rule: the state before, an event, and the state after."""

STATES_BEFORE = deepcopy({change: given for change, (given, _, _) in CHANGES.items()})
"""Copies from before the first test, because all tests share the rows of `CHANGES`."""


@pytest.mark.parametrize("change", CHANGES)
def test_an_event_changes_only_its_own_rows(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolve(given, event(when)) == then


@pytest.mark.parametrize("change", CHANGES)
def test_evolve_leaves_the_given_state_unchanged(change: str) -> None:
    given, when, _ = CHANGES[change]
    evolve(given, event(when))
    assert given == STATES_BEFORE[change]


@pytest.mark.parametrize("change", CHANGES)
def test_the_time_by_the_lockers_clock_changes_nothing(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolve(given, event(when | {"occurred_at": "1999-01-01T00:00:00-12:00"})) == then


@pytest.mark.parametrize(
    "when",
    [reserved(), deposited(), picked_up(), expired(), REPORT, fault_reported(0), fault_cleared(REPORT)],
    ids=lambda body: f"{body['type']} {body['payload'].get('severity', '')}",
)
def test_an_event_without_its_rows_is_an_inconsistent_history(when: Body) -> None:
    with pytest.raises(InconsistentHistory, match=f"{when['type']} {when['event_id']}"):
        evolve(Slice(), event(when))


def test_every_event_type_has_an_evolution() -> None:
    assert set(_EVOLUTIONS) == set(EVENT_TYPES.values())

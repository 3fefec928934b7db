"""What an accepted event changes and, as important, what it leaves."""

import pytest

from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.errors import InconsistentHistory
from lockstream.core.evolve import evolve
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


def degraded(by: int, active: str | None = None) -> Compartment:
    return Compartment(LOCKER, COMPARTMENT, active, by)


CHANGES: dict[str, tuple[Slice, Body, Slice]] = {
    "registering makes a free, sound compartment": (Slice(), registered(), Slice(FREE)),
    "reserving makes the reservation and occupies": (Slice(FREE), reserved(), Slice(OCCUPIED, reservation())),
    "depositing leaves the compartment occupied": (
        Slice(OCCUPIED, reservation()),
        deposited(),
        Slice(OCCUPIED, reservation(Status.DEPOSITED)),
    ),
    "picking up frees the compartment": (
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
    "picking up leaves a compartment degraded": (
        Slice(degraded(2, RESERVATION), reservation(Status.DEPOSITED)),
        picked_up(),
        Slice(degraded(2), reservation(Status.PICKED_UP)),
    ),
    "expiry leaves a compartment degraded": (
        Slice(degraded(1, RESERVATION), reservation()),
        expired(),
        Slice(degraded(1), reservation(Status.EXPIRED)),
    ),
    "a fault of severity 2 opens and degrades nothing": (
        Slice(FREE),
        REPORT | {"payload": {"compartment_id": COMPARTMENT, "severity": 2}},
        Slice(FREE, fault=fault(2)),
    ),
    "a fault of severity 3 opens and degrades": (Slice(FREE), REPORT, Slice(degraded(1), fault=fault(3))),
    "a fault leaves the reservation in its compartment": (
        Slice(OCCUPIED),
        REPORT,
        Slice(degraded(1, RESERVATION), fault=fault(3)),
    ),
    "a second severe fault is counted": (Slice(degraded(1)), REPORT, Slice(degraded(2), fault=fault(3))),
    "clearing the one severe fault mends the compartment": (
        Slice(degraded(1), fault=fault(3)),
        fault_cleared(REPORT),
        Slice(FREE, fault=fault(3, cleared=True)),
    ),
    "clearing one of two severe faults leaves it degraded": (
        Slice(degraded(2), fault=fault(5)),
        fault_cleared(REPORT),
        Slice(degraded(1), fault=fault(5, cleared=True)),
    ),
    "clearing a slight fault leaves a severe one": (
        Slice(degraded(1), fault=fault(2)),
        fault_cleared(REPORT),
        Slice(degraded(1), fault=fault(2, cleared=True)),
    ),
    "clearing leaves the reservation": (
        Slice(degraded(1, RESERVATION), fault=fault(3)),
        fault_cleared(REPORT),
        Slice(OCCUPIED, fault=fault(3, cleared=True)),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_event_changes_this_and_nothing_else(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolve(given, event(when)) == then


@pytest.mark.parametrize("change", CHANGES)
def test_the_state_before_stays_as_it_was(change: str) -> None:
    given, when, _ = CHANGES[change]
    before = Slice(given.compartment, given.reservation, given.fault)
    evolve(given, event(when))
    assert given == before


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_locker_says_of_the_time_changes_nothing(change: str) -> None:
    given, when, then = CHANGES[change]
    assert evolve(given, event(when | {"occurred_at": "1999-01-01T00:00:00-12:00"})) == then


@pytest.mark.parametrize(
    "when",
    [reserved(), deposited(), picked_up(), expired(), REPORT, fault_reported(0), fault_cleared(REPORT)],
    ids=lambda body: f"{body['type']} {body['payload'].get('severity', '')}",
)
def test_an_event_on_nothing_can_be_in_no_history(when: Body) -> None:
    with pytest.raises(InconsistentHistory, match=f"{when['type']} {when['event_id']}"):
        evolve(Slice(), event(when))

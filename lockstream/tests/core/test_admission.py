"""Admission of the events of a caller: their key, the lockers that they may name, and concealed outcomes."""

from typing import cast

import pytest

from lockstream.core import rules
from lockstream.core.entities.access import ANYONE, Caller, Lockers
from lockstream.core.entities.events import KeyId
from lockstream.core.errors import LockerNotAllowed
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.rules import REFUSALS
from lockstream.core.use_cases.admission import admit, admit_event, concealed
from lockstream.tests.support.builders import event, registered

KEY = KeyId("k3y8char")
BOUND = Caller(KEY, lockers=Lockers.of(["a", "b*"]))


def test_an_admitted_event_bears_the_key_of_its_caller() -> None:
    one = event(registered(locker="a"))
    assert admit_event(one, BOUND) is None
    assert one.recorded_by is KEY
    assert admit_event(one, ANYONE) is None
    assert one.recorded_by == ""


@pytest.mark.parametrize("locker", ["a", "b", "bb", "b*"])
def test_an_event_of_a_locker_of_the_key_is_admitted(locker: str) -> None:
    assert admit_event(event(registered(locker=locker)), BOUND) is None


@pytest.mark.parametrize("locker", ["aa", "A", "B", "c", " a"])
def test_an_event_of_another_locker_is_refused_and_unchanged(locker: str) -> None:
    one = event(registered(locker=locker))
    error = admit_event(one, BOUND)
    assert isinstance(error, LockerNotAllowed)
    assert (error.key_id, error.locker_id, error.code) == (KEY, locker, "locker_not_allowed")
    assert one.recorded_by == ""


def test_a_key_that_is_bound_to_no_locker_may_report_nothing() -> None:
    assert admit_event(event(registered(locker="a")), Caller(KEY, lockers=Lockers())) is not None


def test_the_outcomes_of_admitted_events_stand_beside_the_errors_of_the_others() -> None:
    events = [event(registered(locker=locker)) for locker in ("c", "a", "d", "b", "e")]
    admission = admit(events, BOUND)
    assert admission.admitted(events) == [events[1], events[3]]
    assert [one.recorded_by for one in events] == ["", KEY, "", KEY, ""]
    assert admission.admitted([b"0", b"1", b"2", b"3", b"4"]) == [b"1", b"3"]
    assert admission.admitted([]) == [], "the events never were texts"
    outcomes = admission.outcomes([Accepted(1), Duplicate(7)])
    assert (outcomes[1], outcomes[3]) == (Accepted(1), Duplicate(7))
    assert [cast(LockerNotAllowed, outcomes[index]).locker_id for index in (0, 2, 4)] == ["c", "d", "e"]
    assert [error.locker_id for error in admission.refused] == ["c", "d", "e"]


def test_a_concealed_outcome_is_that_of_an_unknown_subject() -> None:
    other: list[Outcome | Exception] = [Accepted(1), Duplicate(2), ZeroDivisionError()]
    assert concealed(other) == other
    changed = {one: new for one, new in zip(REFUSALS, concealed(REFUSALS), strict=True) if new is not one}
    assert changed == {
        rules.RESERVATION_OF_ANOTHER_LOCKER: rules.UNKNOWN_RESERVATION,
        rules.FAULT_OF_ANOTHER_LOCKER: rules.UNKNOWN_FAULT,
    }


def test_a_concealed_outcome_has_the_same_kind() -> None:
    for one, new in zip(REFUSALS, concealed(REFUSALS), strict=True):
        assert isinstance(new, type(one))
        assert new.kind is one.kind

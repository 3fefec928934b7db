"""Views: what reads show of lockers, from rows in any order."""

from lockstream.core.entities.state import (
    Compartment,
    CompartmentView,
    Fault,
    LastChange,
    Locker,
    Reservation,
    Status,
)
from lockstream.core.views import last_change, locker_views

RESERVATIONS = {
    "r1": Reservation("r1", "l1", "c1", Status.DEPOSITED, 4, 6, 6),
    "r2": Reservation("r2", "l1", "c2", Status.PICKED_UP, 5, 7, 8),
}


def test_lockers_compartments_and_open_faults_are_sorted_by_code_points() -> None:
    compartments = [Compartment(*key) for key in (("é", "a"), ("a", "e\u0301"), ("a", "é"), ("a", "B"), ("B", "a"))]
    faults = [Fault(fault_id, "a", "B", severity) for severity, fault_id in enumerate("5a09f")]

    lockers = list(locker_views(compartments, faults, RESERVATIONS.get))

    assert [(one.locker_id, [view.compartment_id for view in one.compartments]) for one in lockers] == [
        ("B", ["a"]),
        ("a", ["B", "e\u0301", "é"]),
        ("é", ["a"]),
    ]
    assert lockers[1].compartments[0].open_faults == (("0", 2), ("5", 0), ("9", 3), ("a", 1), ("f", 4))


def test_a_compartment_is_shown_with_its_active_reservation_and_its_open_faults() -> None:
    compartments = [Compartment("l1", "c1", "r1", 1, 9, 1), Compartment("l1", "c2", None, 0, 8, 2)]
    faults = [
        Fault("f1", "l1", "c1", 3, 9),
        Fault("f2", "l1", "c1", 3, 2, 3),  # cleared
        Fault("f3", "l1", "c2", 2, 4),
        Fault("f4", "l2", "c2", 5, 4),
    ]
    assert list(locker_views(compartments, faults, RESERVATIONS.get)) == [
        Locker(
            "l1",
            (
                CompartmentView("c1", True, "r1", Status.DEPOSITED, (("f1", 3),)),
                CompartmentView("c2", False, None, None, (("f3", 2),)),
            ),
        )
    ]


def test_without_compartments_there_is_no_locker() -> None:
    assert list(locker_views([], [Fault("f1", "l1", "c1", 3)], RESERVATIONS.get)) == []


def test_the_last_changes_are_those_of_the_compartment_and_of_its_active_reservation() -> None:
    assert last_change(Compartment("l1", "c1", "r1", 0, 4, 1), RESERVATIONS.get) == LastChange(4, 6)
    assert last_change(Compartment("l1", "c1", "r1", 1, 9, 1), RESERVATIONS.get) == LastChange(9, 6)
    assert last_change(Compartment("l1", "c2", None, 0, 8, 2), RESERVATIONS.get) == LastChange(8, 0)


def test_a_reservation_whose_row_is_missing_has_no_status() -> None:
    compartment = Compartment("l1", "c1", "missing", 0, 4, 1)
    [locker] = locker_views([compartment], [], RESERVATIONS.get)
    assert locker.compartments == (CompartmentView("c1", False, "missing", None, ()),)
    assert last_change(compartment, RESERVATIONS.get) == LastChange(4, 0)

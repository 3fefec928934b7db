"""Past states are made from the rows of today: each event is a position in one row, and `evolve` folds these events."""

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Status
from lockstream.core.errors import InconsistentHistory
from lockstream.core.past import LastingRows, events_of, reservation_at, rows_at
from lockstream.tests.core.story import EVENTS, rows_after
from lockstream.tests.support.builders import COMPARTMENT, LOCKER
from lockstream.tests.support.gaps import gap_sums

ROWS = rows_after().changed
POSITIONS = range(len(EVENTS) + 1)
REGISTERED = Compartment(LOCKER, COMPARTMENT, None, 0, 1, 1)


ALL = LastingRows(*(list(ROWS[row_class].values()) for row_class in (Compartment, Reservation, Fault)))
EACH: list[Compartment | Reservation | Fault] = [*ALL.compartments, *ALL.reservations, *ALL.faults]


def test_every_event_is_a_position_in_exactly_one_row() -> None:
    found = [made for row in EACH for made in events_of(row)]
    assert sorted(position for position, _ in found) == list(POSITIONS)[1:]
    for position, made in found:
        event = EVENTS[position - 1]
        assert (type(made), made.locker_id, made.payload) == (type(event), event.locker_id, event.payload)
    assert {type(made) for _, made in found} == set(EVENT_TYPES.values())


def test_the_events_of_a_row_are_in_order() -> None:
    for row in EACH:
        positions = [position for position, _ in events_of(row)]
        assert positions == sorted(positions)
    assert [len(list(events_of(row))) for row in ALL.reservations] == [3, 3, 2, 3, 1, 1, 2]
    assert [len(list(events_of(row))) for row in ALL.faults] == [2, 2, 2, 2, 2, 1, 1]


@pytest.mark.parametrize("position", POSITIONS)
def test_the_rows_of_today_give_those_of_any_position(position: int) -> None:
    assert rows_at(ALL, position).changed == rows_after(position).changed


def test_rows_at_a_position_beyond_the_last_event_are_those_of_today() -> None:
    assert rows_at(ALL, 2**63).changed == ROWS


@pytest.mark.parametrize("position", POSITIONS)
def test_a_reservation_of_today_gives_that_of_any_position(position: int) -> None:
    then = rows_after(position).changed[Reservation]
    for reservation_id, row in ROWS[Reservation].items():
        assert reservation_at(row, position) == then.get(reservation_id)


def test_rows_that_no_longer_matter_are_not_needed() -> None:
    """The totals then lack their events, and nothing else differs."""
    ended = Reservation("ended", LOCKER, COMPARTMENT, Status.PICKED_UP, 2, 3, 4)
    last = Reservation("last", LOCKER, COMPARTMENT, Status.EXPIRED, 5, 0, 8)
    cleared, degrading = (Fault(str(severity), LOCKER, COMPARTMENT, severity, severity + 4, 9) for severity in (2, 3))

    whole = rows_at(LastingRows([REGISTERED], [ended, last], [cleared, degrading]), 10).changed
    lasting = rows_at(LastingRows([REGISTERED], [last], [degrading]), 10).changed

    assert lasting[Compartment] == whole[Compartment] == {REGISTERED.key: Compartment(*REGISTERED.key, None, 0, 9, 1)}
    sums = gap_sums([(1, True), (5, False), (7, False), (8, False), (9, False)])
    assert lasting[LockerTotals] == {LOCKER: LockerTotals(LOCKER, 5, 9, 1, 1, expired=1, **sums)}


@pytest.mark.parametrize(
    "rows",
    [
        LastingRows([], [Reservation("r", LOCKER, COMPARTMENT, Status.CREATED, 2, 0, 2)], []),
        LastingRows([], [], [Fault("f", LOCKER, COMPARTMENT, 1, 2)]),
        LastingRows([REGISTERED], [Reservation("r", LOCKER, COMPARTMENT, Status.DEPOSITED, 4, 3, 3)], []),
        LastingRows([REGISTERED], [], [Fault("f", LOCKER, COMPARTMENT, 1, 4, 3)]),
        LastingRows([REGISTERED], [], [Fault("f", LOCKER, "another", 1, 4)]),
        LastingRows([Compartment(LOCKER, COMPARTMENT, None, 0, 1, 9)], [], [Fault("f", LOCKER, COMPARTMENT, 1, 4)]),
    ],
    ids=[
        "a reservation of no compartment",
        "a fault of no compartment",
        "a deposit before the creation",
        "a clearance before the report",
        "a fault of another compartment",
        "a registration after the report",
    ],
)
def test_rows_that_contradict_each_other_are_an_inconsistent_history(rows: LastingRows) -> None:
    with pytest.raises(InconsistentHistory):
        rows_at(rows, 10)


def test_a_reservation_that_contradicts_itself_is_an_inconsistent_history() -> None:
    with pytest.raises(InconsistentHistory):
        reservation_at(Reservation("r", LOCKER, COMPARTMENT, Status.DEPOSITED, 4, 3, 3), 10)

"""The lists in memory, which those of the other stores are compared with."""

from collections.abc import Sequence

import pytest

from lockstream.core.entities.events import (
    CompartmentRegistered,
    FaultCleared,
    FaultReported,
    ParcelDeposited,
    ReservationCreated,
)
from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    LockerOrder,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.state import LockerTotals, Status
from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores import unit_of_work
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.infrastructure.stores.memory_listings import MemoryListings
from lockstream.tests.support.builders import (
    LOCKER,
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

SECOND = 1_000_000
ALL = 1_000

FAULTS = (
    fault_reported(3, "c3", locker="l1"),
    fault_reported(0, "c1", locker="l2"),
    fault_reported(5, "c1", locker="l1"),
)

EVENTS = [
    *(registered(compartment, locker="l1") for compartment in ("c4", "c3", "c2", "c1")),  # positions 1 to 4
    registered("c1", locker="l2"),
    reserved("r3", "c1", locker="l1"),  # 6
    reserved("r1", "c2", locker="l1"),
    reserved("r2", "c4", locker="l1"),
    FAULTS[0],  # 9
    deposited("r1", locker="l1"),  # 10
    deposited("r2", locker="l1"),
    picked_up("r2", locker="l1"),
    FAULTS[1],  # 13
    FAULTS[2],
    fault_cleared(FAULTS[1], "c1", locker="l2"),  # 15
    reserved("r0", "c1", locker="l2"),
    expired("r0", locker="l2"),  # 17
]
"""Compartments of l1: c1 is reserved and degraded, c2 occupied, c3 degraded, c4 available. c1 of l2 is available."""


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> MemoryListings:
    """Lists over `EVENTS`, of which five were recorded at second 1, the next five at second 2, and so on."""
    store = MemoryStore()
    for second, start in enumerate(range(0, len(EVENTS), 5), 1):
        monkeypatch.setattr(unit_of_work, "utc_now", lambda second=second: f"1970-01-01T00:00:0{second}.000000Z")
        accept(store, EVENTS[start : start + 5])
    return store.listings


def accept(store: MemoryStore, bodies: Sequence[Body]) -> None:
    outcomes = ingest([event(body) for body in bodies], store.unit_of_work())
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)


def test_the_network_is_the_sum_of_its_lockers(lists: MemoryListings) -> None:
    assert lists.network() == NetworkTotals(
        lockers=2,
        compartments=5,
        available=2,
        reserved=1,
        occupied=1,
        degraded=2,
        picked_up=1,
        expired=1,
        open_faults={3: 1, 5: 1},
    )
    assert MemoryStore().listings.network() == NetworkTotals()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (LockerQuery(), ["l1", "l2"]),
        (LockerQuery(prefix="l2"), ["l2"]),
        (LockerQuery(prefix="L"), []),
        (LockerQuery(available=True), ["l1", "l2"]),
        (LockerQuery(available=False), []),
        (LockerQuery(degraded=True), ["l1"]),
        (LockerQuery(degraded=False), ["l2"]),
        (LockerQuery(degraded=True, prefix="l2"), []),
        (LockerQuery(descending=True), ["l2", "l1"]),
        (LockerQuery(order=LockerOrder.LAST_EVENT), ["l1", "l2"]),
        (LockerQuery(order=LockerOrder.AVAILABLE, descending=True), ["l2", "l1"]),
        (LockerQuery(order=LockerOrder.DEGRADED), ["l2", "l1"]),
        (LockerQuery(order=LockerOrder.DEGRADED, prefix="l1"), ["l1"]),
    ],
)
def test_lockers_are_filtered_and_sorted(lists: MemoryListings, query: LockerQuery, expected: list[str]) -> None:
    assert [row.locker_id for row in lists.lockers(query, None, ALL)] == expected


def test_a_locker_is_listed_with_its_totals(lists: MemoryListings) -> None:
    sums = gap_sums([(5, True), (13, False), (15, False), (16, False), (17, False)])
    assert lists.lockers(LockerQuery(prefix="l2"), None, 1) == [
        LockerTotals("l2", events=5, last_position=17, compartments=1, available=1, expired=1, **sums)
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, ["c1", "c2", "c3", "c4"]),
        (CompartmentState.AVAILABLE, ["c4"]),
        (CompartmentState.RESERVED, ["c1"]),
        (CompartmentState.OCCUPIED, ["c2"]),
        (CompartmentState.DEGRADED, ["c1", "c3"]),
    ],
)
def test_compartments_are_filtered(lists: MemoryListings, state: CompartmentState | None, expected: list[str]) -> None:
    found = lists.compartments(CompartmentQuery("l1", state), None, ALL)
    assert found is not None
    assert [row.compartment_id for row in found] == expected


def test_a_compartment_says_since_when_it_is_as_it_is(lists: MemoryListings) -> None:
    found = lists.compartments(CompartmentQuery("l1"), None, ALL) or []
    assert [(row.reservation_status, row.degraded, row.changed_position) for row in found] == [
        (Status.CREATED, True, 14),
        (Status.DEPOSITED, False, 10),
        (None, True, 9),
        (None, False, 12),
    ]


def test_an_unknown_locker_has_no_list_of_compartments(lists: MemoryListings) -> None:
    assert lists.compartments(CompartmentQuery("l3"), None, ALL) is None
    assert lists.compartments(CompartmentQuery("l2", CompartmentState.DEGRADED), None, ALL) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ReservationQuery(), ["r3", "r1", "r2", "r0"]),
        (ReservationQuery(descending=True), ["r0", "r2", "r1", "r3"]),
        (ReservationQuery(order=ReservationOrder.ID), ["r0", "r1", "r2", "r3"]),
        (ReservationQuery(order=ReservationOrder.ID, descending=True), ["r3", "r2", "r1", "r0"]),
        (ReservationQuery(status=Status.CREATED), ["r3"]),
        (ReservationQuery(status=Status.EXPIRED, locker_id="l1"), []),
        (ReservationQuery(locker_id="l2"), ["r0"]),
        (ReservationQuery(changed_from=10), ["r1", "r2", "r0"]),
        (ReservationQuery(changed_from=11, changed_through=16), ["r2"]),
        (ReservationQuery(changed_through=0), []),
    ],
)
def test_reservations_are_filtered_and_sorted(
    lists: MemoryListings, query: ReservationQuery, expected: list[str]
) -> None:
    assert [row.reservation_id for row in lists.reservations(query, None, ALL)] == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (FaultQuery(), [9, 13, 14]),
        (FaultQuery(descending=True), [14, 13, 9]),
        (FaultQuery(open=True), [9, 14]),
        (FaultQuery(open=False), [13]),
        (FaultQuery(min_severity=4), [14]),
        (FaultQuery(locker_id="l1"), [9, 14]),
        (FaultQuery(locker_id="l1", compartment_id="c3"), [9]),
    ],
)
def test_faults_are_filtered_and_sorted(lists: MemoryListings, query: FaultQuery, expected: list[int]) -> None:
    assert [row.reported_position for row in lists.faults(query, None, ALL)] == expected


@pytest.mark.parametrize("descending", [False, True])
def test_pages_follow_each_other(lists: MemoryListings, *, descending: bool) -> None:
    lockers, compartments = lists.lockers(LockerQuery(), "l1", 1), lists.compartments(CompartmentQuery("l1"), "c1", 2)
    assert [row.locker_id for row in lockers] == ["l2"]
    assert [row.compartment_id for row in compartments or []] == ["c2", "c3"]
    by_change = ReservationQuery(descending=descending)
    whole = lists.reservations(by_change, None, ALL)
    assert lists.reservations(by_change, whole[1].changed_position, ALL) == whole[2:]
    by_id = ReservationQuery(descending=descending, order=ReservationOrder.ID)
    whole = lists.reservations(by_id, None, ALL)
    assert lists.reservations(by_id, whole[1].reservation_id, 1) == whole[2:3]
    faults = FaultQuery(descending=descending)
    assert lists.faults(faults, 13, ALL) == lists.faults(faults, None, ALL)[2:]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (HistoryQuery("l1"), [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14]),
        (HistoryQuery("l2", descending=True), [17, 16, 15, 13, 5]),
        (HistoryQuery("l1", "c4"), [1, 8, 11, 12]),
        (HistoryQuery("l1", None, ParcelDeposited), [10, 11]),
        (HistoryQuery("l2", "c1", FaultCleared), [15]),
        (HistoryQuery("l1", "c3", ReservationCreated), []),
        (HistoryQuery("l3"), None),
        (HistoryQuery("l2", "c2"), None),
        (HistoryQuery("l2", "c2", CompartmentRegistered), None),
    ],
)
def test_a_history_has_the_events_of_its_subject(
    lists: MemoryListings, query: HistoryQuery, expected: list[int] | None
) -> None:
    assert lists.history(query, None, ALL) == expected


def test_the_events_of_a_locker_are_counted_up_to_a_position(lists: MemoryListings) -> None:
    assert lists.event_counts("l1", 10) == {
        CompartmentRegistered: 4,
        ReservationCreated: 3,
        FaultReported: 1,
        ParcelDeposited: 1,
    }
    assert lists.event_counts("l1", 0) == lists.event_counts("l3", 17) == {}


@pytest.mark.parametrize(
    ("compartment_id", "position", "expected"),
    [
        (None, 17, (["c4", "c3", "c2", "c1"], ["r3", "r1", "r2"], [9, 14])),
        (None, 7, (["c4", "c3", "c2", "c1"], ["r3", "r1"], [])),
        (None, 2, (["c4", "c3"], [], [])),
        (None, 0, ([], [], [])),
        ("c1", 17, (["c1"], ["r3"], [14])),
        ("c1", 13, (["c1"], ["r3"], [])),
        ("c5", 17, ([], [], [])),
    ],
)
def test_rows_whose_events_still_mattered_are_found(
    lists: MemoryListings, compartment_id: str | None, position: int, expected: tuple[list[object], ...]
) -> None:
    rows = lists.lasting_rows("l1", compartment_id, position)
    assert (
        [row.compartment_id for row in rows.compartments],
        [row.reservation_id for row in rows.reservations],
        [row.reported_position for row in rows.faults],
    ) == expected


@pytest.mark.parametrize(("severity", "found"), [(2, [True, False]), (3, [True, True])])
def test_a_cleared_fault_still_matters_if_it_has_degraded_its_compartment(severity: int, found: list[bool]) -> None:
    store, fault = MemoryStore(), fault_reported(severity)
    accept(store, [registered(), fault, fault_cleared(fault)])
    assert [bool(store.listings.lasting_rows(LOCKER, None, position).faults) for position in (2, 3)] == found


def test_an_ended_reservation_no_longer_matters_once_its_compartment_is_reserved_again() -> None:
    store = MemoryStore()
    accept(store, [registered(), reserved("r1"), expired("r1"), reserved("r2")])
    rows = [store.listings.lasting_rows(LOCKER, None, position).reservations for position in (1, 2, 3, 4)]
    assert [[row.reservation_id for row in found] for found in rows] == [[], ["r1"], ["r1"], ["r2"]]


def test_a_search_finds_ids_that_begin_so(lists: MemoryListings) -> None:
    assert lists.search("l", 1) == Matches(["l1"], [], [], [])
    assert lists.search("c1-", 20) == Matches([], [], [], [])
    assert lists.search("c1", 20).compartments == [("l1", "c1"), ("l2", "c1")]
    assert lists.search("r", 3) == Matches([], [], ["r0", "r1", "r2"], [])
    assert lists.search("x", 20) == Matches([], [], [], [])


def test_a_search_finds_events_by_the_beginning_of_a_uuid_in_any_case(lists: MemoryListings) -> None:
    ids = sorted((body["event_id"], position) for position, body in enumerate(EVENTS, 1))
    assert lists.search("", 5).events == ids[:5]
    for event_id, position in ids:
        for end in (8, 9, 10, 14, 35, 36):
            assert lists.search(event_id[:end], 20).events == [(event_id, position)]
            assert lists.search(event_id[:end].upper(), 20).events == [(event_id, position)]
        for other in (event_id[:8] + event_id[9:11], event_id[:8] + " ", event_id + "0", event_id + "-", event_id[1:]):
            assert lists.search(other, 20).events == []


def test_each_position_has_the_time_at_which_its_batch_was_recorded(lists: MemoryListings) -> None:
    assert lists.times([1, 5, 6, 17]) == {1: SECOND, 5: SECOND, 6: 2 * SECOND, 17: 4 * SECOND}
    assert lists.times([]) == {}


@pytest.mark.parametrize(
    ("time", "position"),
    [(0, 0), (SECOND - 1, 0), (SECOND, 5), (SECOND + 1, 5), (3 * SECOND, 15), (4 * SECOND, 17), (2**63 - 1, 17)],
)
def test_each_time_has_a_position(lists: MemoryListings, time: int, position: int) -> None:
    assert lists.position_at(time) == position
    assert MemoryStore().listings.position_at(time) == 0

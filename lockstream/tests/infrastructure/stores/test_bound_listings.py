"""Lists for a caller that is bound to lockers: on every store, the rows of its lockers and no others."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstream.core.bound import listings as bound_listings
from lockstream.core.bound import pages
from lockstream.core.bound.listings import BoundListings
from lockstream.core.bound.locker_ranges import locker_ranges
from lockstream.core.entities.access import Lockers
from lockstream.core.entities.listings import (
    SUMMED,
    Activity,
    FaultQuery,
    LockerOrder,
    LockerQuery,
    Matches,
    NetworkTotals,
    PartialRows,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.state import Status
from lockstream.core.errors import TooManyLockers, TooManyToSort
from lockstream.core.past import LastingRows
from lockstream.core.ports import Listings
from lockstream.core.use_cases import sorted_lockers
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.infrastructure.stores.listing_queries import (
    ALL,
    LOCKER_ORDERS,
    compartment_queries,
    fault_queries,
    history_queries,
    locker_queries,
    reservation_queries,
)
from lockstream.tests.infrastructure.stores.naive_listings import LOCKER_KEYS
from lockstream.tests.infrastructure.stores.network import Network, lists_of
from lockstream.tests.support.builders import (
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

LOCKER_IDS = ("a", "a%", "aa", "ab", "abc", "b", 'b"', "b\\", "ba", "é", "\U0001f512")
COMPARTMENT_IDS = ("c", "c1", "d")
UNKNOWN = "unknown"
PREFIXES = ("", "a", "ab", "b", "c", "c1", "r1", "r1-0", UNKNOWN)

PATTERNS = [
    *(["a"], ["a*"], ["*"], [], [UNKNOWN], ["aa", "b*"], ['b"*', "é"], [r"b\*", "abc", "a%*"], list(LOCKER_IDS[2:5])),
    *(["a", "aa", "\U0001f512*"], ["_*", "%*"]),
]

type Key = Callable[[Any], Any]


def story() -> list[Body]:
    """Return events of all lockers, in turns. Most would be accepted."""
    draw = random.Random(15)
    bodies = [registered(compartment, locker=locker) for locker in LOCKER_IDS for compartment in COMPARTMENT_IDS]
    faults: list[Body] = []
    for number in range(150):
        locker, compartment = draw.choice(LOCKER_IDS), draw.choice(COMPARTMENT_IDS)
        reservation = f"r{number % 3}-{number}"
        life = [reserved(reservation, compartment, locker=locker), deposited(reservation, locker=locker)]
        life.append(draw.choice((picked_up, expired))(reservation, locker=locker))
        bodies += life[: draw.choice((1, 2, 3, 3, 3))]
        if number % 3 == 0:
            faults.append(fault_reported(number % 5, compartment, locker=locker))
            bodies.append(faults[-1])
            if number % 6 == 0:
                bodies.append(fault_cleared(faults[-1], compartment, locker=locker))
    return bodies


STORY = story()
EVENT_IDS = [str(body["event_id"]) for body in STORY]
BEGINNINGS = st.sampled_from([slice(length) for length in (9, 12, 13, 20, 36)])


@cache
def memory_lists() -> Listings:
    store = MemoryStore()
    ingest([event(body) for body in STORY], store.unit_of_work())
    return store.listings


@pytest.fixture(params=[100, 2], ids=["merged", "searched"])
def few_lockers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of lockers whose lists are merged. Pages read few rows at a time."""
    few: int = request.param
    set_bounds(monkeypatch, few, searched=50)
    return few


def set_bounds(monkeypatch: pytest.MonkeyPatch, few: int, chunk: int = 3, searched: int = 7) -> None:
    monkeypatch.setattr(bound_listings, "FEW_LOCKERS", few)
    monkeypatch.setattr(bound_listings, "SEARCHED_EVENTS", ALL)
    monkeypatch.setattr(pages, "CHUNK_ROWS", chunk)
    monkeypatch.setattr(pages, "SEARCHED_POSITIONS", searched)


@pytest.mark.usefixtures("few_lockers")
@pytest.mark.parametrize("patterns", PATTERNS, ids=str)
def test_every_list_has_the_rows_of_the_callers_lockers_on_every_store(
    network: Network[Any], patterns: list[str]
) -> None:
    network.ingest(*STORY)
    lockers = Lockers.of(patterns)

    def compare(lists: Listings) -> None:
        bound = BoundListings(lists, lockers)
        assert bound.network() == network_of(lists, lockers)
        assert bound.position == lists.position
        for position in range(lists.position + 2):
            assert bound.activity(position, position) == activity_of(lists, lockers, position)
        for query in (LockerQuery(), LockerQuery("a"), LockerQuery("", available=True), LockerQuery("b", None, True)):
            for order, descending in LOCKER_ORDERS:
                assert_same_rows(bound, lists, lockers, replace(query, order=order, descending=descending), 2)
        for of_reservations in (ReservationQuery(), ReservationQuery(descending=True), *by_id(bound)):
            assert_same_rows(bound, lists, lockers, of_reservations, 3)
        for of_faults in (FaultQuery(), FaultQuery(open=True, min_severity=3, descending=True)):
            assert_same_rows(bound, lists, lockers, of_faults, 2)
        for prefix in PREFIXES:
            assert bound.search(prefix, 20) == matches_of(lists, lockers, prefix, 20)

    lists_of(network, compare)


def by_id(bound: BoundListings) -> Iterator[ReservationQuery]:
    """Yield queries in the order of ids, if the caller has not too many lockers for it."""
    if len(bound.lockers(LockerQuery(), None, ALL)) <= bound_listings.FEW_LOCKERS:
        yield ReservationQuery(order=ReservationOrder.ID)
        yield ReservationQuery(order=ReservationOrder.ID, descending=True)


QUERIES = [
    *locker_queries(PREFIXES, len(STORY)),
    *compartment_queries((*LOCKER_IDS, UNKNOWN)),
    *reservation_queries((*LOCKER_IDS[:3], UNKNOWN), len(STORY)),
    *fault_queries((*LOCKER_IDS[:3], UNKNOWN), COMPARTMENT_IDS),
    *history_queries((*LOCKER_IDS[:3], UNKNOWN), COMPARTMENT_IDS),
]


@given(
    patterns=st.lists(st.sampled_from([*LOCKER_IDS, UNKNOWN, "*", "a*", "ab*", "b*", 'b"*', "é*", "\U0001f512*"])),
    query=st.sampled_from(QUERIES),
    limit=st.integers(1, 12),
    few=st.sampled_from((0, 2, 5, 100)),
    chunk=st.integers(1, 20),
    searched=st.integers(1, 60),
)
def test_pages_of_any_list_have_all_rows_of_the_callers_lockers_once(
    patterns: list[str], query: Any, limit: int, few: int, chunk: int, searched: int
) -> None:
    lists, lockers = memory_lists(), Lockers.of(patterns)
    bound = BoundListings(lists, lockers)
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_bounds(monkeypatch, few, chunk, searched)
        assert_same_rows(bound, lists, lockers, query, limit)


@given(
    patterns=st.lists(st.sampled_from([*LOCKER_IDS, "*", "a*", "b*"])),
    prefix=st.sampled_from(PREFIXES) | st.builds(str.__getitem__, st.sampled_from(EVENT_IDS), BEGINNINGS),
    limit=st.integers(1, 30),
    few=st.sampled_from((0, 2, 100)),
)
def test_a_search_finds_the_first_ids_of_the_callers_lockers(
    patterns: list[str], prefix: str, limit: int, few: int
) -> None:
    lists, lockers = memory_lists(), Lockers.of(patterns)
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_bounds(monkeypatch, few, 1_000, 20_000)
        assert BoundListings(lists, lockers).search(prefix, limit) == matches_of(lists, lockers, prefix, limit)


def test_a_search_finds_a_whole_id_however_much_it_may_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    set_bounds(monkeypatch, few=0, chunk=1, searched=1)
    monkeypatch.setattr(bound_listings, "SEARCHED_EVENTS", 1)
    bound = BoundListings(memory_lists(), Lockers.of(["*"]))
    for row in memory_lists().reservations(ReservationQuery(), None, ALL):
        assert row.reservation_id in bound.search(row.reservation_id, 20).reservations
    for position, body in enumerate(STORY[:20], 1):
        assert bound.search(body["event_id"], 20).events == [(body["event_id"], position)]


def test_a_page_ends_after_some_positions_and_says_how_far_it_has_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    set_bounds(monkeypatch, few=0, chunk=5, searched=10)
    bound = BoundListings(memory_lists(), Lockers.of([UNKNOWN, "\U0001f512"]))

    page = bound.reservations(ReservationQuery(), None, 100)

    assert isinstance(page, PartialRows)
    assert (page, page.through) == ([], 10)
    # and a list that has ended before is searched on, which would tell of rows of other lockers
    monkeypatch.setattr(pages, "SEARCHED_POSITIONS", bound.position - 50)
    of_nobody = FaultQuery(min_severity=100, descending=True)
    assert isinstance(bound.faults(of_nobody, None, 100), PartialRows)
    assert not isinstance(bound.faults(of_nobody, 40, 100), PartialRows)


def test_a_list_by_id_is_refused_to_a_caller_with_too_many_lockers(monkeypatch: pytest.MonkeyPatch) -> None:
    set_bounds(monkeypatch, few=2)
    bound = BoundListings(memory_lists(), Lockers.of(["a*"]))

    with pytest.raises(TooManyLockers, match=r"bound to more than 2 lockers.* Send locker_id with sort=id"):
        bound.reservations(ReservationQuery(order=ReservationOrder.ID), None, 10)

    # but one locker of them can be listed by id
    of_locker = ReservationQuery(locker_id="aa", order=ReservationOrder.ID)
    assert bound.reservations(of_locker, None, ALL) == memory_lists().reservations(of_locker, None, ALL) != []


def test_lockers_are_sorted_for_a_caller_with_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    set_bounds(monkeypatch, few=2)
    query = LockerQuery(order=LockerOrder.DEGRADED)
    for patterns, text in (["a", "aa", "b"], "2 lockers"), (["a*"], "3 lockers"):
        monkeypatch.setattr(sorted_lockers, "MAX_SORTED", 3)
        with pytest.raises(TooManyToSort, match=rf"^More than {text} .*\. Narrow the filters, or sort by id\.$"):
            BoundListings(memory_lists(), Lockers.of(patterns)).lockers(query, None, ALL)
    # but all lockers, and few of them, are sorted
    for patterns in ["*"], ["a", "b"], ["ab*"]:
        bound, own = BoundListings(memory_lists(), Lockers.of(patterns)), Lockers.of(patterns)
        expected = [row for row in memory_lists().lockers(query, None, ALL) if own.allow(row.locker_id)]
        assert bound.lockers(query, None, ALL) == expected != []


def test_single_subjects_of_other_lockers_are_absent() -> None:
    lists, lockers = memory_lists(), Lockers.of(["a", "b*"])
    bound, last = BoundListings(lists, lockers), lists.position
    for row in lists.reservations(ReservationQuery(), None, ALL):
        assert bound.reservation(row.reservation_id) == (row if lockers.allow(row.locker_id) else None)
    assert bound.lasting_rows("aa", None, last) == LastingRows([], [], [])
    assert not bound.event_counts("aa", last)
    assert bound.lasting_rows("a", None, last) == lists.lasting_rows("a", None, last)
    assert bound.event_counts("a", last) == lists.event_counts("a", last)
    own = [one for one in lists.records(range(1, last + 1)) if lockers.allow(one.locker_id)]
    assert bound.records(one.end.position for one in own) == own
    assert bound.times(range(last + 1)) == lists.times(range(last + 1))


def assert_same_rows(bound: BoundListings, lists: Listings, lockers: Lockers, query: Any, limit: int) -> None:
    """Compare a list, read in pages, with the whole list of which the rows of other lockers are left out."""
    name, key, locker_of = LISTS[type(query).__name__]
    if isinstance(query, LockerQuery):
        key = LOCKER_KEYS[query.order]
    if isinstance(query, ReservationQuery) and query.order is ReservationOrder.ID:
        key = attrgetter("reservation_id")
        own = sum(lockers.allow(locker_id) for locker_id in LOCKER_IDS)
        if query.locker_id is None and own > bound_listings.FEW_LOCKERS:
            with pytest.raises(TooManyLockers):
                bound.reservations(query, None, limit)
            return
    whole = getattr(lists, name)(query, None, ALL)
    page = partial(getattr(bound, name), query)
    of_one_locker: Any = getattr(query, "locker_id", None)
    if whole is None or (locker_of is None and not lockers.allow(of_one_locker)):
        assert page(None, limit) is None
        return
    expected = whole if locker_of is None else [row for row in whole if lockers.allow(locker_of(row))]
    if (
        isinstance(query, LockerQuery)
        and len(expected) > bound_listings.FEW_LOCKERS
        and not is_one_list(query, lockers)
    ):
        with pytest.raises(TooManyToSort):
            page(None, limit)
        return
    assert read_all(page, key, limit) == expected


def is_one_list(query: LockerQuery, lockers: Lockers) -> bool:
    """Return whether a caller's lockers are in their order in the list of all lockers, or of one beginning of ids."""
    ranges = [part for one in locker_ranges(lockers) if (part := one.within(query.prefix))]
    return query.order is LockerOrder.ID or [part.is_prefix for part in ranges] == [True]


LISTS: dict[str, tuple[str, Key, Key | None]] = {
    "LockerQuery": ("lockers", attrgetter("locker_id"), attrgetter("locker_id")),
    "CompartmentQuery": ("compartments", attrgetter("compartment_id"), None),
    "ReservationQuery": ("reservations", attrgetter("changed_position"), attrgetter("locker_id")),
    "FaultQuery": ("faults", attrgetter("reported_position"), attrgetter("locker_id")),
    "HistoryQuery": ("history", int, None),
}
"""By class of query: the name of the list, the key of a row, and its locker unless the query names one locker."""


def read_all(page: Callable[[Any, int], list[Any] | None], key: Key, limit: int) -> list[Any]:
    """Return all rows of a list, read in pages of up to `limit` rows. A short page is the last one, or partial."""
    rows: list[Any] = []
    after = None
    while True:
        found = page(after, limit)
        assert found is not None
        assert len(found) <= limit
        rows += found
        if isinstance(found, PartialRows):
            assert len(found) < limit
            after = found.through
        elif len(found) < limit:
            return rows
        else:
            after = key(found[-1])


def activity_of(lists: Listings, lockers: Lockers, position: int) -> Activity:
    """Return the activity of some lockers, counted from the rows of all."""
    totals = [row for row in lists.lockers(LockerQuery(), None, ALL) if lockers.allow(row.locker_id)]
    deposits = lists.reservations(ReservationQuery(Status.DEPOSITED), None, ALL)
    return Activity(
        sum(row.last_position >= position for row in totals),
        sum(row.changed_position <= position and lockers.allow(row.locker_id) for row in deposits),
    )


def network_of(lists: Listings, lockers: Lockers) -> NetworkTotals:
    own = [row for row in lists.lockers(LockerQuery(), None, ALL) if lockers.allow(row.locker_id)]
    faults = [row for row in lists.faults(FaultQuery(open=True), None, ALL) if lockers.allow(row.locker_id)]
    return NetworkTotals(
        len(own),
        **{name: sum(getattr(row, name) for row in own) for name in SUMMED},
        open_faults=dict(Counter(fault.severity for fault in faults)),
        last_position=max((row.last_position for row in own), default=0),
    )


def matches_of(lists: Listings, lockers: Lockers, prefix: str, limit: int) -> Matches:
    found = lists.search(prefix, ALL)
    own = [row.locker_id for row in lists.lockers(LockerQuery(), None, ALL) if lockers.allow(row.locker_id)]
    few = bound_listings.FEW_LOCKERS
    has_many = len(own) > few
    reservations = [lists.reservation(reservation_id) for reservation_id in found.reservations]
    events = zip(found.events, lists.records(position for _, position in found.events), strict=True)
    return Matches(
        [locker_id for locker_id in found.lockers if lockers.allow(locker_id)][:limit],
        [key for key in found.compartments if key[0] in own[:few]][:limit],
        [
            row.reservation_id
            for row in reservations
            if row and row.locker_id in own and (row.reservation_id == prefix or not has_many)
        ][:limit],
        [match for match, record in events if record.locker_id in own and len(prefix) >= 18][:limit],
    )

"""Lists that all stores answer alike: every filter, order and page against an independent model.

Histories and past states, which are read from the same rows, are compared in the same networks.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice, pairwise
from operator import methodcaller
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from psycopg.errors import LockNotAvailable

from lockstream.core.entities.listings import (
    CompartmentQuery,
    FaultQuery,
    LockerOrder,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.log import START
from lockstream.core.entities.state import LockerTotals, Reservation, Status
from lockstream.core.errors import StoreUnavailable, TooManyToSort
from lockstream.core.ports import Listings
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases import sorted_lockers
from lockstream.core.use_cases.time_travel import past_locker
from lockstream.infrastructure.id_index import index as id_index
from lockstream.infrastructure.postgres import unit_of_work as shared_log
from lockstream.infrastructure.rows import listings as sql_listings
from lockstream.infrastructure.rows.tables import PROJECTION_TABLES
from lockstream.infrastructure.stores import unit_of_work as own_log
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.infrastructure.stores.comparison import assert_past_matches, in_model_terms
from lockstream.tests.infrastructure.stores.listing_queries import (
    ALL,
    LOCKER_ORDERS,
    assert_same_histories,
    assert_same_lists,
    assert_same_times,
    key_of,
)
from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.infrastructure.stores.naive_listings import NaiveListings
from lockstream.tests.infrastructure.stores.network import (
    MEMORY_DISK,
    EmbeddedNetwork,
    MemoryNetwork,
    Network,
    PostgresNetwork,
    lists_of,
)
from lockstream.tests.infrastructure.stores.random_events import COMPARTMENTS, LOCKERS, Data, Sender
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import (
    LOCKER,
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.databases import connect
from lockstream.tests.support.histories import hashes

EVENT_ID = str(uuid5(NAMESPACE_OID, "3"))
"""Id of the fourth event that a `Sender` draws."""

EVENT_PREFIXES = (*"0123456789abcdefABCDEF", *(EVENT_ID[:end].upper() for end in (2, 8, 9, 10, 35, 36)))
PREFIXES = (
    *("", "l", "locker-1", "locker-1 ", "Schließ", "é", "reservation-1", "%", "_", "\U0010ffff"),
    *(
        *EVENT_PREFIXES,
        EVENT_ID,
        f"{EVENT_ID}0",
        EVENT_ID.replace("-", ""),
        f"{EVENT_ID[:8]}0",
        f"{EVENT_ID[:5]}\u212a",
    ),
)

HIGHEST = "\U0010ffff"
UNUSUAL_IDS = (
    *("%", "_", "a", "a%", "a%b", "a_", "a_b", "aXb", "ab", "A", "ä", "a\u0308", "\\", "'", "a\U0001f512"),
    *(HIGHEST, HIGHEST * 2, f"a{HIGHEST}", f"a{HIGHEST}b", HIGHEST * 128, "a" * 128, "\ud7ff", "\ue000", "\uffff"),
)
"""Ids that sort or match differently under other rules than those of code points and plain prefixes."""


def reference(network: Network[Any], model: Model) -> NaiveListings:
    return NaiveListings(model, [record.recorded_at for record in network.store.log.read(START)])


def ingest(network: Network[Any], model: Model, *bodies: Body) -> None:
    """Ingest one batch into the network and into the model."""
    outcomes = [in_model_terms(outcome) for outcome in network.ingest(*bodies)]
    assert outcomes == [model.expect(body) for body in bodies]


class ListedHistories(RuleBasedStateMachine):
    """Random batches and restarts, and then all lists, all histories, and states of the past."""

    def __init__(self, network: Network[Any]) -> None:
        super().__init__()
        self.network = network
        self.model = Model()
        self.sender = Sender(self.model)
        self.served: dict[int, dict[str, str]] = {}
        """The state hash of each locker that was served at a position, by locker id."""

    @rule(data=st.data(), size=st.integers(1, 12))
    def post_batch(self, data: Data, size: int) -> None:
        ingest(self.network, self.model, *(self.sender.draw(data) for _ in range(size)))
        self.served[len(self.model.accepted)] = hashes(self.network.store.reads)

    @rule(data=st.data())
    def restart(self, data: Data) -> None:
        getattr(self.network, data.draw(st.sampled_from(self.network.restarts)))()

    def teardown(self) -> None:
        try:
            self._assert_lists_match()
            self.network.rebuild()
            self._assert_lists_match()
        finally:
            self.network.close()

    def _assert_lists_match(self) -> None:
        expected, last = reference(self.network, self.model), self.network.store.log.end.position
        ids = (*LOCKERS, "unknown"), (*COMPARTMENTS, "unknown")

        def compare(lists: Listings) -> None:
            assert_same_lists(lists, expected, ids, PREFIXES, last)
            assert_same_histories(lists, expected, *ids)
            self._assert_past_matches(lists)

        lists_of(self.network, compare)

    def _assert_past_matches(self, lists: Listings) -> None:
        for position, served in self.served.items():
            states = [past_locker(lists, locker_id, position) for locker_id in LOCKERS]
            assert {state.locker_id: state_hash(state.locker) for state in states if state} == served
        for position in positions_before(lists.position):
            assert_past_matches(self.model, lists, position)


def positions_before(last: int) -> set[int]:
    """Return positions from 0 to after the last one. Of the events between, some and their followers are chosen."""
    chosen = Random(last).choices(range(1, last + 1), k=3) if last else []
    return {0, 1, last, last + 1, *chosen, *(position + 1 for position in chosen)}


class EmbeddedListedHistories(ListedHistories):
    def __init__(self) -> None:
        self.directory = TemporaryDirectory(dir=MEMORY_DISK)
        super().__init__(EmbeddedNetwork(Path(self.directory.name) / "event_log.jsonl"))

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.directory.cleanup()


def run(new_machine: Callable[[], RuleBasedStateMachine], count: int) -> None:
    run_state_machine_as_test(new_machine, settings=budget(examples(count), stateful_step_count=15))  # type: ignore[arg-type]


def test_lists_of_any_history_of_the_embedded_store_match_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "MEMTABLE_MIN", 10)  # so that a few dozen events compact the id index
    run(EmbeddedListedHistories, 12)


def test_lists_of_any_history_of_the_memory_store_match_the_model() -> None:
    run(lambda: ListedHistories(MemoryNetwork()), 4)


def test_lists_of_any_history_of_the_postgres_store_match_the_model(database: str) -> None:
    run(lambda: ListedHistories(PostgresNetwork(database)), 4)


def test_lists_of_unusual_ids_are_sorted_and_matched_by_code_points(network: Network[Any]) -> None:
    model, fault = Model(), fault_reported(3, "a", locker="a")
    ingest(network, model, *(registered("a", locker=one) for one in UNUSUAL_IDS))
    ingest(network, model, *(registered(one, locker="a") for one in UNUSUAL_IDS if one != "a"), fault)
    ingest(network, model, *(reserved(one, "a", locker=one) for one in UNUSUAL_IDS if one != "a"))

    expected, last = reference(network, model), network.store.log.end.position

    prefixes = ("", *UNUSUAL_IDS, "a" * 127, HIGHEST * 127)
    ids = ("a", "%"), ("a", HIGHEST)
    lists_of(network, lambda lists: assert_same_lists(lists, expected, ids, prefixes, last))


@pytest.mark.parametrize("form", ["00000000-0000-4000-8000-{:012x}", "0190a5e0-{:04x}-7000-8000-0190a5e00000"])
def test_events_whose_ids_begin_alike_are_sorted_and_found_in_any_case(network: Network[Any], form: str) -> None:
    # given events in the opposite order of their ids, which were sent in upper case
    ids = [form.format(0xA00 + number) for number in range(64)]
    network.ingest(*(registered(one, event_id=one.upper()) for one in reversed(ids)))
    expected = [(one, 64 - number) for number, one in enumerate(ids)]
    # when they are searched in upper and in lower case, then the first of them are found, sorted by id
    for prefix in ids[0][:1], ids[0][:9], ids[0][:10]:
        for text in prefix, prefix.upper():
            assert lists_of(network, methodcaller("search", text, 20)).events == expected[:20]
    for number in 0, 20, 63:
        assert lists_of(network, methodcaller("search", ids[number].upper(), 20)).events == [expected[number]]


def test_a_text_that_no_uuid_begins_with_finds_no_event(network: Network[Any]) -> None:
    event_id = "0190a5e0-0000-4000-8000-00000000000a"
    network.ingest(registered(event_id=event_id))
    assert lists_of(network, methodcaller("search", event_id, 20)).events == [(event_id, 1)]
    for text in (
        f"{event_id}0",
        event_id.replace("-", ""),
        "0190a5e0_",
        "0190a5e0%",
        "0190a5e-",
        "0190a5e00",
        " 0",
        "{0",
    ):
        assert lists_of(network, methodcaller("search", text, 20)).events == []


def test_lists_of_an_empty_network_are_empty(network: Network[Any]) -> None:
    assert lists_of(network, lambda lists: lists.network()) == NetworkTotals()
    assert lists_of(network, lambda lists: lists.lockers(LockerQuery(), None, ALL)) == []
    assert lists_of(network, lambda lists: lists.compartments(CompartmentQuery(LOCKER), None, ALL)) is None
    assert lists_of(network, lambda lists: lists.search("", ALL)) == Matches([], [], [], [])
    assert lists_of(network, lambda lists: lists.times([0])) == {}
    assert lists_of(network, lambda lists: lists.position_at(2**63)) == 0
    assert lists_of(network, lambda lists: lists.positions_at([])) == []
    assert lists_of(network, lambda lists: lists.positions_at([2**63, 0, 2**63])) == [0, 0, 0]


def test_a_page_beyond_the_last_compartment_of_a_locker_is_empty_and_not_unknown(network: Network[Any]) -> None:
    network.ingest(registered("a"))
    query = CompartmentQuery(LOCKER)
    assert lists_of(network, lambda lists: lists.compartments(query, "a", ALL)) == []
    assert lists_of(network, lambda lists: lists.compartments(query, "z", ALL)) == []


def test_a_page_of_a_prefix_begins_at_the_prefix_even_after_an_id_before_it(network: Network[Any]) -> None:
    network.ingest(*(registered(locker=one) for one in ("a", "b", "ba", "c")))
    for after, expected in (("a", ["b", "ba"]), ("b", ["ba"]), ("ba", []), ("z", [])):
        found = lists_of(network, methodcaller("lockers", LockerQuery("b"), after, ALL))
        assert [row.locker_id for row in found] == expected


def test_numbers_beyond_all_positions_are_limits_like_others(network: Network[Any]) -> None:
    network.ingest(registered(), reserved(), fault_reported(3))
    huge, changed = 2**70, ReservationQuery()
    assert len(lists_of(network, lambda lists: lists.reservations(changed, -huge, ALL))) == 1
    assert lists_of(network, lambda lists: lists.reservations(changed, huge, ALL)) == []
    descending = ReservationQuery(changed_through=huge, descending=True)
    assert len(lists_of(network, lambda lists: lists.reservations(descending, huge, ALL))) == 1
    assert lists_of(network, lambda lists: lists.reservations(descending, -huge, ALL)) == []
    assert lists_of(network, lambda lists: lists.faults(FaultQuery(min_severity=huge), None, ALL)) == []
    assert lists_of(network, lambda lists: lists.faults(FaultQuery(), huge, ALL)) == []
    assert lists_of(network, lambda lists: lists.position_at(huge)) == 3
    assert lists_of(network, lambda lists: lists.position_at(-huge)) == 0


@pytest.mark.parametrize("descending", [False, True])
def test_pages_neither_repeat_nor_skip_reservations_that_do_not_change(network: Network[Any], descending: bool) -> None:
    names = [f"r{number:02d}" for number in range(12)]
    network.ingest(*(registered(name) for name in names), *(reserved(name, name) for name in names))
    changes = iter([*(deposited(name) for name in names[::2]), *(expired(name) for name in names[1::2])])
    found: list[str] = []

    for page in pages(network, ReservationQuery(order=ReservationOrder.ID, descending=descending)):
        found += [row.reservation_id for row in page]
        network.ingest(next(changes))

    assert found == sorted(names, reverse=descending)


def test_a_reservation_that_changes_between_pages_moves_to_the_end_of_its_list(network: Network[Any]) -> None:
    names = [f"r{number}" for number in range(6)]
    network.ingest(*(registered(name) for name in names), *(reserved(name, name) for name in names))
    found: list[Reservation] = []

    for page in pages(network, ReservationQuery()):
        found += page
        if len(found) == 2:
            network.ingest(deposited("r4"), deposited("r0"))

    assert [row.reservation_id for row in found] == ["r0", "r1", "r2", "r3", "r5", "r4", "r0"]
    assert all(one.changed_position < other.changed_position for one, other in pairwise(found))


def pages(network: Network[Any], query: ReservationQuery) -> Iterator[list[Reservation]]:
    """Yield the pages of a list, with two reservations each. Each page is read when the caller asks for it."""

    def read(lists: Listings) -> list[Reservation]:
        return lists.reservations(query, after, 2)

    after = None
    while page := lists_of(network, read):
        yield page
        after = getattr(page[-1], key_of(query))


@pytest.mark.parametrize(("order", "descending"), LOCKER_ORDERS)
def test_pages_neither_repeat_nor_skip_lockers_that_do_not_change(
    network: Network[Any], order: LockerOrder, descending: bool
) -> None:
    # given lockers of which two at a time have equal counts, and lockers that change and come first or last
    names = [f"l{number:02}" for number in range(12)]
    for number, name in enumerate(names):
        doors = [f"{door}" for door in range(1 + number // 2)]
        network.ingest(*(registered(door, locker=name) for door in doors), fault_reported(3, "0", locker=name))
    changing = iter([f"{first}{number}" for number in range(6) for first in "az"])
    query = LockerQuery(order=order, descending=descending)
    found: list[str] = []

    for page in locker_pages(network, query):
        found += [row.locker_id for row in page]
        network.ingest(*(registered(locker=name) for name in islice(changing, 1)))

    assert [one for one in found if one in names] == sorted(names, reverse=descending)


@pytest.mark.parametrize(
    ("descending", "expected"), [(False, ["l0", "l1", "l2", "l4", "l5", "l3", "l0"]), (True, ["l5", "l4", "l2", "l1"])]
)
def test_a_locker_with_a_new_event_moves_to_the_end_of_its_list(
    network: Network[Any], descending: bool, expected: list[str]
) -> None:
    network.ingest(*(registered(locker=f"l{number}") for number in range(6)))
    found: list[str] = []

    for page in locker_pages(network, LockerQuery(order=LockerOrder.LAST_EVENT, descending=descending)):
        found += [row.locker_id for row in page]
        if len(found) == 2:
            network.ingest(registered("another", locker="l3"), registered("another", locker="l0"))

    assert found == expected


@pytest.mark.parametrize("order", [LockerOrder.AVAILABLE, LockerOrder.DEGRADED])
def test_a_locker_whose_count_changes_between_pages_moves_to_its_new_place(
    network: Network[Any], order: LockerOrder
) -> None:
    """A later page lists a locker again if it moves there. No page lists one that moves to a page read before."""
    counts = {"l0": 1, "l1": 2, "l2": 3, "l3": 4}
    doors = [(name, str(door)) for name, count in counts.items() for door in range(count)]
    faults = {(name, door): fault_reported(3, door, locker=name) for name, door in doors}
    added = [("l0", "1"), ("l0", "2")]
    network.ingest(*(registered(door, locker=name) for name, door in doors))
    changes = [
        *(registered(door, locker=name) for name, door in added),
        *(fault for (name, _), fault in faults.items() if name == "l3"),
    ]
    if order is LockerOrder.DEGRADED:
        network.ingest(*faults.values(), *changes[:2])
        changes = [
            *(fault_reported(3, door, locker=name) for name, door in added),
            *(fault_cleared(fault, door, locker=name) for (name, door), fault in faults.items() if name == "l3"),
        ]
    found: list[str] = []

    for page in locker_pages(network, LockerQuery(order=order)):
        found += [row.locker_id for row in page]
        if len(found) == 2:  # the count of l0 becomes 3, and that of l3 becomes 0
            network.ingest(*changes)

    assert found == ["l0", "l1", "l0", "l2"]


def locker_pages(network: Network[Any], query: LockerQuery) -> Iterator[list[LockerTotals]]:
    """Yield the pages of a list, with two lockers each. Each page is read when the caller asks for it."""
    after = None
    while page := lists_of(network, methodcaller("lockers", query, after, 2)):
        yield page
        after = query.key_of(page[-1])


def test_lockers_that_no_index_has_in_their_order_are_sorted_if_they_are_few(
    network: Network[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given five lockers, of which four begin alike
    for module in (sorted_lockers, sql_listings):
        monkeypatch.setattr(module, "MAX_SORTED", 3)
    network.ingest(*(registered(locker=one) for one in ("a1", "a2", "a3", "a4", "b1")))

    def find(query: LockerQuery) -> list[str]:
        return [row.locker_id for row in lists_of(network, methodcaller("lockers", query, None, ALL))]

    # then three of them are sorted
    for order in LockerOrder:
        assert find(LockerQuery("b", order=order)) == ["b1"]
        assert find(LockerQuery("a", available=False, order=order)) == []
    # and four are not, unless an index has them in this order
    for order in (LockerOrder.LAST_EVENT, LockerOrder.AVAILABLE, LockerOrder.DEGRADED):
        with pytest.raises(
            TooManyToSort, match=rf"^More than 3 lockers pass the filters, too many to sort by {order}\."
        ):
            find(LockerQuery("a", order=order))
    with pytest.raises(TooManyToSort, match=r" Narrow the filters, or sort by id\.$"):
        find(LockerQuery(order=LockerOrder.AVAILABLE))
    with pytest.raises(TooManyToSort, match=r" sort by id, or filter by silent and gone alone\.$"):
        find(LockerQuery(degraded=False, order=LockerOrder.LAST_EVENT))
    with pytest.raises(TooManyToSort, match=r" sort by id, or filter by available and degraded alone\.$"):
        find(LockerQuery(silent=False, order=LockerOrder.DEGRADED))
    for query in (
        LockerQuery("a", True, False, False, False),
        LockerQuery("", None, None, False, False, order=LockerOrder.LAST_EVENT),
        LockerQuery("", True, False, order=LockerOrder.DEGRADED),
    ):
        assert len(find(query)) > 3


def test_a_list_of_one_status_leaves_out_a_reservation_once_it_has_another(network: Network[Any]) -> None:
    network.ingest(registered("a"), registered("b"), reserved("r1", "a"), reserved("r2", "b"))
    query = ReservationQuery(Status.CREATED)
    assert len(lists_of(network, lambda lists: lists.reservations(query, None, ALL))) == 2
    network.ingest(deposited("r1"), picked_up("r1"))
    [row] = lists_of(network, lambda lists: lists.reservations(query, None, ALL))
    assert row.reservation_id == "r2"


@pytest.mark.parametrize("network", ["embedded", "postgres"], indirect=True)
def test_a_past_state_needs_no_fault_that_was_cleared_before_an_earlier_one(network: Network[Any]) -> None:
    """Otherwise the past of a door that flaps while another fault is open would take ever longer."""
    # given an open fault, and others that came and went meanwhile
    lasting = fault_reported(3)
    network.ingest(registered(), lasting)
    for _ in range(5):
        network.ingest(fault := fault_reported(4), fault_cleared(fault))
    # when the first one is cleared and another one comes, then only these two matter
    network.ingest(last := fault_reported(5), fault_cleared(lasting))
    for position, expected in ((12, [lasting]), (13, [lasting, last]), (14, [lasting, last])):
        found = lists_of(network, methodcaller("lasting_rows", LOCKER, None, position))
        assert [row.fault_id for row in found.faults] == [fault["event_id"] for fault in expected]


@pytest.mark.parametrize("network", ["embedded", "postgres"], indirect=True)
def test_all_parts_of_one_list_reflect_one_moment(network: Network[Any]) -> None:
    fault = fault_reported(3)
    network.ingest(registered(), fault)

    def read(lists: Listings) -> tuple[Any, ...]:
        before = lists.network(), lists.faults(FaultQuery(open=True), None, ALL), lists.lockers(LockerQuery(), None, 1)
        network.ingest(fault_cleared(fault), registered("another"), reserved())
        after = lists.network(), lists.faults(FaultQuery(open=True), None, ALL), lists.lockers(LockerQuery(), None, 1)
        assert before == after
        return before

    result = network.store.list(read)

    assert result.position == 2
    assert result.value[0] == NetworkTotals(1, 1, 0, 0, 0, 1, 0, 0, {3: 1})
    assert lists_of(network, lambda lists: lists.network()) == NetworkTotals(1, 2, 1, 1, 0, 0, 0, 0, {})


def test_an_error_of_the_query_is_raised_and_the_next_list_is_read(network: Network[Any]) -> None:
    network.ingest(registered())
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            network.store.list(lambda lists: len(lists.search("", ALL).lockers) // 0)
    assert lists_of(network, lambda lists: lists.search("", ALL).lockers) == [LOCKER]


def test_times_of_a_clock_that_was_set_back(network: Network[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The event with the latest time that is not after the given one counts."""
    model = Model()
    for index, minute in enumerate((10, 20, 30, 15, 20, 25, 40)):
        now = f"2026-11-23T08:{minute}:00.000000Z"
        for module in (own_log, shared_log):
            monkeypatch.setattr(module, "utc_now", partial(str, now))
        ingest(network, model, registered(f"a{index}"), registered(f"b{index}"))
        expected, last = reference(network, model), network.store.log.end.position
        lists_of(network, partial(assert_same_times, expected=expected, last=last))

    at = {minute: 1_795_421_280_000_000 + (minute - 8) * 60_000_000 for minute in (9, 12, 17, 20, 22, 31, 50)}
    found = lists_of(network, lambda lists: {minute: lists.position_at(time) for minute, time in at.items()})
    assert found == {9: 0, 12: 2, 17: 8, 20: 10, 22: 10, 31: 6, 50: 14}


def test_the_embedded_store_lists_what_was_checkpointed(embedded: EmbeddedNetwork) -> None:
    embedded.ingest(registered("a"))
    embedded.ingest_and_flush(registered("b"))
    result = embedded.store.list(lambda lists: lists.compartments(CompartmentQuery(LOCKER), None, ALL))
    assert result.position == 1
    assert result.value is not None
    assert [row.compartment_id for row in result.value] == ["a"]


def test_a_damaged_projection_makes_lists_unavailable(embedded: EmbeddedNetwork) -> None:
    embedded.ingest(registered("a"))
    with closing(sqlite3.connect(projection_path(embedded.path), isolation_level=None)) as other_program:
        other_program.execute("UPDATE lockers SET available = 'many'")
        with pytest.raises(StoreUnavailable, match="could not be read"):
            embedded.store.list(lambda lists: lists.lockers(LockerQuery(), None, ALL))
        other_program.execute("DROP TABLE network")
        with pytest.raises(StoreUnavailable, match="could not be read"):
            embedded.store.list(lambda lists: lists.network())


def test_no_rebuild_can_replace_the_tables_while_a_list_is_read(postgres: PostgresNetwork, database: str) -> None:
    postgres.ingest(registered())

    def read(lists: Listings) -> NetworkTotals:
        with closing(connect(database)) as rebuild:
            rebuild.execute("SET lock_timeout = '10ms'")
            for table in PROJECTION_TABLES:
                with pytest.raises(LockNotAvailable):
                    rebuild.execute(f"DROP TABLE {table.name}")
        return lists.network()

    assert postgres.store.list(read).value.compartments == 1

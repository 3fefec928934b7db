"""The quarantine of every store: merging, filters, bounds and counts."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import EVENT_TYPES, CompartmentRegistered, FaultReported
from lockstream.core.entities.quarantine import (
    ENTRY_BYTES,
    MALFORMED_BODIES,
    Discard,
    EntryKind,
    EntryStatus,
    QuarantineChanges,
    QuarantineLimits,
    QuarantineQuery,
    QuarantineTotals,
    with_reused_id,
)
from lockstream.core.ports import QuarantineStore
from lockstream.infrastructure.postgres.connection import Database
from lockstream.infrastructure.postgres.quarantine.store import PostgresQuarantine
from lockstream.infrastructure.quarantine.store import FileQuarantine
from lockstream.tests.support.databases import execute
from lockstream.tests.support.quarantine import (
    accepted_event,
    all_entries,
    body_of,
    id_of,
    malformed,
    numbers_of,
    refused,
    reused,
    time_at,
    write,
)

type Open = Callable[[QuarantineLimits], QuarantineStore]

DISCARD = Discard("a test of the technician", time_at(5_000))
LIMITS = QuarantineLimits()
SMALL = QuarantineLimits(entries=40)
ODD_TEXTS = ["", "Schließfach \U0001f512", "a\0b", "\ud800", "'\\\"\n\t\x01", "\\x00"]


@pytest.fixture(params=["memory", "file", "postgres"])
def open_store(request: pytest.FixtureRequest) -> Open:
    """A function that opens a quarantine, and closes the one that it has opened before."""
    opened: Open = request.getfixturevalue(f"open_{request.param}")
    return opened


@pytest.fixture(params=["file", "postgres"])
def open_lasting(request: pytest.FixtureRequest) -> Open:
    """A function that opens a quarantine that outlives its process."""
    opened: Open = request.getfixturevalue(f"open_{request.param}")
    return opened


@pytest.fixture
def open_memory() -> Iterator[Open]:
    yield from closing_all(FileQuarantine)


@pytest.fixture
def open_file(log_path: Path) -> Iterator[Open]:
    yield from closing_all(lambda limits: FileQuarantine(limits, log_path.with_suffix(".quarantine")))


@pytest.fixture
def open_postgres(database: str) -> Iterator[Open]:
    execute(database, "TRUNCATE quarantine, quarantine_malformed, quarantine_totals; TRUNCATE events")
    databases: list[Database] = []

    def open_one(limits: QuarantineLimits) -> PostgresQuarantine:
        databases.append(Database(database))
        return PostgresQuarantine(databases[-1], limits)

    yield from closing_all(open_one)
    for one in databases:
        one.close()


def closing_all(open_one: Open) -> Iterator[Open]:
    stores: list[QuarantineStore] = []

    def reopen(limits: QuarantineLimits) -> QuarantineStore:
        for store in stores:
            store.close()
        stores.append(open_one(limits))
        return stores[-1]

    yield reopen
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open) -> QuarantineStore:
    return open_store(LIMITS)


def test_an_empty_quarantine_has_nothing(store: QuarantineStore) -> None:
    assert store.entry(id_of(1)) is None
    assert all_entries(store) == []
    assert store.totals() == QuarantineTotals()
    assert store.malformed(None, 10) == []
    assert store.discard(id_of(1), DISCARD) is None
    assert (set(store.refused_ids), store.is_behind) == (set(), False)


def test_an_arrival_makes_an_entry_with_the_next_number(store: QuarantineStore) -> None:
    write(store, refused(7), reused(3))
    write(store, refused(5))

    assert all_entries(store) == [
        replace(refused(7), number=1),
        replace(reused(3), number=2),
        replace(refused(5), number=3),
    ]
    assert store.entry(id_of(3)) == replace(reused(3), number=2)
    assert store.entry(id_of(4)) is None


def test_arrivals_of_the_same_id_are_counted_on_one_entry(store: QuarantineStore) -> None:
    # given an entry
    write(store, refused(1, 10, count=2))

    # when its event comes again, from elsewhere, with another body, and is refused for another reason
    later = refused(1, 20, count=3, code="compartment_occupied", detail="new", address="::1", body="{}")
    write(store, later)

    # then the newest arrival is shown, with the count of all and the first time
    assert all_entries(store) == [replace(later, count=5, first_at=time_at(10), number=1)]
    assert store.totals().open == {"compartment_occupied": 1}


def test_an_arrival_from_another_locker_takes_the_place_of_an_entry_and_of_its_count(store: QuarantineStore) -> None:
    write(store, refused(1, 10, count=2))

    later = refused(1, 20, locker_id="l2")
    write(store, later)

    # whoever reads the entries of l2 does not learn of the arrivals before
    assert all_entries(store) == [replace(later, number=1)]


@pytest.mark.parametrize("patterns", [["a"], ["a*"], ["*"], [], ["aa", "b*"], ["a%*", "_"], ["c", 'd"*']])
def test_entries_and_totals_of_some_lockers_have_nothing_of_others(store: QuarantineStore, patterns: list[str]) -> None:
    # given entries of two kinds, some of them discarded, and other counts
    ids = ["a", "aa", "ab", "b", "ba", "a%", 'd"x', "_", "x", "A"]
    arrivals = [
        (reused if number % 3 else refused)(number, locker_id=one, code=f"code{number % 2}")
        for number, one in enumerate(ids * 2, 1)
    ]
    write(store, *arrivals, dropped=3, unchecked_duplicates=5, malformed_counts={"missing": 1})
    for arrival in arrivals[::4]:
        assert store.discard(arrival.event_id, DISCARD)

    # when those of some lockers are read
    lockers = Lockers.of(patterns)
    open_ones, discarded = (all_entries(store, status=status, lockers=lockers) for status in EntryStatus)

    # then they are those that have a locker of the patterns
    own = [entry for entry in all_entries(store) if lockers.allow(entry.locker_id)]
    assert open_ones == own
    assert discarded == [
        entry for entry in all_entries(store, status=EntryStatus.DISCARDED) if lockers.allow(entry.locker_id)
    ]
    # and the totals count nothing else
    assert store.totals(lockers) == QuarantineTotals(Counter(entry.code for entry in own), len(discarded))
    # and a page begins behind a number, whosever it is
    assert [
        store.entries(QuarantineQuery(lockers=lockers, descending=False), after, 1) for after in range(len(arrivals))
    ] == [[entry for entry in own if entry.number > after][:1] for after in range(len(arrivals))]


@pytest.mark.parametrize(("earlier", "later"), [(refused, reused), (reused, refused)])
def test_the_newest_arrival_decides_the_kind(store: QuarantineStore, earlier: type, later: type) -> None:
    write(store, earlier(1))
    write(store, later(1, 2))
    [entry] = all_entries(store)
    assert (entry.kind, entry.count) == (later(1).kind, 2)
    assert entry.event_id not in store.refused_ids or entry.kind is EntryKind.REFUSED


def test_a_new_decision_changes_the_reason_alone(store: QuarantineStore) -> None:
    write(store, refused(1, 10))
    write(store, reused(1, 20, count=0, detail="new", address="::1", body="{}"))
    assert all_entries(store) == [replace(reused(1, 10, detail="new"), number=1)]


def test_a_new_decision_on_an_entry_that_has_left_makes_no_entry(store: QuarantineStore) -> None:
    write(store, refused(1, count=0), refused(2))
    assert numbers_of(all_entries(store)) == [2]
    assert store.totals() == QuarantineTotals(open={"unknown_compartment": 1})


def test_accepted_events_leave_if_they_were_refused(store: QuarantineStore) -> None:
    write(store, refused(1), reused(2), refused(3))
    assert store.discard(id_of(1), DISCARD)
    write(store, accepted=[accepted_event(number) for number in (1, 2, 4)])
    assert numbers_of(all_entries(store)) == [2, 3]
    assert store.totals() == QuarantineTotals(open={"event_id_reused": 1, "unknown_compartment": 1})


def test_an_event_that_comes_again_after_it_was_accepted_makes_an_entry(store: QuarantineStore) -> None:
    """Within one second, an event is accepted, and another event comes with its id."""
    write(store, refused(1))
    write(store, reused(1, 2), accepted=[accepted_event(1)])
    [entry] = all_entries(store)
    assert entry.kind is EntryKind.REUSED_ID


def test_another_event_that_was_accepted_under_its_id_leaves_an_entry_of_a_reused_id(store: QuarantineStore) -> None:
    # given three refused events, one of which is discarded
    write(store, refused(1), refused(2), refused(3))
    store.discard(id_of(2), DISCARD)

    # when other events are accepted under the ids of two, and of one that arrives at the same time
    accepted = [accepted_event(number, "other", position) for position, number in enumerate((1, 2, 4), 7)]
    write(store, refused(4), accepted=accepted)

    # then they stay, and name the position of the accepted event
    assert all_entries(store) == [
        replace(with_reused_id(refused(1), 7), number=1),
        replace(refused(3), number=3),
        replace(with_reused_id(refused(4), 9), number=4),
    ]
    [discarded] = all_entries(store, status=EntryStatus.DISCARDED)
    assert discarded == replace(with_reused_id(refused(2), 8), number=2, discard=DISCARD)
    assert store.totals() == QuarantineTotals(open={"event_id_reused": 2, "unknown_compartment": 1}, discarded=1)
    assert not {id_of(1), id_of(2), id_of(4)} & set(store.refused_ids)

    # and the same event has no effect on them later
    write(store, accepted=[accepted_event(1)])
    assert numbers_of(all_entries(store)) == [1, 3, 4]


def test_white_space_and_the_order_of_members_are_no_other_content(store: QuarantineStore) -> None:
    body = body_of(1)
    write(store, refused(1, body=json.dumps(dict(reversed(body.items())), indent=1)))
    write(store, accepted=[accepted_event(1)])
    assert all_entries(store) == []


def test_an_event_that_arrives_and_is_accepted_within_one_write_makes_no_entry(store: QuarantineStore) -> None:
    write(store, refused(1), accepted=[accepted_event(1)])
    write(store, refused(2))
    assert [(entry.event_id, entry.number) for entry in all_entries(store)] == [(id_of(2), 2)]


def test_an_entry_whose_body_is_no_event_stays_if_an_event_is_accepted_under_its_id(store: QuarantineStore) -> None:
    write(store, refused(1, body="{}"))
    write(store, accepted=[accepted_event(1)])
    assert store.totals().open == {"event_id_reused": 1}


def test_a_discarded_entry_is_open_again_when_another_body_comes_with_its_id(store: QuarantineStore) -> None:
    # given a discarded entry whose event came again with the same body
    write(store, refused(1))
    store.discard(id_of(1), DISCARD)
    write(store, refused(1, 2))
    assert all_entries(store) == []

    # when another body comes, and is decided afresh
    later = refused(1, 3, body=json.dumps(body_of(1, "other")))
    write(store, later)
    write(store, replace(later, count=0, code="other"))

    # then the entry needs a new decision
    assert all_entries(store) == [replace(later, first_at=time_at(1), count=3, code="other", number=1)]
    assert all_entries(store, status=EntryStatus.DISCARDED) == []
    assert store.totals() == QuarantineTotals(open={"other": 1})


def test_a_discarded_entry_stays_discarded_when_its_event_comes_again(store: QuarantineStore) -> None:
    # given two entries, one of which is discarded
    write(store, refused(1), refused(2))
    expected = replace(refused(1), number=1, discard=DISCARD)
    assert store.discard(id_of(1), DISCARD) == expected
    assert store.entry(id_of(1)) == expected
    assert store.totals() == QuarantineTotals(open={"unknown_compartment": 1}, discarded=1)

    # when its event comes again, and is decided afresh
    write(store, refused(1, 30))
    write(store, refused(1, 30, count=0, code="other"))

    # then it is counted, and nothing else
    [entry] = all_entries(store, status=EntryStatus.DISCARDED)
    assert entry == replace(refused(1, 30), first_at=time_at(1), count=2, code="other", number=1, discard=DISCARD)
    assert numbers_of(all_entries(store)) == [2]


def test_a_second_decision_replaces_the_first(store: QuarantineStore) -> None:
    write(store, refused(1))
    store.discard(id_of(1), DISCARD)
    second = Discard("another reason", time_at(6_000))
    assert store.discard(id_of(1), second) == replace(refused(1), number=1, discard=second)


def some_entries(store: QuarantineStore) -> None:
    """Write 200 entries of all kinds, of which every seventh is discarded."""
    choose = random.Random(1).choice
    entries = [
        choose([refused, reused])(
            number,
            code=choose(["unknown_compartment", "compartment_occupied"]),
            locker_id=choose(["locker-1", "locker-2", "Ä"]),
            type=choose(list(EVENT_TYPES)),
        )
        for number in range(200)
    ]
    write(store, *random.Random(2).sample(entries, len(entries)))
    for number in range(0, 200, 7):
        store.discard(id_of(number), DISCARD)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    "query",
    [
        QuarantineQuery(),
        QuarantineQuery(status=EntryStatus.DISCARDED),
        QuarantineQuery(kind=EntryKind.REUSED_ID),
        QuarantineQuery(kind=EntryKind.REFUSED),
        QuarantineQuery(code="compartment_occupied"),
        QuarantineQuery(code="none of these"),
        QuarantineQuery(locker_id="Ä"),
        QuarantineQuery(event_type=CompartmentRegistered),
        QuarantineQuery(since=time_at(150)),
        QuarantineQuery(since="2027"),
        QuarantineQuery(EntryStatus.OPEN, EntryKind.REFUSED, "unknown_compartment", "locker-1", None, time_at(20)),
        QuarantineQuery(EntryStatus.DISCARDED, None, None, "locker-2", FaultReported),
    ],
)
def test_a_list_has_what_its_filters_let_through_page_by_page(
    store: QuarantineStore, query: QuarantineQuery, descending: bool
) -> None:
    some_entries(store)
    query = replace(query, descending=descending)
    whole = [store.entry(id_of(number)) for number in range(200)]
    expected = sorted(
        (entry for entry in whole if entry and query.matches(entry)),
        key=lambda entry: entry.number,
        reverse=descending,
    )

    found = store.entries(query, None, 7)
    while page := store.entries(query, found[-1].number if found else None, 7):
        assert len(page) <= 7
        found += page
    assert found == expected


def test_a_page_begins_behind_a_number_whose_entry_has_left(store: QuarantineStore) -> None:
    write(store, *map(refused, range(1, 6)))
    write(store, accepted=[accepted_event(3)])
    assert numbers_of(store.entries(QuarantineQuery(), 3, 10)) == [2, 1]
    assert numbers_of(store.entries(QuarantineQuery(descending=False), 3, 10)) == [4, 5]


@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_the_oldest_entries_of_a_locker_leave_if_there_are_too_many(open_store: Open, count: int) -> None:
    store = open_store(QuarantineLimits(entries=count))
    write(store, *map(refused, range(1, 8)), dropped=5)
    assert numbers_of(all_entries(store)) == list(range(1, 8))[-count:] * bool(count)
    assert store.totals().dropped == 5 + max(0, 7 - count)


def test_an_entry_whose_event_comes_again_is_new_again(open_store: Open) -> None:
    store = open_store(QuarantineLimits(entries=3))
    write(store, *map(refused, range(1, 4)))
    write(store, refused(1, 10), refused(4, 11))
    assert numbers_of(all_entries(store)) == [1, 3, 4]


def test_decisions_make_no_entry_newer(open_store: Open) -> None:
    store = open_store(QuarantineLimits(entries=3))
    write(store, *map(refused, range(1, 4)))
    store.discard(id_of(1), DISCARD)
    write(store, reused(1, 20, count=0))
    write(store, refused(4, 21))
    assert store.entry(id_of(1)) is None
    assert numbers_of(all_entries(store)) == [2, 3, 4]


@pytest.mark.parametrize("text", ["x" * 1_000, "é" * 500])
def test_the_oldest_entries_leave_if_they_are_too_large(open_store: Open, text: str) -> None:
    store = open_store(QuarantineLimits(bytes=3 * (1_000 + ENTRY_BYTES)))
    write(store, *(refused(number, body=text) for number in range(1, 4)))
    assert numbers_of(all_entries(store)) == [1, 2, 3]
    write(store, refused(4, body=""))
    assert numbers_of(all_entries(store)) == [2, 3, 4]
    write(store, refused(5, body="x" * 4_000))
    assert (all_entries(store), store.totals().dropped) == ([], 5)


def test_entries_leave_some_days_after_their_last_arrival(open_store: Open) -> None:
    store = open_store(QuarantineLimits(days=1))
    write(store, refused(1), refused(2), refused(3))
    write(store, refused(1, 10), second=10)
    next_day = "2026-11-24T00:00:03.000000Z"
    write(store, refused(4, last_at=next_day))
    store.write(QuarantineChanges(next_day))
    assert numbers_of(all_entries(store)) == [1, 3, 4]
    assert store.totals().dropped == 1


@pytest.mark.parametrize("divided_by", ["address", "locker_id"])
def test_whoever_sends_few_bytes_loses_nothing_to_whoever_sends_many(open_store: Open, divided_by: str) -> None:
    small_sender: dict[str, Any] = {divided_by: "small"}
    large_sender: dict[str, Any] = {divided_by: "large"}
    # given 100 small entries of one client
    store = open_store(QuarantineLimits(bytes=600_000))
    small = [refused(number, body="x" * 300, **small_sender) for number in range(100)]
    assert write(store, *small) == 0
    # when another one sends newer ones of 60 KB, far beyond the bound
    dropped = 0
    for first in range(200, 260, 20):
        numbers = range(first, first + 20)
        dropped += write(store, *(refused(one, body="x" * 60_000, **large_sender) for one in numbers))
    # then it has displaced its own alone, and has some 540 KB left
    entries = all_entries(store)
    assert numbers_of(entries)[:100] == list(range(100))
    assert numbers_of(entries)[100:] == list(range(252, 260))
    assert store.totals().dropped == dropped == 52


@pytest.mark.parametrize("divided_by", ["address", "locker_id"])
def test_the_number_of_entries_is_bounded_by_those_of_whoever_has_the_most_bytes(
    open_store: Open, divided_by: str
) -> None:
    small_sender: dict[str, Any] = {divided_by: "small"}
    large_sender: dict[str, Any] = {divided_by: "large"}
    store = open_store(QuarantineLimits(entries=40))
    write(store, *(refused(number, body="x" * 300, **small_sender) for number in range(39)))
    write(store, *(refused(number, body="x" * 60_000, **large_sender) for number in range(100, 103)))
    assert numbers_of(all_entries(store)) == [*range(39), 102]


def test_a_write_returns_how_many_entries_and_arrivals_were_dropped(open_store: Open) -> None:
    store = open_store(QuarantineLimits(entries=3, days=1))
    assert write(store, refused(1), refused(2), refused(3)) == 0
    assert write(store, refused(4), refused(5), dropped=4) == 6
    assert store.write(QuarantineChanges("2026-11-24T00:00:04.500000Z", dropped=1)) == 3
    assert (numbers_of(all_entries(store)), store.totals().dropped) == ([5], 9)


def test_an_address_with_many_ids_displaces_its_own_alone(open_store: Open) -> None:
    store = open_store(SMALL)
    # given 10 old entries of one address
    write(store, *(refused(number, address="quiet") for number in range(10)))
    # when another one sends 1,000 ids, in 10 writes
    for first in range(100, 1_100, 100):
        write(store, *(refused(number, address="loud") for number in range(first, first + 100)))
    # then the other one has the rest of the room, for its newest ones
    assert numbers_of(all_entries(store)) == [*range(10), *range(1_100 - 30, 1_100)]


def test_a_locker_with_many_ids_displaces_its_own_alone(open_store: Open) -> None:
    """Lockers often come from one address, that of a gateway."""
    store = open_store(SMALL)
    write(store, *(refused(number, locker_id="quiet") for number in range(10)))
    for first in range(100, 1_100, 100):
        write(store, *(refused(number, locker_id="loud") for number in range(first, first + 100)))
    assert numbers_of(all_entries(store)) == [*range(10), *range(1_100 - 30, 1_100)]


def test_an_address_that_invents_lockers_displaces_its_own_alone(open_store: Open) -> None:
    store = open_store(SMALL)
    write(store, *(refused(number, address="quiet") for number in range(15)))
    for first in range(100, 1_100, 100):
        numbers = range(first, first + 100)
        write(store, *(refused(number, address="loud", locker_id=f"locker-{number}") for number in numbers))
    found = numbers_of(all_entries(store))
    assert found[:15] == list(range(15))
    assert len(found) == SMALL.entries


def test_addresses_share_a_room_that_is_too_small_for_all(open_store: Open) -> None:
    store = open_store(QuarantineLimits(entries=9))
    shares = {"a": range(10), "b": range(10, 14), "c": range(14, 16)}
    write(store, *(refused(number, address=address) for address, numbers in shares.items() for number in numbers))
    entries = all_entries(store)
    assert [sum(entry.address == address for entry in entries) for address in shares] in ([3, 4, 2], [4, 3, 2])


def test_malformed_bodies_are_kept_and_counted(store: QuarantineStore) -> None:
    # given some malformed bodies, of which one came twice in a row, in two writes
    write(store, malformed=[malformed("a", 1), malformed("b", 2)], malformed_counts={"invalid_json": 2})
    write(store, malformed=[malformed("b", 3, count=2), malformed("b", 4, address="::1"), malformed("a", 5)])
    write(store, malformed=[malformed("a", 6, reason="other")], malformed_counts={"invalid_json": 7, "other": 1})

    # then they are shown, the newest first
    expected = [
        malformed("a", 6, reason="other", number=5),
        malformed("a", 5, number=4),
        malformed("b", 4, address="::1", number=3),
        malformed("b", 2, last_at=time_at(3), count=3, number=2),
        malformed("a", 1, number=1),
    ]
    assert store.malformed(None, 10) == expected
    assert store.malformed(None, 2) == expected[:2]
    assert store.malformed(3, 10) == expected[3:]
    assert store.malformed(1, 10) == []
    assert store.totals() == QuarantineTotals(malformed={"invalid_json": 9, "other": 1})


def test_the_newest_malformed_bodies_are_kept(store: QuarantineStore) -> None:
    for first in range(0, MALFORMED_BODIES + 200, 400):
        write(store, malformed=[malformed(str(number)) for number in range(first, first + 400)])
    assert [body.body for body in store.malformed(None, 10_000)] == [str(number) for number in range(1_199, 199, -1)]


def test_more_malformed_bodies_than_are_kept_may_come_at_once(store: QuarantineStore) -> None:
    write(store, malformed=[malformed(str(number)) for number in range(1_500)])
    kept = store.malformed(None, 10_000)
    assert (kept[0].body, kept[-1].body, len(kept)) == ("1499", "500", MALFORMED_BODIES)


def test_totals_add_up_over_writes(store: QuarantineStore) -> None:
    for _ in range(3):
        write(store, dropped=2, unchecked_duplicates=5, malformed_counts={"too_large": 1})
    assert store.totals() == QuarantineTotals(dropped=6, unchecked_duplicates=15, malformed={"too_large": 3})


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_texts_of_all_kinds_can_be_kept(store: QuarantineStore, text: str) -> None:
    entry, body = refused(1, detail=text, locker_id=text, address=text, body=text), malformed(text)
    write(store, entry, malformed=[body], malformed_counts={"a": 1})
    assert all_entries(store) == [replace(entry, number=1)]
    assert store.malformed(None, 1) == [replace(body, number=1)]
    assert store.discard(id_of(1), Discard(text, time_at(1)))
    if text in ("a\0b", "\ud800"):
        assert (entry.body, body.body) == (ascii(text)[1:-1],) * 2
    else:
        assert (entry.body, body.body) == (text, text)


def test_the_entries_are_the_same_after_a_restart(open_lasting: Open) -> None:
    # given entries of all kinds, some of which have left
    store = open_lasting(QuarantineLimits(entries=180))
    some_entries(store)
    write(store, refused(3, 500), reused(4, count=0), accepted=[accepted_event(number) for number in range(50)])
    write(store, malformed=[malformed(text) for text in "aabc"], malformed_counts={"invalid_json": 4})
    write(store, malformed=[malformed("c", 2)], malformed_counts={"invalid_json": 1}, unchecked_duplicates=3)
    before = contents_of(store)
    assert before[2].dropped >= 20

    # when the process restarts
    store = open_lasting(QuarantineLimits(entries=180))

    # then nothing has changed, and the next number follows
    assert contents_of(store) == before
    write(store, refused(1_000))
    entry = store.entry(id_of(1_000))
    assert entry
    assert entry.number == 201


def contents_of(store: QuarantineStore) -> tuple[object, object, QuarantineTotals, object]:
    discarded = all_entries(store, status=EntryStatus.DISCARDED)
    return all_entries(store), discarded, store.totals(), store.malformed(None, 1_000)


def test_lower_bounds_hold_from_the_next_write_on(open_lasting: Open) -> None:
    write(open_lasting(LIMITS), *map(refused, range(10)))
    store = open_lasting(QuarantineLimits(entries=4))
    write(store)
    assert numbers_of(all_entries(store)) == [6, 7, 8, 9]


def test_random_writes_give_the_same_entries_in_each_store(
    open_memory: Open, open_file: Open, open_postgres: Open
) -> None:
    """Entries are equally large: between larger and smaller ones, a database may choose others than a file."""
    limits = QuarantineLimits(entries=40, bytes=20_000, days=1)
    stores = [open_memory(limits), open_file(limits), open_postgres(limits)]
    chance = random.Random(3)
    for second in range(0, 6_000, 40):
        entries = {
            number: chance.choice([refused, refused, reused])(
                number,
                second + place,  # no two arrivals are equally old, so that each store must drop the same one
                count=chance.choice([0, 1, 1, 2]),
                address=chance.choice("aab"),
                locker_id=chance.choice("xxy"),
                body=json.dumps(body_of(number, chance.choice(["a", "b"]))),
            )
            for place, number in enumerate(chance.sample(range(100), chance.randrange(20)))
        }
        accepted = [accepted_event(number, chance.choice(["a", "b"])) for number in chance.sample(range(100), 3)]
        bodies = [malformed(chance.choice("ab"), second) for _ in range(2)]
        for store in stores:
            write(store, *entries.values(), second=second + 40, accepted=accepted, malformed=bodies)
        discarded = id_of(chance.randrange(100))
        assert len({store.discard(discarded, DISCARD) for store in stores}) == 1
        first, *others = map(contents_of, stores)
        assert others == [first] * len(others)
    assert stores[0].totals().dropped > 100

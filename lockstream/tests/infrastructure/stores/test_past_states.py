"""Histories and past states that all stores answer alike. `test_listings` compares them in random networks."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import product
from typing import Any

import pytest

from lockstream.core.entities.events import CompartmentRegistered, Event, FaultReported
from lockstream.core.entities.listings import HistoryQuery
from lockstream.core.entities.state import LockerState
from lockstream.core.entities.subjects import CompartmentSubject, LockerSubject, ReservationSubject, Subject
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings
from lockstream.core.use_cases.history import EventFilter, recorded_events
from lockstream.core.use_cases.time_travel import past_compartment, past_locker, past_reservation
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.core.story import EVENTS, OTHER, STORY
from lockstream.tests.infrastructure.stores.listing_queries import ALL
from lockstream.tests.infrastructure.stores.network import EmbeddedNetwork, Network, PostgresNetwork, lists_of
from lockstream.tests.support.builders import LOCKER, deposited, picked_up, registered, reserved
from lockstream.tests.support.databases import connect
from lockstream.tests.support.gaps import without_gaps

LAST = len(STORY)
HUGE = 2**70
OF_OTHER = [2, 13, 23, 24]
IMPOSSIBLE = ("unknown", "", "a/b", "\n", "x" * 129)
"""Ids that no subject has, and most of which none can have."""


def history_of(network: Network[Any], query: HistoryQuery, after: int | None = None, limit: int = ALL) -> object:
    return lists_of(network, lambda lists: lists.history(query, after, limit))


def past_of(network: Network[Any], locker_id: str, position: int) -> object:
    return lists_of(network, lambda lists: past_locker(lists, locker_id, position))


def records_at(network: Network[Any], positions: list[int]) -> list[tuple[int, Event]]:
    records = network.store.list(lambda lists: lists.records(positions)).value
    return [(record.end.position, record.event) for record in records]


def bounded_history(lists: Listings, subject: Subject, wanted: EventFilter, limit: int = ALL) -> list[list[int]]:
    """Return the positions on each page of a history."""
    pages: list[list[int]] = []
    after = None
    while rows := recorded_events(lists, subject, wanted, after, limit):
        pages.append([record.end.position for record in rows.rows])
        if not rows.has_more:
            break
        after = pages[-1][-1]
    return pages


@pytest.mark.parametrize(
    "subject",
    [LockerSubject(LOCKER), LockerSubject(OTHER), CompartmentSubject(LOCKER, "A"), ReservationSubject("long")],
)
def test_a_history_is_bounded_by_positions(network: Network[Any], subject: Subject) -> None:
    network.ingest(*STORY)
    bounds = range(0, LAST + 2, 3)

    def compare(lists: Listings) -> int:
        compared = 0
        for event_type, descending in product((None, FaultReported), (False, True)):
            [whole] = bounded_history(lists, subject, EventFilter(event_type, descending))
            for first, last in product(bounds, (*bounds, None)):
                wanted = EventFilter(event_type, descending, first, last)
                expected = [position for position in whole if first <= position and (last is None or position <= last)]
                assert bounded_history(lists, subject, wanted) == [expected]
                pages = bounded_history(lists, subject, wanted, limit=2)
                assert pages == ([expected[start : start + 2] for start in range(0, len(expected), 2)] or [[]])
                compared += 1
        return compared

    assert lists_of(network, compare) == 4 * len(bounds) * (len(bounds) + 1)


def test_the_past_at_each_position_is_the_state_that_was_shown_then(network: Network[Any]) -> None:
    def shown() -> list[LockerState | None]:
        return [without_gaps(network.store.reads.locker_state(locker_id)) for locker_id in (LOCKER, OTHER)]

    states = [shown()]
    for body in STORY:
        network.ingest(body)
        states.append(shown())

    def compare(lists: Listings) -> None:
        for position, expected in enumerate(states):
            assert [past_locker(lists, locker_id, position) for locker_id in (LOCKER, OTHER)] == expected

    lists_of(network, compare)


@pytest.mark.parametrize("impossible", IMPOSSIBLE)
def test_a_subject_that_does_not_exist_has_neither_history_nor_past(network: Network[Any], impossible: str) -> None:
    network.ingest(*STORY)

    def read(lists: Listings) -> set[object]:
        return {
            lists.history(HistoryQuery(impossible), None, ALL),
            lists.history(HistoryQuery(impossible, "A"), None, ALL),
            lists.history(HistoryQuery(LOCKER, impossible), None, ALL),
            lists.history(HistoryQuery(LOCKER, impossible, FaultReported, descending=True), None, ALL),
            lists.reservation(impossible),
            past_locker(lists, impossible, LAST),
            past_compartment(lists, LOCKER, impossible, LAST),
            past_compartment(lists, impossible, "A", LAST),
            past_reservation(lists, impossible, LAST),
        }

    assert lists_of(network, read) == {None}


def test_in_an_empty_network_nothing_exists(network: Network[Any]) -> None:
    assert history_of(network, HistoryQuery(LOCKER)) is None
    assert past_of(network, LOCKER, 0) is None
    assert records_at(network, []) == []


def test_a_history_without_events_of_a_type_is_empty_and_not_unknown(network: Network[Any]) -> None:
    network.ingest(registered("A"))
    for query in (HistoryQuery(LOCKER, None, FaultReported), HistoryQuery(LOCKER, "A", FaultReported)):
        assert history_of(network, query) == []
    for query in (HistoryQuery(LOCKER), HistoryQuery(LOCKER, "A"), HistoryQuery(LOCKER, "A", CompartmentRegistered)):
        assert history_of(network, query) == [1]
        assert history_of(network, query, after=1) == []


@pytest.mark.parametrize(
    ("after", "ascending", "descending"),
    [
        (None, OF_OTHER, [24, 23, 13, 2]),
        (0, OF_OTHER, []),
        (13, [23, 24], [2]),
        (14, [23, 24], [13, 2]),
        (LAST, [], [24, 23, 13, 2]),
        (HUGE, [], [24, 23, 13, 2]),
        (-HUGE, OF_OTHER, []),
    ],
)
def test_a_page_of_a_history_begins_behind_any_position(
    network: Network[Any], after: int | None, ascending: list[int], descending: list[int]
) -> None:
    network.ingest(*STORY)
    for order, expected in ((False, ascending), (True, descending)):
        query = HistoryQuery(OTHER, descending=order)
        assert history_of(network, query, after) == expected
        assert history_of(network, query, after, limit=2) == expected[:2]


def test_a_number_beyond_all_positions_shows_the_present_or_nothing(network: Network[Any]) -> None:
    network.ingest(*STORY)
    present = without_gaps(network.store.reads.locker_state(LOCKER))
    for position in (LAST, LAST + 1, 2**63 - 1, 2**63, HUGE):
        assert past_of(network, LOCKER, position) == present
    for position in (0, -1, -(2**63), -HUGE):
        assert past_of(network, LOCKER, position) is None


def test_the_records_of_a_history_are_the_accepted_events(network: Network[Any]) -> None:
    network.ingest(*STORY)
    for positions in ([24, 2, 13, 2], list(range(1, LAST + 1)), [LAST]):
        assert records_at(network, positions) == [(position, EVENTS[position - 1]) for position in positions]


@pytest.mark.parametrize("network", ["embedded", "postgres"], indirect=True)
def test_all_parts_of_a_past_state_reflect_one_moment(network: Network[Any]) -> None:
    """A reservation that ends meanwhile is still the last one, and is active."""
    network.ingest(*STORY[:-1])

    def read(lists: Listings) -> tuple[object, ...]:
        return (
            past_locker(lists, LOCKER, LAST),
            past_compartment(lists, LOCKER, "A", LAST - 3),
            past_reservation(lists, "occupied", LAST),
            lists.history(HistoryQuery(LOCKER, "A"), None, ALL),
            lists.event_counts(LOCKER, LAST),
            lists.records([LAST - 1]),
        )

    def read_twice(lists: Listings) -> None:
        before = read(lists)
        network.ingest(STORY[-1], picked_up("occupied"), registered("C"), reserved("last", "C"), deposited("last"))
        assert read(lists) == before

    assert network.store.list(read_twice).position == LAST - 1


def test_the_embedded_store_reads_the_past_of_what_was_checkpointed(embedded: EmbeddedNetwork) -> None:
    embedded.ingest(*STORY[:4])
    embedded.ingest_and_flush(*STORY[4:])
    result = embedded.store.list(lambda lists: lists.history(HistoryQuery(LOCKER), None, ALL))
    assert (result.value, result.position) == ([1, 3, 4], 4)
    past = embedded.store.list(lambda lists: past_reservation(lists, "picked up", LAST)).value
    assert past is not None
    assert past.status == "CREATED"


CONTRADICTIONS = [
    "UPDATE compartments SET registered_position = 99",
    "DELETE FROM compartments",
    "UPDATE compartments SET compartment_id = compartment_id || 'x'",
    "UPDATE reservations SET deposited_position = created_position - 1 WHERE deposited_position > 0",
    "UPDATE faults SET cleared_position = 1 WHERE cleared_position > 0",
    "UPDATE faults SET compartment_id = 'Z'",
]


@pytest.mark.parametrize("network", ["embedded", "postgres"], indirect=True)
@pytest.mark.parametrize("statement", CONTRADICTIONS)
def test_rows_that_another_program_has_changed_make_the_past_unavailable(
    network: EmbeddedNetwork | PostgresNetwork, database: str, statement: str
) -> None:
    network.ingest(*STORY)
    change(network, database, statement)
    with pytest.raises(StoreUnavailable, match=rf"rows of locker '{LOCKER}' contradict each other.*lockstream rebuild"):
        past_of(network, LOCKER, LAST)
    network.rebuild()
    assert past_of(network, LOCKER, LAST) == without_gaps(network.store.reads.locker_state(LOCKER))


@pytest.mark.parametrize("network", ["embedded", "postgres"], indirect=True)
def test_a_reservation_that_another_program_has_changed_has_no_past(
    network: EmbeddedNetwork | PostgresNetwork, database: str
) -> None:
    network.ingest(*STORY)
    change(network, database, "UPDATE reservations SET deposited_position = 1 WHERE reservation_id = 'long'")
    with pytest.raises(StoreUnavailable, match=r"rows of reservation 'long' contradict each other.*lockstream rebuild"):
        network.store.list(lambda lists: past_reservation(lists, "long", LAST))


PAST_READS: dict[str, Callable[[Listings], object]] = {
    "compartments": lambda lists: past_locker(lists, LOCKER, LAST),
    "reservations": lambda lists: past_reservation(lists, "long", LAST),
    "faults": lambda lists: past_compartment(lists, LOCKER, "A", LAST),
    "progress": lambda lists: lists.history(HistoryQuery(LOCKER), None, ALL),
}


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("compartments", "UPDATE compartments SET degrading_faults = 'text'"),
        ("compartments", "UPDATE compartments SET registered_position = 1.5 WHERE registered_position = 1"),
        ("compartments", "UPDATE compartments SET registered_position = 'text'"),
        ("reservations", "UPDATE reservations SET status = 'BROKEN'"),
        ("reservations", "UPDATE reservations SET deposited_position = x'ff'"),
        ("faults", "UPDATE faults SET severity = 'text'"),
        ("faults", "UPDATE faults SET cleared_position = 'text'"),
        ("progress", "UPDATE progress SET position = 'text'"),
        ("progress", "UPDATE progress SET offset = x'ff'"),
        ("progress", "UPDATE progress SET chain = x'ff'"),
        ("progress", "DELETE FROM progress"),
        ("progress", "DROP TABLE reservations"),
    ],
)
def test_an_impossible_value_makes_the_past_unavailable(embedded: EmbeddedNetwork, table: str, damage: str) -> None:
    embedded.ingest(*STORY)
    with closing(sqlite3.connect(projection_path(embedded.path), isolation_level=None)) as other_program:
        other_program.execute(damage)
    with pytest.raises(StoreUnavailable, match="lockstream rebuild"):
        embedded.store.list(PAST_READS[table])


def test_the_records_of_an_altered_log_file_are_unavailable(embedded: EmbeddedNetwork) -> None:
    embedded.ingest(*STORY)
    content = embedded.path.read_bytes()
    with embedded.path.open("r+b") as log:
        log.seek(content.index(b"picked up"))
        log.write(b"picked-up")
    with pytest.raises(StoreUnavailable, match=rf"{embedded.path} is damaged at line 4 "):
        records_at(embedded, [3, 4])
    assert records_at(embedded, [3]) == [(3, EVENTS[2])]
    with embedded.path.open("r+b") as log:
        log.truncate(100)
    with pytest.raises(StoreUnavailable, match=str(embedded.path)):
        records_at(embedded, [3])
    embedded.path.write_bytes(content)


def test_the_records_of_an_altered_log_table_are_unavailable(postgres: PostgresNetwork, database: str) -> None:
    postgres.ingest(*STORY)
    with closing(connect(database)) as other_program:
        other_program.execute("UPDATE events SET locker_id = 'another' WHERE position = 4")
    with pytest.raises(StoreUnavailable, match="record at position 4 is damaged"):
        records_at(postgres, [3, 4])
    assert records_at(postgres, [3]) == [(3, EVENTS[2])]


def change(network: EmbeddedNetwork | PostgresNetwork, database: str, statement: str) -> None:
    """Execute a statement as another program."""
    if isinstance(network, EmbeddedNetwork):
        with closing(sqlite3.connect(projection_path(network.path), isolation_level=None)) as sqlite:
            sqlite.execute(statement)
    else:
        with closing(connect(database)) as postgres:
            postgres.execute(statement)

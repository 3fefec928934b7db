"""Every combination of filters and orders of lists, and the comparison of two implementations by all of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, product
from operator import attrgetter
from typing import Any

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    LockerOrder,
    LockerQuery,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.silence import NO_SILENCE, Silence
from lockstream.core.entities.state import Status
from lockstream.core.ports import Listings
from lockstream.tests.infrastructure.stores.naive_listings import LOCKER_KEYS, NaiveListings

ALL = 1_000
"""A limit beyond all rows of a test."""

ANY = (None, True, False)
ORDERS = tuple(product(ReservationOrder, (False, True)))
LOCKER_ORDERS = tuple(product(LockerOrder, (False, True)))

type Page = Callable[[Any, int], list[Any] | None]
type Key = Callable[[Any], Any]


def locker_queries(prefixes: Sequence[str], last: int) -> Iterator[LockerQuery]:
    for prefix, available, degraded in product(prefixes, ANY, ANY):
        yield LockerQuery(prefix, available, degraded)
    for silence, silent, gone in product(silences(last), ANY, ANY):
        yield LockerQuery("", None, None, silent, gone, silence)
    *_, silence = silences(last)
    for sort in LOCKER_ORDERS:
        for wanted in product(prefixes[:2], ANY, ANY):
            yield LockerQuery(*wanted, None, None, silence, *sort)
        for available, silent, gone in product((None, True), ANY, ANY):
            yield LockerQuery("", available, None, silent, gone, silence, *sort)


def silences(last: int) -> Iterator[Silence]:
    """Yield measures of silence: none, and some at and beyond the position `last`."""
    yield NO_SILENCE
    yield Silence(last, last, last - 1, 0)
    yield Silence(last + 100, last, last // 2, last // 3)
    yield Silence(2**63 - 1, last - 1, last // 4, last // 2)


def compartment_queries(locker_ids: Sequence[str]) -> Iterator[CompartmentQuery]:
    for locker_id, state in product(locker_ids, (None, *CompartmentState)):
        yield CompartmentQuery(locker_id, state)


def reservation_queries(locker_ids: Sequence[str], last: int) -> Iterator[ReservationQuery]:
    """Yield queries of reservations: any change, early, middle and late ones, up to the position `last`."""
    ranges = [(0, None), (0, last // 2), (last // 3, 2 * last // 3), (last // 2, None), (last, 0)]
    for status, locker_id, (order, descending), between in product(
        (None, *Status), (None, *locker_ids), ORDERS, ranges
    ):
        yield ReservationQuery(status, locker_id, *between, order, descending)


def fault_queries(locker_ids: Sequence[str], compartment_ids: Sequence[str]) -> Iterator[FaultQuery]:
    places = [(None, None), *product(locker_ids, (None, *compartment_ids))]
    for is_open, severity, place, descending in product(ANY, (0, 1, 4, 2**31), places, (False, True)):
        yield FaultQuery(is_open, severity, *place, descending)


def history_queries(locker_ids: Sequence[str], compartment_ids: Sequence[str]) -> Iterator[HistoryQuery]:
    places, event_types = product(locker_ids, (None, *compartment_ids)), (None, *EVENT_TYPES.values())
    for place, event_type, descending in product(places, event_types, (False, True)):
        yield HistoryQuery(*place, event_type, descending)


def key_of(query: ReservationQuery) -> str:
    """Return the name of the field that the reservations are ordered by."""
    return "changed_position" if query.order is ReservationOrder.CHANGED else "reservation_id"


def assert_same_lists(
    lists: Listings,
    expected: NaiveListings,
    ids: tuple[Sequence[str], Sequence[str]],
    prefixes: Sequence[str],
    last: int,
) -> None:
    """Compare all lists, unpaged and in pages. `ids` are those of lockers and of compartments."""
    locker_ids, compartment_ids = ids
    assert lists.network() == expected.network()
    for position in (0, 1, last // 2, last, last + 1):
        assert lists.activity(position, position) == expected.activity(position, position)
    for of_lockers in locker_queries(prefixes, last):
        key = LOCKER_KEYS[of_lockers.order]
        _assert_same_pages(partial(lists.lockers, of_lockers), partial(expected.lockers, of_lockers), key)
    for silence in silences(last):
        assert lists.silent_counts(silence) == expected.silent_counts(silence)
    for rank, highest in product(range(1, expected.network().lockers + 1), (0, last // 2, last, 2**62)):
        assert lists.recent_position(rank, highest) == expected.recent_position(rank, highest)
    for of_compartments in compartment_queries(locker_ids):
        _assert_same_pages(
            partial(lists.compartments, of_compartments),
            partial(expected.compartments, of_compartments),
            attrgetter("compartment_id"),
        )
    for of_reservations in reservation_queries(locker_ids, last):
        _assert_same_pages(
            partial(lists.reservations, of_reservations),
            partial(expected.reservations, of_reservations),
            attrgetter(key_of(of_reservations)),
        )
    for of_faults in fault_queries(locker_ids, compartment_ids):
        by_report = attrgetter("reported_position")
        _assert_same_pages(partial(lists.faults, of_faults), partial(expected.faults, of_faults), by_report)
    for prefix, limit in product(prefixes, (1, 2, ALL)):
        assert lists.search(prefix, limit) == expected.search(prefix, limit)
    assert_same_times(lists, expected, last)


def assert_same_histories(
    lists: Listings, expected: NaiveListings, locker_ids: Sequence[str], compartment_ids: Sequence[str]
) -> None:
    """Compare the histories of all lockers and compartments, unpaged and in pages."""
    for query in history_queries(locker_ids, compartment_ids):
        _assert_same_pages(partial(lists.history, query), partial(expected.history, query))


def assert_same_times(lists: Listings, expected: NaiveListings, last: int) -> None:
    """Compare `times` at all positions, and the positions of each recorded time and one microsecond around it."""
    times = lists.times(range(last + 1))
    assert times == expected.times(range(last + 1))
    wanted = [0, *(time + offset for time in times.values() for offset in (-1, 0, 1))]
    assert lists.positions_at(wanted) == expected.positions_at(wanted)
    for time in set(wanted):
        assert lists.position_at(time) == expected.position_at(time)


def _assert_same_pages(page: Page, expected: Page, key: Key = int) -> None:
    """Compare a list as a whole, and in pages. `key` returns the key that a row is ordered by."""
    rows = page(None, ALL)
    assert rows == expected(None, ALL)
    if rows is not None:
        _assert_pages(page, rows, key)


def _assert_pages(page: Page, rows: Sequence[Any], key: Key) -> None:
    """Assert that pages of one and of three rows in turn are these rows, and that an empty page follows."""
    count, after = 0, None
    for limit in cycle((1, 3)):
        expected = rows[count : count + limit]
        assert page(after, limit) == expected
        if not expected:
            break
        count, after = count + len(expected), key(expected[-1])

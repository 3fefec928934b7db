"""The network that the benchmark lists: its events are accepted in their order, and leave every kind of state."""

from itertools import pairwise
from random import Random

import pytest

from bench.groups.lists import PAGE_ITEMS
from bench.load.events import EventGenerator
from bench.load.network import PER_LOCKER, Network
from bench.scale import FULL, QUICK
from lockstream.core.entities.events import EVENT_TYPES, CompartmentRegistered, Event, ReservationCreated
from lockstream.core.entities.listings import FaultQuery, LockerQuery, ReservationQuery
from lockstream.core.entities.state import Status
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import Listings
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.support.builders import decode_event

NETWORK = Network("n", 100)


def accepted(events: list[Event], store: MemoryStore) -> int:
    """Ingest events, and return the number of accepted ones."""
    return sum(isinstance(outcome, Accepted) for outcome in ingest(events, store.unit_of_work()))


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [decode_event(text) for text in NETWORK.events()]


@pytest.fixture(scope="module")
def store(events: list[Event]) -> MemoryStore:
    """Give a store that has accepted every event."""
    store = MemoryStore()
    assert accepted(events, store) == len(events)
    return store


@pytest.fixture(scope="module")
def lists(store: MemoryStore) -> Listings:
    return store.list(lambda listings: listings).value


def test_a_network_has_five_events_for_each_compartment(events: list[Event]) -> None:
    assert len(events) / NETWORK.lockers / PER_LOCKER == pytest.approx(5, rel=0.02)


def test_a_network_has_events_of_every_type(events: list[Event]) -> None:
    assert {type(event) for event in events} == set(EVENT_TYPES.values())


def test_a_network_leaves_reservations_of_every_status_and_faults_of_both_kinds(lists: Listings) -> None:
    for status in Status:
        assert lists.reservations(ReservationQuery(status), None, 1), status
    for is_open in (True, False):
        assert lists.faults(FaultQuery(open=is_open), None, 1), is_open
        assert lists.lockers(LockerQuery(degraded=is_open), None, 1), is_open


def test_one_locker_in_fifty_is_full(lists: Listings) -> None:
    full = lists.lockers(LockerQuery(available=False), None, 10)
    assert [(locker.locker_id, locker.occupied) for locker in full] == [
        (NETWORK.locker(49), PER_LOCKER),
        (NETWORK.locker(99), PER_LOCKER),
    ]


def test_lockers_are_listed_in_the_order_of_their_numbers(lists: Listings) -> None:
    listed = [locker.locker_id for locker in lists.lockers(LockerQuery(), None, 1_000)]
    assert listed == [NETWORK.locker(number) for number in range(NETWORK.lockers)]


def test_two_events_of_a_locker_have_others_between_them(events: list[Event]) -> None:
    lockers = [event.locker_id for event in events if not isinstance(event, CompartmentRegistered)]
    assert all(first != second for first, second in pairwise(lockers))


def test_every_random_subject_exists(store: MemoryStore) -> None:
    random = Random(1)
    for _ in range(1_000):
        assert store.reads.locker(NETWORK.random_locker(random))
        assert store.reads.reservation(NETWORK.random_reservation(random))


def test_random_reservations_have_every_status(store: MemoryStore) -> None:
    random = Random(1)
    found = [store.reads.reservation(NETWORK.random_reservation(random)) for _ in range(1_000)]
    assert {reservation.status for reservation in found if reservation} == set(Status)


def test_events_of_spare_compartments_are_accepted_in_any_order_of_their_parts(events: list[Event]) -> None:
    # given a store with all events, and the spare compartments in three parts
    store = MemoryStore()
    accepted(events, store)
    parts = [NETWORK.spare_compartments(part, 3) for part in range(3)]
    # when the parts are reserved, filled and emptied at the same time
    generators = [EventGenerator(part, registered=True) for part in parts]
    further = [decode_event(text) for _ in range(100) for generator in generators for text in generator.take(3)]
    # then no event is refused
    assert accepted(further, store) == 900
    assert len({compartment for part in parts for compartment in part}) == sum(map(len, parts)) > 90


def test_every_list_of_a_scale_has_the_pages_that_are_read() -> None:
    # given the network of the smaller scale
    network, pages = Network("n", QUICK.listed_lockers), QUICK.pages
    events = [decode_event(text) for text in network.events()]
    # when the events of the busy locker and the reservations are counted
    of_busy_locker = sum(event.locker_id == network.busy_locker for event in events)
    reservations = sum(isinstance(event, ReservationCreated) for event in events)
    # then the last page is full, also in the larger scale, whose lists are longer by the same factor
    assert of_busy_locker >= pages * PAGE_ITEMS
    assert reservations >= pages * PAGE_ITEMS
    assert network.lockers % pages == FULL.listed_lockers % FULL.pages == 0
    assert FULL.listed_lockers // FULL.pages == network.lockers // pages

"""Simulated events: reproducible, acceptable to the real rules, and of bounded state."""

import re
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import batched, pairwise
from statistics import mean, median

import pytest

from lockstream.core.errors import MalformedEvent
from lockstream.core.outcomes import Accepted, Duplicate, Refusal
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.simulator.simulation import Simulation
from lockstream.simulator.world import Arrival
from lockstream.tests.simulator.conftest import DAY, DAYS, LOCKERS, MONDAY, Seen


def arrivals(lockers: int = 3, seed: int = 1, start: int = MONDAY, days: float = 5) -> list[Arrival]:
    return list(Simulation(lockers, seed, start).arrivals(start + days * DAY))


def test_a_seed_stands_for_the_same_bytes_on_every_system() -> None:
    """The hash changes if the simulation is meant to change, and in no other case."""
    written = b"".join(b"%d %b\n" % arrival for arrival in arrivals(days=10))
    assert sha256(written).hexdigest() == "19f562e7ecc127b6da8a70909efc9a326a3eb4fb47b449996eafdd8bb3df8977"


def test_other_seeds_and_starts_give_other_events() -> None:
    seeds = [(1, MONDAY), (2, MONDAY), (1, MONDAY + 1)]
    ids = [{arrival.text[:50] for arrival in arrivals(seed=seed, start=start)} for seed, start in seeds]
    assert all(ids)
    assert len(set.union(*ids)) == sum(map(len, ids))


def test_a_seed_gives_the_same_lockers_at_every_start() -> None:
    first, second = (Simulation(20, 1, start).lockers for start in (MONDAY, MONDAY + DAY))
    assert [(one.name, len(one.compartments)) for one in first] == [(one.name, len(one.compartments)) for one in second]


def test_a_simulation_continues_where_it_stopped() -> None:
    simulation = Simulation(3, 1, MONDAY)
    parts = [list(simulation.arrivals(MONDAY + days * DAY)) for days in (1, 1.3, 5)]
    assert all(parts)
    assert [arrival for part in parts for arrival in part] == arrivals(days=5)


def test_the_rules_accept_nearly_all_events(texts: Sequence[tuple[int, bytes]]) -> None:
    # when a store decides the events in their order
    store = MemoryStore()
    found = Counter[str]()
    for batch in batched(texts, 1_000):
        decoded = decode_events([text for _, text in batch])
        events = [event for event in decoded if not isinstance(event, MalformedEvent)]
        assert len(events) == len(decoded)
        outcomes = ingest(events, store.unit_of_work())
        found.update(outcome.code if isinstance(outcome, Refusal) else type(outcome).__name__ for outcome in outcomes)
        store.log.flush()
    # then
    shares = {name: number / len(texts) for name, number in found.items()}
    assert 0.980 < shares.pop(Accepted.__name__) < 0.992
    assert 0.006 < shares.pop(Duplicate.__name__) < 0.010
    assert 0.002 < sum(shares.values()) < 0.008
    # and each kind of mistake is there
    assert set(shares) == {
        "compartment_degraded",
        "compartment_reserved",
        "reservation_expired",
        "reservation_not_awaiting_pickup",
        "unknown_reservation",
    }


def test_events_come_in_the_order_of_their_arrival_and_occurred_before(seen: Sequence[Seen]) -> None:
    assert [second for first, second in pairwise(seen) if second.arrival < first.arrival] == []
    assert [event for event in seen if event.delay.total_seconds() < 0] == []


def test_a_locker_reports_its_events_in_the_order_of_their_occurrence(seen: Sequence[Seen]) -> None:
    latest: dict[str, Seen] = {}
    known = set[str]()
    for event in seen:
        if event.event_id not in known:
            known.add(event.event_id)
            assert event.occurred >= latest.setdefault(event.locker, event).occurred
            latest[event.locker] = event


def test_a_duplicate_is_the_same_event_again(texts: Sequence[tuple[int, bytes]], seen: Sequence[Seen]) -> None:
    assert len({event.event_id for event in seen}) == len({text for _, text in texts}) < len(texts)


def test_lockers_have_few_or_many_compartments_with_plain_names() -> None:
    simulation = Simulation(500, 1, MONDAY)
    sizes = sorted(len(locker.compartments) for locker in simulation.lockers)
    assert (sizes[0], sizes[-1]) == (8, 120)
    assert median(sizes) < mean(sizes)
    assert simulation.compartments == sum(sizes)
    names = [locker.name for locker in simulation.lockers]
    assert len(set(names)) == 500
    assert [name for name in names if not re.fullmatch(r"[A-Z]{3}-\d{4}", name)] == []
    compartments = {compartment.name for locker in simulation.lockers for compartment in locker.compartments}
    assert [name for name in compartments if not re.fullmatch(r"[A-O]0[1-8]", name)] == []


def test_each_compartment_is_registered_once_and_most_at_the_start(seen: Sequence[Seen]) -> None:
    registered = {
        (event.locker, event.payload["compartment_id"]): event.arrival
        for event in seen
        if event.type == "CompartmentRegistered"
    }
    expected = [locker for locker in Simulation(LOCKERS, 1, MONDAY).lockers for _ in locker.compartments]
    assert sorted(locker for locker, _ in registered) == sorted(locker.name for locker in expected)
    first_day = [arrival for arrival in registered.values() if arrival < MONDAY + DAY]
    assert 0.8 < len(first_day) / len(registered) <= 1


def test_the_number_of_events_is_estimated() -> None:
    simulation = Simulation(LOCKERS, 1, MONDAY)
    end = MONDAY + DAYS * DAY
    assert sum(1 for _ in simulation.arrivals(end)) == pytest.approx(simulation.estimate(end), rel=0.15)


def test_memory_does_not_grow_with_the_days() -> None:
    simulation = Simulation(2, 1, MONDAY)

    def memory_after(days: int) -> int:
        for _ in simulation.arrivals(MONDAY + days * DAY):
            pass
        own = tracemalloc.Filter(True, "*/lockstream/simulator/*")  # other tests may have left threads behind
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([own]).traces)

    tracemalloc.start()
    try:
        early, *later = map(memory_after, (40, 80, 120, 160))
    finally:
        tracemalloc.stop()
    assert max(later) < 1.3 * early


def test_the_example_is_a_reservation_that_the_server_knows() -> None:
    # given
    simulation = Simulation(10, 1, MONDAY)
    posted = b"".join(arrival.text for arrival in simulation.arrivals(MONDAY + 3 * DAY))
    # when
    example = simulation.example()
    # then
    assert example.reservation is not None
    assert example.reservation.encode() in posted


def test_the_example_is_a_compartment_if_nothing_is_reserved() -> None:
    assert Simulation(2, 1, MONDAY).example().name == "A01"

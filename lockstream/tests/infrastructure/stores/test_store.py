"""What every store does alike."""

import pytest

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START
from lockstream.core.evolve import evolve
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.infrastructure.codec.log_line import stamp
from lockstream.tests.infrastructure.stores.network import CAPACITY, Network
from lockstream.tests.infrastructure.stores.state_machine import told
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    deposited,
    event,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)


def recorded(network: Network) -> list[str]:
    """The ids in the log."""
    return [record.event.event_id for record in network.store.log.read(START)]


def test_events_of_one_batch_build_on_each_other(network: Network) -> None:
    outcomes = network.ingest(registered(), reserved(), deposited(), picked_up(), reserved("reservation-2"))

    assert outcomes == [Accepted(position) for position in range(1, 6)]
    compartment = network.store.queries.compartment(LOCKER, COMPARTMENT)
    assert compartment is not None
    assert compartment.active_reservation == "reservation-2"


def test_a_record_says_when_it_was_accepted(network: Network) -> None:
    earlier = stamp()
    network.ingest(registered())
    later = stamp()
    [record] = network.store.log.read(START)
    assert earlier <= record.recorded_at <= later


def test_an_event_twice_in_one_batch_counts_once(network: Network) -> None:
    when = registered()
    assert network.ingest(registered("other"), when, when) == [Accepted(1), Accepted(2), Duplicate(2)]
    assert len(recorded(network)) == 2


def test_a_refused_event_in_a_batch_may_come_again_in_the_same_batch(network: Network) -> None:
    early = reserved()
    outcomes = network.ingest(early, registered(), early, early)
    assert [told(outcome) for outcome in outcomes] == [
        ("refused", "unknown_compartment"),
        ("accepted", 1),
        ("accepted", 2),
        ("duplicate", 2),
    ]


def test_a_refused_event_between_good_ones_harms_none(network: Network) -> None:
    good = [registered(), registered("b"), reserved()]
    outcomes = network.ingest(good[0], deposited("nobody's"), good[1], registered(), good[2])
    assert [told(outcome) for outcome in outcomes] == [
        ("accepted", 1),
        ("refused", "unknown_reservation"),
        ("accepted", 2),
        ("refused", "compartment_already_registered"),
        ("accepted", 3),
    ]
    assert recorded(network) == [body["event_id"] for body in good]


def test_a_batch_of_nothing_but_refusals_writes_nothing(network: Network) -> None:
    network.ingest(reserved(), deposited(), fault_reported())
    assert network.store.log.end == START


def test_what_was_looked_up_in_vain_does_not_pile_up_in_memory(network: Network) -> None:
    if network.kind == "memory":
        pytest.skip("memory is where it keeps everything")
    network.ingest(*(reserved(f"r{number}", f"c{number}") for number in range(10 * CAPACITY)))
    for _ in range(40):  # each lets go of some: see EVICTED_SHARE
        network.store.checkpoint()
    assert not network.store.crowded


def test_a_refused_event_is_accepted_once_the_state_allows(network: Network) -> None:
    fault = fault_reported(3)
    refused = reserved()
    network.ingest(registered(), fault)
    assert told(network.ingest(refused)[0]) == ("refused", "compartment_degraded")

    network.ingest(fault_cleared(fault))

    assert network.ingest(refused) == [Accepted(4)]


@pytest.mark.parametrize("how", ["live", "reopened", "crashed", "rebuilt"])
def test_a_duplicate_is_known_for_ever_whatever_it_says(network: Network, how: str) -> None:
    when = registered(event_id="aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
    network.ingest(registered("before"), when)
    network.ingest(*(registered(f"later-{number}") for number in range(9)))
    {"live": lambda: None, "reopened": network.reopen, "crashed": network.crash, "rebuilt": network.rebuild}[how]()

    in_other_words = fault_reported(5, "nowhere", event_id=when["event_id"].upper())

    assert network.ingest(when) == [Duplicate(2)]
    assert network.ingest(in_other_words) == [Duplicate(2)]
    assert len(recorded(network)) == 11


def test_a_fault_is_cleared_by_its_id_in_any_case(network: Network) -> None:
    fault = fault_reported(3, event_id="AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee")
    clearing = fault_cleared(fault | {"event_id": "aaaaaaaa-BBBB-4ccc-8ddd-EEEEEEEEEEEE"})
    assert network.ingest(registered(), fault, clearing) == [Accepted(1), Accepted(2), Accepted(3)]


@pytest.mark.parametrize("settled", [True, False])
def test_a_unit_of_work_that_is_not_committed_leaves_no_trace(network: Network, settled: bool) -> None:
    take_in = network.ingest if settled else network.ingest_unsettled
    take_in(registered(), reserved())
    fault = fault_reported(5)
    batch = [deposited(), picked_up(), fault, fault_reported(3), fault_cleared(fault), registered("new")]

    network.abandon(*batch)
    network.store.checkpoint()

    locker = network.store.queries.locker(LOCKER)
    assert locker is not None
    assert (len(locker.compartments), locker.active_reservations, locker.degraded_compartments) == (1, 1, 0)
    assert network.store.log.end.position == 2
    assert network.ingest(*batch) == [Accepted(position) for position in range(3, 9)]


def test_an_error_in_a_unit_of_work_leaves_no_trace_and_is_told(network: Network) -> None:
    network.ingest(registered())
    when = event(reserved())
    with pytest.raises(ZeroDivisionError):
        _fail_after(network, when)
    assert network.store.log.end.position == 1
    assert network.store.queries.reservation(RESERVATION) is None
    assert network.ingest(reserved()) == [Accepted(2)]


def _fail_after(network: Network, when: Event) -> None:
    with network.store.unit_of_work() as uow:
        uow.prefetch([when], [keys(when)])
        before = uow.load(keys(when))
        uow.save(before, evolve(before, when))
        uow.record(when)
        raise ZeroDivisionError


def test_rows_that_left_memory_come_back(network: Network) -> None:
    places = [f"compartment-{number}" for number in range(20)]
    network.ingest(*(registered(place) for place in places))
    faults = [fault_reported(4, place) for place in places]
    for place, fault in zip(places, faults, strict=True):
        network.ingest(fault)
        assert told(network.ingest(reserved(place, place))[0]) == ("refused", "compartment_degraded")
    for place, fault in zip(places, faults, strict=True):
        assert told(network.ingest(fault_cleared(fault, place))[0])[0] == "accepted"
        assert told(network.ingest(reserved(place, place))[0])[0] == "accepted"
        assert told(network.ingest(deposited(place, compartment_id=place))[0])[0] == "accepted"

    locker = network.store.queries.locker(LOCKER)

    assert locker is not None
    assert (locker.active_reservations, locker.degraded_compartments) == (20, 0)
    assert all(network.store.queries.reservation(place) for place in places)


def test_what_was_there_before_a_restart_is_built_upon(network: Network) -> None:
    fault = fault_reported()
    steps = [
        registered(),
        registered("b"),
        reserved("r", "b"),
        fault,
        deposited("r"),
        fault_cleared(fault),
        expired("r"),
    ]
    for position, step in enumerate(steps, 1):
        assert network.ingest(step) == [Accepted(position)]
        network.reopen()


def test_a_batch_larger_than_memory_is_taken_in_whole(network: Network) -> None:
    batch = [registered(f"compartment-{number}") for number in range(40)]
    assert network.ingest(*batch, *reversed(batch)) == [
        *(Accepted(position) for position in range(1, 41)),
        *(Duplicate(position) for position in range(40, 0, -1)),
    ]

"""Behaviour that all stores share."""

import pytest

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START
from lockstream.core.evolve import evolve
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.core.ports import Store
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.tests.infrastructure.stores.comparison import in_model_terms
from lockstream.tests.infrastructure.stores.network import Network
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


def ids_in_log(network: Network[Store]) -> list[str]:
    return [record.event.event_id for record in network.store.log.read(START)]


def test_events_of_one_batch_build_on_each_other(network: Network[Store]) -> None:
    outcomes = network.ingest(registered(), reserved(), deposited(), picked_up(), reserved("reservation-2"))

    assert outcomes == [Accepted(position) for position in range(1, 6)]
    compartment = network.store.reads.compartment(LOCKER, COMPARTMENT)
    assert compartment is not None
    assert compartment.active_reservation == "reservation-2"


def test_a_record_holds_the_time_of_acceptance(network: Network[Store]) -> None:
    earlier = utc_now()
    network.ingest(registered())
    later = utc_now()

    [record] = network.store.log.read(START)
    assert earlier <= record.recorded_at <= later


def test_an_event_that_is_twice_in_one_batch_is_accepted_once(network: Network[Store]) -> None:
    twice = registered()
    assert network.ingest(registered("other"), twice, twice) == [Accepted(1), Accepted(2), Duplicate(2)]
    assert len(ids_in_log(network)) == 2


def test_a_refused_event_may_be_accepted_later_in_the_same_batch(network: Network[Store]) -> None:
    too_early = reserved()
    outcomes = network.ingest(too_early, registered(), too_early, too_early)
    assert [in_model_terms(outcome) for outcome in outcomes] == [
        ("refused", "unknown_compartment"),
        ("accepted", 1),
        ("accepted", 2),
        ("duplicate", 2),
    ]


def test_a_refused_event_does_not_affect_the_others_of_its_batch(network: Network[Store]) -> None:
    first, second, third = registered(), registered("b"), reserved()
    outcomes = network.ingest(first, deposited("unknown"), second, registered(), third)
    assert [in_model_terms(outcome) for outcome in outcomes] == [
        ("accepted", 1),
        ("refused", "unknown_reservation"),
        ("accepted", 2),
        ("refused", "compartment_already_registered"),
        ("accepted", 3),
    ]
    assert ids_in_log(network) == [body["event_id"] for body in (first, second, third)]


def test_a_batch_of_refused_events_writes_nothing(network: Network[Store]) -> None:
    network.ingest(reserved(), deposited(), fault_reported())
    assert network.store.log.end == START


def test_a_refused_event_is_accepted_once_the_state_allows_it(network: Network[Store]) -> None:
    fault = fault_reported(3)
    refused = reserved()
    network.ingest(registered(), fault)
    assert in_model_terms(network.ingest(refused)[0]) == ("refused", "compartment_degraded")

    network.ingest(fault_cleared(fault))

    assert network.ingest(refused) == [Accepted(4)]


@pytest.mark.parametrize("after", ["nothing", "reopen", "crash", "rebuild"])
def test_a_duplicate_is_recognized_for_ever_whatever_its_content(network: Network[Store], after: str) -> None:
    accepted = registered(event_id="aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
    network.ingest(registered("before"), accepted)
    network.ingest(*(registered(f"later-{number}") for number in range(9)))

    restarts = {"nothing": lambda: None, "reopen": network.reopen, "crash": network.crash, "rebuild": network.rebuild}
    restarts[after]()

    other_content = fault_reported(5, "unknown", event_id=accepted["event_id"].upper())
    assert network.ingest(accepted) == [Duplicate(2)]
    assert network.ingest(other_content) == [Duplicate(2)]
    assert len(ids_in_log(network)) == 11


def test_a_fault_is_cleared_by_its_id_in_any_case(network: Network[Store]) -> None:
    fault = fault_reported(3, event_id="AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee")
    clearing = fault_cleared(fault | {"event_id": "aaaaaaaa-BBBB-4ccc-8ddd-EEEEEEEEEEEE"})
    assert network.ingest(registered(), fault, clearing) == [Accepted(1), Accepted(2), Accepted(3)]


@pytest.mark.parametrize("is_checkpointed", [True, False])
def test_a_unit_of_work_without_a_commit_changes_nothing(network: Network[Store], is_checkpointed: bool) -> None:
    ingest = network.ingest if is_checkpointed else network.ingest_and_flush
    ingest(registered(), reserved())
    fault = fault_reported(5)
    batch = [deposited(), picked_up(), fault, fault_reported(3), fault_cleared(fault), registered("new")]

    network.abandon(*batch)
    network.checkpoint()

    locker = network.store.reads.locker(LOCKER)
    assert locker is not None
    assert (len(locker.compartments), locker.active_reservations, locker.degraded_compartments) == (1, 1, 0)
    assert network.store.log.end.position == 2
    assert network.ingest(*batch) == [Accepted(position) for position in range(3, 9)]


def test_a_unit_of_work_propagates_an_error_and_changes_nothing(network: Network[Store]) -> None:
    network.ingest(registered())

    with pytest.raises(ZeroDivisionError):
        save_and_fail(network, event(reserved()))

    assert network.store.log.end.position == 1
    assert network.store.reads.reservation(RESERVATION) is None
    assert network.ingest(reserved()) == [Accepted(2)]


def save_and_fail(network: Network[Store], one: Event) -> None:
    with network.store.unit_of_work() as uow:
        rows = uow.begin([one]).rows
        uow.load([one])
        rows.save(evolve(rows, one, 2))
        raise ZeroDivisionError


def test_rows_that_left_memory_are_read_again(network: Network[Store]) -> None:
    names = [f"compartment-{number}" for number in range(20)]
    network.ingest(*(registered(name) for name in names))
    faults = [fault_reported(4, name) for name in names]
    for name, fault in zip(names, faults, strict=True):
        network.ingest(fault)
        assert in_model_terms(network.ingest(reserved(name, name))[0]) == ("refused", "compartment_degraded")
    for name, fault in zip(names, faults, strict=True):
        for body in (fault_cleared(fault, name), reserved(name, name), deposited(name, compartment_id=name)):
            [outcome] = network.ingest(body)
            assert isinstance(outcome, Accepted)

    locker = network.store.reads.locker(LOCKER)

    assert locker is not None
    assert (locker.active_reservations, locker.degraded_compartments) == (20, 0)
    assert all(network.store.reads.reservation(name) for name in names)


def test_events_after_a_restart_build_on_the_state_before_it(network: Network[Store]) -> None:
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


def test_a_batch_may_be_larger_than_the_row_cache(network: Network[Store]) -> None:
    batch = [registered(f"compartment-{number}") for number in range(40)]
    assert network.ingest(*batch, *reversed(batch)) == [
        *(Accepted(position) for position in range(1, 41)),
        *(Duplicate(position) for position in range(40, 0, -1)),
    ]

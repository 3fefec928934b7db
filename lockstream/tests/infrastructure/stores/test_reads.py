"""Reads that all stores answer alike."""

from lockstream.core.entities.state import Status
from lockstream.core.ports import Store
from lockstream.tests.infrastructure.stores.comparison import in_model_terms
from lockstream.tests.infrastructure.stores.network import Network
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    registered,
    reserved,
)


def test_lockers_and_compartments_are_sorted_by_code_points(network: Network[Store]) -> None:
    names = [
        "a",
        "B",
        "b",
        "é",
        "e\u0301",
        "ß",
        "\u017f",
        "\uffee",
        "\U0001f512",
        "10",
        "9",
        " ",
        "{}",
        "%s",
        "'; --",
        "a\u2028",
    ]
    network.ingest(*(registered(locker=name) for name in names), *(registered(name, locker="a") for name in names))
    lockers = list(network.store.reads.lockers())
    assert [locker.locker_id for locker in lockers] == sorted(names)
    locker = network.store.reads.locker("a")
    assert locker is not None
    assert [view.compartment_id for view in locker.compartments] == sorted([*names, COMPARTMENT])


def test_ids_that_differ_only_in_case_or_composition_are_different(network: Network[Store]) -> None:
    network.ingest(registered("a", locker="é"))
    for locker, compartment in (("É", "a"), ("e\u0301", "a"), ("é", "A"), ("é", "a ")):
        assert network.store.reads.compartment(locker, compartment) is None
    assert in_model_terms(network.ingest(reserved("r", "A", locker="é"))[0]) == ("refused", "unknown_compartment")


def test_the_same_characters_split_differently_are_different_compartments(network: Network[Store]) -> None:
    network.ingest(registered("b,c", locker="a"), registered("c", locker="a,b"), fault_reported(3, "c", locker="a,b"))
    intact = network.store.reads.compartment("a", "b,c")
    degraded = network.store.reads.compartment("a,b", "c")
    assert intact is not None
    assert degraded is not None
    assert (intact.degraded, degraded.degraded) == (False, True)


def test_open_faults_are_sorted_by_id_and_shown_with_their_severity(network: Network[Store]) -> None:
    ids = [f"{digit}0000000-0000-4000-8000-000000000000" for digit in "5a09f3"]
    reports = [fault_reported(severity, event_id=fault_id) for severity, fault_id in enumerate(ids)]
    network.ingest(registered(), *reports, fault_cleared(reports[2]))
    locker = network.store.reads.locker(LOCKER)
    assert locker is not None
    expected = sorted((fault_id, severity) for severity, fault_id in enumerate(ids) if severity != 2)
    assert locker.compartments[0].open_faults == tuple(expected)


def test_a_read_of_an_unknown_subject_returns_none(network: Network[Store]) -> None:
    reads = network.store.reads
    assert list(reads.lockers()) == []
    for _ in range(2):
        assert reads.locker("unknown") is None
        assert reads.compartment("unknown", COMPARTMENT) is None
        assert reads.compartment(LOCKER, "unknown") is None
        assert reads.reservation("unknown") is None
        network.ingest(registered(), reserved(), deposited("unknown"), fault_reported(0, "unknown"))


def test_a_final_reservation_is_still_shown(network: Network[Store]) -> None:
    network.ingest(registered(), reserved(), expired(), reserved("reservation-2"), deposited("reservation-2"))
    first, second = (network.store.reads.reservation(key) for key in (RESERVATION, "reservation-2"))
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (Status.EXPIRED, Status.DEPOSITED)


def test_the_highest_severity_survives_a_rebuild(network: Network[Store]) -> None:
    network.ingest(registered(), fault_reported(2**31 - 1))
    network.rebuild()
    locker = network.store.reads.locker(LOCKER)
    assert locker is not None
    assert [severity for _, severity in locker.compartments[0].open_faults] == [2**31 - 1]

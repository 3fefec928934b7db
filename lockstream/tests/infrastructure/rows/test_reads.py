"""What every store shows, once it is settled."""

from lockstream.core.entities.state import Status
from lockstream.tests.infrastructure.stores.network import Network
from lockstream.tests.infrastructure.stores.state_machine import told
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


def test_lockers_and_compartments_come_in_code_point_order(network: Network) -> None:
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
    lockers = list(network.store.queries.lockers())
    assert [locker.locker_id for locker in lockers] == sorted(names)
    locker = network.store.queries.locker("a")
    assert locker is not None
    assert [view.compartment_id for view in locker.compartments] == sorted([*names, COMPARTMENT])


def test_names_that_differ_in_case_or_composition_alone_are_different(network: Network) -> None:
    network.ingest(registered("a", locker="é"))
    for locker, compartment in (("É", "a"), ("e\u0301", "a"), ("é", "A"), ("é", "a ")):
        assert network.store.queries.compartment(locker, compartment) is None
    assert told(network.ingest(reserved("r", "A", locker="é"))[0]) == ("refused", "unknown_compartment")


def test_names_cannot_be_confused_across_their_border(network: Network) -> None:
    network.ingest(registered("b,c", locker="a"), registered("c", locker="a,b"), fault_reported(3, "c", locker="a,b"))
    sound, degraded = (network.store.queries.compartment(*place) for place in (("a", "b,c"), ("a,b", "c")))
    assert sound is not None
    assert degraded is not None
    assert (sound.degraded, degraded.degraded) == (False, True)


def test_open_faults_are_shown_by_id_with_their_severity(network: Network) -> None:
    ids = [f"{digit}0000000-0000-4000-8000-000000000000" for digit in "5a09f3"]
    reports = [fault_reported(severity, event_id=fault_id) for severity, fault_id in enumerate(ids)]
    network.ingest(registered(), *reports, fault_cleared(reports[2]))
    locker = network.store.queries.locker(LOCKER)
    assert locker is not None
    expected = sorted((fault_id, severity) for severity, fault_id in enumerate(ids) if severity != 2)
    assert locker.compartments[0].open_faults == tuple(expected)


def test_what_nobody_reported_is_none(network: Network) -> None:
    queries = network.store.queries
    assert list(queries.lockers()) == []
    for _ in range(2):
        assert queries.locker("nowhere") is None
        assert queries.compartment("nowhere", COMPARTMENT) is None
        assert queries.compartment(LOCKER, "nowhere") is None
        assert queries.reservation("nobody's") is None
        network.ingest(registered(), reserved(), deposited("nobody's"), fault_reported(0, "nowhere"))


def test_a_reservation_is_shown_after_its_end(network: Network) -> None:
    network.ingest(registered(), reserved(), expired(), reserved("reservation-2"), deposited("reservation-2"))
    first, second = (network.store.queries.reservation(key) for key in (RESERVATION, "reservation-2"))
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (Status.EXPIRED, Status.DEPOSITED)


def test_the_greatest_severity_is_kept(network: Network) -> None:
    network.ingest(registered(), fault_reported(2**31 - 1))
    network.rebuild()
    locker = network.store.queries.locker(LOCKER)
    assert locker is not None
    assert [severity for _, severity in locker.compartments[0].open_faults] == [2**31 - 1]

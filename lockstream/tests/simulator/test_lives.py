"""The lives of parcels, doors and connections: long tails, clusters and bursts."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.tests.simulator.conftest import LOCKERS, Seen


def by_reservation(seen: Sequence[Seen]) -> dict[str, dict[str, Seen]]:
    """Return the first event of each type of each reservation that was created."""
    found: dict[str, dict[str, Seen]] = defaultdict(dict)
    for event in seen:
        if "reservation_id" in event.payload:
            found[event.payload["reservation_id"]].setdefault(event.type, event)
    return {name: events for name, events in found.items() if "ReservationCreated" in events}


def test_most_parcels_are_picked_up_within_a_day_and_some_lie_for_long(seen: Sequence[Seen]) -> None:
    lying = [
        life["ParcelPickedUp"].occurred - life["ParcelDeposited"].occurred
        for life in by_reservation(seen).values()
        if life.keys() >= {"ParcelDeposited", "ParcelPickedUp"} and "ReservationExpired" not in life
    ]
    assert timedelta(hours=3) < sorted(lying)[len(lying) // 2] < timedelta(hours=24)
    assert 0.01 < sum(time > timedelta(days=3) for time in lying) / len(lying) < 0.15
    assert max(lying) > timedelta(days=10)


def test_parcels_expire_and_some_are_never_deposited(seen: Sequence[Seen]) -> None:
    lives = by_reservation(seen).values()
    expired = [life for life in lives if "ReservationExpired" in life]
    never_deposited = [life for life in expired if "ParcelDeposited" not in life]
    assert 0.02 < len(expired) / len(lives) < 0.10
    assert 0.2 < len(never_deposited) / len(expired) < 0.8
    limits = [
        life["ReservationExpired"].occurred - life["ParcelDeposited"].occurred
        for life in expired
        if "ParcelDeposited" in life
    ]
    assert timedelta(days=7) <= min(limits)


def test_faults_come_in_clusters(seen: Sequence[Seen]) -> None:
    faults = [event for event in seen if event.type == "FaultReported"]
    assert len(faults) > 50
    # most faults have company at the same locker within hours, although a locker has few faults a month
    neighbours = [
        fault
        for fault in faults
        if any(
            other.locker == fault.locker
            and other.payload["compartment_id"] != fault.payload["compartment_id"]
            and abs(other.occurred - fault.occurred) < timedelta(hours=3)
            for other in faults
        )
    ]
    assert len(neighbours) / len(faults) > 0.5
    # and the worst tenth of the lockers has far more than a tenth of them
    of_lockers = Counter(fault.locker for fault in faults).most_common(LOCKERS // 10)
    assert sum(number for _, number in of_lockers) / len(faults) > 0.3


def test_faults_have_every_severity_and_most_are_cleared(seen: Sequence[Seen]) -> None:
    faults = {event.event_id: event for event in seen if event.type == "FaultReported"}
    severities = Counter(fault.payload["severity"] for fault in faults.values())
    assert set(severities) == {1, 2, 3, 4, 5}
    assert 0.4 < sum(severities[severity] for severity in range(DEGRADING_SEVERITY, 6)) / len(faults) < 0.8
    cleared = {event.payload["fault_event_id"]: event for event in seen if event.type == "FaultCleared"}
    assert cleared.keys() <= faults.keys()
    assert 0.6 < len(cleared) / len(faults) < 0.99
    assert all(event.occurred > faults[fault].occurred for fault, event in cleared.items())


def test_lockers_go_offline_and_report_everything_later_in_one_burst(seen: Sequence[Seen]) -> None:
    late = [event for event in seen if event.delay > timedelta(hours=1)]
    bursts = Counter((event.locker, event.arrival) for event in late)
    assert 0.002 < len(late) / len(seen) < 0.05
    assert max(bursts.values()) > 20
    assert max(event.delay for event in late) > timedelta(hours=12)
    # and nothing arrives from such a locker meanwhile
    for locker, arrival in bursts:
        begin = min(event.occurred.timestamp() for event in late if (event.locker, event.arrival) == (locker, arrival))
        assert [event for event in seen if event.locker == locker and begin < event.arrival < arrival] == []

"""The tally of batches counts each event once, and the delay of a request by its first accepted event."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lockstream.core.entities.events import CompartmentRegistered, Event, ReservationCreated
from lockstream.core.errors import QueueFull, StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.rules import COMPARTMENT_RESERVED, UNKNOWN_COMPARTMENT
from lockstream.services.running.telemetry import batch_tally
from lockstream.services.running.telemetry.batch_tally import BatchTally
from lockstream.services.running.telemetry.counts import EventCounts
from lockstream.tests.support.builders import event, registered, reserved

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return NOW


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_tally, "datetime", Clock)


def at(seconds_ago: float, zone: str = "Z") -> Event:
    time = (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", zone)
    return event(registered() | {"occurred_at": time})


def test_a_batch_in_which_all_is_accepted() -> None:
    tally = BatchTally()
    tally.note([[event(registered())], [event(reserved()), event(registered("b"))]], list(map(Accepted, (1, 2, 3))))
    counts = EventCounts.of(tally)
    assert counts.accepted == {CompartmentRegistered: 2, ReservationCreated: 1}
    assert (counts.duplicates, counts.refused, counts.refusals) == ({}, {}, {})


def test_a_batch_of_every_outcome() -> None:
    tally = BatchTally()
    tally.note([[event(registered())]], [Accepted(1)])
    reservations = [event(reserved(str(number))) for number in range(7)]
    outcomes: list[Outcome | Exception] = [
        *(Accepted(2), Duplicate(1), COMPARTMENT_RESERVED, UNKNOWN_COMPARTMENT),
        *(StoreUnavailable(""), QueueFull(1), ZeroDivisionError()),
    ]
    tally.note([reservations[:3], reservations[3:]], outcomes)
    counts = EventCounts.of(tally)
    assert counts.accepted == {CompartmentRegistered: 1, ReservationCreated: 1}
    assert (counts.duplicates, counts.refused) == ({ReservationCreated: 1}, {ReservationCreated: 2})
    assert counts.refusals == {COMPARTMENT_RESERVED.code: 1, UNKNOWN_COMPARTMENT.code: 1}
    assert (counts.unacknowledged, counts.failed) == (2, 1)


def test_a_batch_without_events() -> None:
    tally = BatchTally()
    tally.note([[], []], [])
    assert EventCounts.of(tally).accepted == {}


@pytest.mark.parametrize(
    ("seconds_ago", "bucket"), [(-5, 0), (0, 0), (1, 0), (1.5, 1), (299, 4), (86_400, 8), (86_401, 9), (10**8, 9)]
)
def test_the_delay_of_the_first_accepted_event_stands_for_all_of_a_request(seconds_ago: float, bucket: int) -> None:
    tally = BatchTally()
    request = [at(10**6), at(seconds_ago), at(10**6)]
    tally.note([request, [at(10**6)]], [Duplicate(1), Accepted(2), Accepted(3), Duplicate(1)])
    assert tally.delay_seconds.counts == [2 if number == bucket else 0 for number in range(10)]
    assert tally.delay_seconds.sum == 2 * max(0, seconds_ago)


def test_each_request_of_a_batch_has_its_delay() -> None:
    tally = BatchTally()
    tally.note([[at(2)], [at(10, "z"), at(10)], []], list(map(Accepted, (1, 2, 3))))
    assert tally.delay_seconds.counts[:4] == [0, 1, 2, 0]
    assert tally.delay_seconds.sum == 22


def test_a_leap_second_has_no_delay() -> None:
    tally = BatchTally()
    tally.note([[event(registered() | {"occurred_at": "2016-12-31T23:59:60Z"})]], [Accepted(1)])
    assert EventCounts.of(tally).accepted == {CompartmentRegistered: 1}
    assert sum(tally.delay_seconds.counts) == 0

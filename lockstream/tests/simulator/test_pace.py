"""The pace of a simulation, by a clock that the test sets."""

from itertools import chain

from lockstream.simulator.client import BATCH_EVENTS
from lockstream.simulator.pace import TICK_SECONDS, batches, clock_at
from lockstream.simulator.simulation import Simulation
from lockstream.simulator.world import Arrival
from lockstream.tests.simulator.conftest import DAY, MONDAY

END = MONDAY + 3 * DAY


class SetClock:
    """A clock of real time that only runs while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_without_a_clock_all_events_come_at_once_in_full_batches() -> None:
    expected = list(Simulation(80, 1, MONDAY).arrivals(END))
    found = list(batches(Simulation(80, 1, MONDAY), END))
    assert list(chain.from_iterable(found)) == expected
    assert {len(batch) for batch in found[:-1]} == {BATCH_EVENTS}


def test_at_a_speed_each_event_comes_when_its_time_has_come() -> None:
    # given ten simulated minutes a second
    real = SetClock()
    clock = clock_at(600, MONDAY, real)
    expected = list(Simulation(4, 1, MONDAY).arrivals(END))
    # when
    found: list[Arrival] = []
    for batch in batches(Simulation(4, 1, MONDAY), END, clock, real.sleep):
        found += batch
        assert max(arrival.time for arrival in batch) < clock()
        assert min(arrival.time for arrival in batch) >= clock() - TICK_SECONDS * 600 - 1
    # then
    assert found == expected
    assert real.now - 1_000 >= 3 * DAY / 600


def test_a_slow_reader_gets_the_missed_events_later() -> None:
    real = SetClock()
    clock = clock_at(600, MONDAY, real)
    found: list[Arrival] = []
    for batch in batches(Simulation(4, 1, MONDAY), END, clock, real.sleep):
        found += batch
        real.sleep(30)
    assert found == list(Simulation(4, 1, MONDAY).arrivals(END))

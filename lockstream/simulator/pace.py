"""The pace of a simulation: a multiple of real time, or as fast as the events are read."""

import time
from collections.abc import Callable, Iterator
from itertools import batched

from lockstream.simulator.client import BATCH_EVENTS
from lockstream.simulator.simulation import Simulation
from lockstream.simulator.world import Arrival

TICK_SECONDS = 0.2
"""Time between two reads of the clock."""

type Batch = tuple[Arrival, ...]

type Clock = Callable[[], float]
"""Returns the simulated time up to which events have arrived, in seconds since 1970-01-01, UTC."""


def clock_at(speed: float, start: float, real: Clock = time.monotonic) -> Clock:
    """Return a clock that shows `start` now, and runs at `speed` times the clock `real`."""
    started = real()
    return lambda: start + (real() - started) * speed


def batches(
    simulation: Simulation, end: float, clock: Clock | None = None, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Batch]:
    """Yield the next events that arrive before `end`, each once `clock` has reached its arrival.

    Without a clock, no event waits.
    """
    while clock and (now := clock()) < end:
        yield from batched(simulation.arrivals(now), BATCH_EVENTS)
        sleep(TICK_SECONDS)
    yield from batched(simulation.arrivals(end), BATCH_EVENTS)

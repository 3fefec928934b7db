"""A simulation: a network of lockers that open in the first hours, and then report events without an end."""

from collections.abc import Iterator
from random import Random

from lockstream.simulator.distribution import Distribution
from lockstream.simulator.faults import plan_incident
from lockstream.simulator.network import Compartment, Locker, new_network
from lockstream.simulator.outages import plan_outage
from lockstream.simulator.parcels import release
from lockstream.simulator.rhythm import DAY
from lockstream.simulator.world import Arrival, World

_UNTIL_OPENING = Distribution((0, 0), (0.95, 1), (1, 480))
"""Hours until a locker opens. A few are installed within the first weeks."""

_DAILY_EVENTS = 1.4
"""Events of an average compartment a day."""


class Simulation:
    """The events of a network from the time `start` on, in seconds since 1970-01-01, UTC.

    The same seed makes the same network, and with the same start the same events, on every system.
    """

    def __init__(self, lockers: int, seed: int, start: int) -> None:
        self.start = start
        self.lockers = new_network(Random(f"network {seed}"), lockers)
        self.compartments = sum(len(locker.compartments) for locker in self.lockers)
        # The start is a part of the seed. Without it, a second run with another start would send known event ids.
        self._world = World(Random(f"life {seed} {start}"), start)
        for locker in self.lockers:
            locker.outbox = self._world.delivered
            self._world.at(self._world.after(_UNTIL_OPENING), _open, locker)

    def arrivals(self, end: float) -> Iterator[Arrival]:
        """Yield the next events that arrive before the time `end`, in the order of their arrival.

        After the last event, a further call continues with the events from `end` on. The memory that a simulation
        needs is bounded by the number of compartments and the longest outage.
        """
        return self._world.run(end)

    def example(self) -> Compartment:
        """Return a compartment whose state the server knows, with an active reservation if there is one."""
        connected = [locker for locker in self.lockers if locker.outbox is self._world.delivered]
        reserved = (one for locker in connected for one in locker.compartments if one.reservation)
        return next(reserved, self.lockers[0].compartments[0])

    def estimate(self, end: int) -> int:
        """Return an estimate of the number of events that arrive before the time `end`. It is some percent off."""
        return round(self.compartments * (1 + _DAILY_EVENTS * (end - self.start) / DAY))


def _open(world: World, locker: Locker) -> None:
    for compartment in locker.compartments:
        world.report(
            compartment,
            "CompartmentRegistered",
            f'"compartment_id":"{compartment.name}","size":"{compartment.size}"',
        )
        release(world, compartment)
    plan_incident(world, locker)
    plan_outage(world, locker)

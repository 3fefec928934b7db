"""Outages: a locker without a connection keeps its events, and sends them in one burst afterwards."""

from lockstream.simulator.distribution import Distribution
from lockstream.simulator.network import Locker
from lockstream.simulator.world import World

_UNTIL_OUTAGE = Distribution((0, 2), (0.5, 150), (0.9, 600), (1, 1_500))
"""Hours between two outages of a locker."""

_DURATION = Distribution((0, 0.05), (0.6, 0.7), (0.9, 8), (0.99, 40), (1, 72))
"""Hours of an outage: minutes to days."""


def plan_outage(world: World, locker: Locker) -> None:
    """Plan the next outage of a locker at a random time."""
    world.at(world.after(_UNTIL_OUTAGE), _disconnect, locker)


def _disconnect(world: World, locker: Locker) -> None:
    locker.outbox = []
    world.at(world.after(_DURATION), _reconnect, locker)


def _reconnect(world: World, locker: Locker) -> None:
    world.delivered += locker.outbox
    locker.outbox = world.delivered
    plan_outage(world, locker)

"""The life of a compartment: reserved, filled, emptied, and free again."""

from lockstream.simulator.distribution import Distribution
from lockstream.simulator.network import Compartment
from lockstream.simulator.rhythm import COURIERS, CUSTOMERS, DAY, SHOPS
from lockstream.simulator.world import World

_FREE = Distribution((0, 0.2), (0.5, 6), (0.9, 24), (1, 100))
"""Average hours of shops between two reservations of a compartment."""

_UNTIL_DEPOSIT = Distribution((0, 0.5), (0.5, 7), (0.9, 20), (1, 60))
"""Average hours of couriers between reservation and deposit."""

_UNTIL_PICK_UP = Distribution((0, 0.1), (0.5, 7), (0.8, 22), (0.96, 80), (1, 400))
"""Average hours of customers between deposit and pick-up. A time beyond `_PICK_UP_LIMIT` ends in an expiry."""

_UNTIL_VISIT = Distribution((0, 0), (1, 8))
"""Average hours of couriers between the pick-up limit and the visit that empties the compartment."""

_LYING = Distribution((0, 240), (1, 1_500))
"""Hours for which a forgotten parcel stays in its compartment."""

_UNTIL_LATE_PICK_UP = Distribution((0, 1), (1, 50))
"""Hours between an expiry and an attempt to pick up the parcel nevertheless."""

_NEVER_DEPOSITED = 0.03
_DEPOSIT_LIMIT = 3 * DAY
_PICK_UP_LIMIT = 7 * DAY
_FORGOTTEN = 0.003
_MISTAKEN = 0.004
"""Share of actions with which the locker also reports an event that the rules refuse."""


def reserve(world: World, compartment: Compartment) -> None:
    """Reserve a compartment for a parcel. A degraded compartment is reserved later."""
    if compartment.degrading_faults:
        if world.chance() < 10 * _MISTAKEN:
            _report_reservation(world, compartment)
        release(world, compartment)
        return
    reservation = compartment.reservation = world.new_reservation_id()
    world.report(
        compartment,
        "ReservationCreated",
        f'"reservation_id":"{reservation}","compartment_id":"{compartment.name}"',
    )
    if world.chance() < _MISTAKEN:
        _report_reservation(world, compartment)
    if world.chance() < _NEVER_DEPOSITED:
        world.at(world.now + _DEPOSIT_LIMIT, expire, compartment)
    else:
        world.at(world.in_rhythm(COURIERS, compartment.locker, _UNTIL_DEPOSIT), deposit, compartment)


def deposit(world: World, compartment: Compartment) -> None:
    """Deposit the parcel. The customer picks the parcel up, or it expires, or it is forgotten for weeks."""
    if world.chance() < _MISTAKEN:  # the courier scans a parcel of another carrier first
        _report_wrongly(world, compartment, "ParcelDeposited", world.new_reservation_id())
    weight = int(100 + 9_900 * world.chance() * world.chance())
    world.report(
        compartment,
        "ParcelDeposited",
        f'"reservation_id":"{compartment.reservation}","compartment_id":"{compartment.name}","weight_g":{weight}',
    )
    if world.chance() < _FORGOTTEN:
        world.at(world.after(_LYING), pick_up, compartment)
        return
    limit = world.now + _PICK_UP_LIMIT
    picked_up = world.in_rhythm(CUSTOMERS, compartment.locker, _UNTIL_PICK_UP)
    if picked_up <= limit:
        world.at(picked_up, pick_up, compartment)
    else:
        world.at(limit, visit, compartment)


def visit(world: World, compartment: Compartment) -> None:
    """Plan the visit of the next courier, who takes the parcel back."""
    world.at(world.in_rhythm(COURIERS, compartment.locker, _UNTIL_VISIT), expire, compartment)


def pick_up(world: World, compartment: Compartment) -> None:
    """Take the parcel out."""
    reservation = compartment.reservation
    world.report(compartment, "ParcelPickedUp", f'"reservation_id":"{reservation}"')
    if world.chance() < _MISTAKEN:  # the door is closed a second time
        _report_wrongly(world, compartment, "ParcelPickedUp", str(reservation))
    compartment.reservation = None
    release(world, compartment)


def expire(world: World, compartment: Compartment) -> None:
    """End the reservation without a pick-up."""
    reservation = str(compartment.reservation)
    world.report(compartment, "ReservationExpired", f'"reservation_id":"{reservation}"')
    if world.chance() < 10 * _MISTAKEN:
        world.at(world.after(_UNTIL_LATE_PICK_UP), _pick_up_late, (compartment, reservation))
    compartment.reservation = None
    release(world, compartment)


def release(world: World, compartment: Compartment) -> None:
    """Plan the next reservation of a free compartment."""
    locker = compartment.locker
    world.at(world.in_rhythm(SHOPS, locker, _FREE, 1 / locker.demand), reserve, compartment)


def _pick_up_late(world: World, expired: tuple[Compartment, str]) -> None:
    compartment, reservation = expired
    _report_wrongly(world, compartment, "ParcelPickedUp", reservation)


def _report_reservation(world: World, compartment: Compartment) -> None:
    """Send an impossible reservation: the compartment already has one, or is degraded."""
    world.report_wrongly(
        compartment,
        "ReservationCreated",
        f'"reservation_id":"{world.new_reservation_id()}","compartment_id":"{compartment.name}"',
    )


def _report_wrongly(world: World, compartment: Compartment, event_type: str, reservation: str) -> None:
    world.report_wrongly(compartment, event_type, f'"reservation_id":"{reservation}"')

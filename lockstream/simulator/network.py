"""A network of lockers, each with its city, its compartments, its demand and its reliability."""

from random import Random

from lockstream.simulator.distribution import Distribution
from lockstream.simulator.rhythm import HOUR

CITIES = (
    *(("BER", 1, 20), ("HAM", 1, 13), ("MUC", 1, 13), ("CGN", 1, 12), ("WAW", 1, 12), ("VIE", 1, 10)),
    *(("LIS", 0, 7), ("HEL", 2, 7), ("ATH", 2, 6)),
)
"""Code of each city, the offset of its clocks from UTC in hours, and its share of the lockers in percent."""

COLUMN = ("S", "S", "S", "M", "M", "M", "L", "XL")
"""Sizes of the compartments in one column of a locker, from the top to the bottom."""

_COLUMNS = Distribution((0, 1), (0.3, 2), (0.6, 3.2), (0.85, 5.5), (0.96, 10), (1, 16))
"""Columns of a locker, rounded down: 8 to 120 compartments."""

_DEMAND = Distribution((0, 0.4), (0.5, 0.9), (0.9, 1.6), (1, 3))
"""Demand of a locker as a multiple of the average demand."""

_FLAWED = 0.06
"""Share of lockers that break eight times as often as others."""


class Locker:
    """A locker. Its `outbox` is the list of events at the server, or a list of its own while the locker is offline."""

    __slots__ = ("compartments", "demand", "flaws", "head", "name", "offset", "outbox")

    def __init__(self, name: str, hours: int, columns: int, demand: float, flaws: float) -> None:
        """`hours` is the offset of the locker's clock from UTC."""
        self.name = name
        self.offset = hours * HOUR
        self.head = f'+{hours:02d}:00","locker_id":"{name}","type":"'
        """The part of an event's JSON text from the UTC offset to the event type."""
        self.demand = demand
        self.flaws = flaws
        self.outbox: list[bytes] = []
        self.compartments = tuple(
            Compartment(self, f"{chr(ord('A') + column)}{row:02d}", size)
            for column in range(columns)
            for row, size in enumerate(COLUMN, 1)
        )


class Compartment:
    """A compartment, with its active reservation and the number of open faults that degrade it."""

    __slots__ = ("degrading_faults", "locker", "name", "reservation", "size")

    def __init__(self, locker: Locker, name: str, size: str) -> None:
        self.locker, self.name, self.size = locker, name, size
        self.reservation: str | None = None
        self.degrading_faults = 0


def new_network(random: Random, lockers: int) -> list[Locker]:
    """Return a network of `lockers` lockers."""
    cities = [(code, hours) for code, hours, share in CITIES for _ in range(share)]
    numbers = dict.fromkeys(cities, 0)
    network = []
    for _ in range(lockers):
        city = cities[int(random.random() * len(cities))]
        numbers[city] += 1
        code, hours = city
        network.append(
            Locker(
                f"{code}-{numbers[city]:04d}",
                hours,
                columns=int(_COLUMNS.at(random.random())),
                demand=_DEMAND.at(random.random()),
                flaws=8 if random.random() < _FLAWED else 1,
            )
        )
    return network

"""A network for the measurement of lists: the events of each locker are spread over the log, as in a real network.

All names follow from the number of lockers, so readers know the subjects without asking a server.
"""

from collections.abc import Iterator
from functools import cache
from itertools import batched, chain, product, repeat
from random import Random
from zlib import crc32

from msgspec import Struct

from bench.load.events import EventGenerator, Key
from bench.load.forms import (
    CLEARED,
    DEPOSITED,
    EXPIRED,
    FAULT,
    ID,
    PICKED_UP,
    REGISTERED,
    RESERVED,
    TIMES,
    random_ids,
)

PER_LOCKER = 40
"""Compartments of one locker."""

_BUSY = 0
"""Number of the busy locker, which has many more events than any other."""

_BUSY_EVERY = 38
"""One event of the busy locker follows after so many other events, so that the locker has some 2 % of all events."""

_FULL_EVERY = 50
"""One of so many lockers is full: each of its compartments holds a parcel."""

_AREA_LOCKERS = 500
"""Lockers of one area. Their events alternate in the log."""

_SPARE = PER_LOCKER - 1
"""Number of the compartment that is only registered, unless its locker is full. Posts may use it later."""

_UNUSED, _FULL = "", "RD"

_LIVES = (
    *["RDPRDP"] * 6,
    *["RDPRD", "RD"] * 2,
    *["RDERDP", "RERDP", "RDPR", "RDFCP", "RDPF", "SRDP", "RDP"],
    *[_UNUSED] * 3,
)
"""The lives of compartments, each as likely as the others. A letter of a life is one event:

R reserved, D deposited, P picked up, E expired, S slight fault, F fault that degrades the compartment, C fault cleared.
"""

_STEPS = max(map(len, _LIVES))
_RESERVATION_EVENTS = {"R": RESERVED, "D": DEPOSITED, "P": PICKED_UP, "E": EXPIRED}
_SEVERITIES = {"S": 1, "F": 4}
_IDS_AT_ONCE = 10_000


class Network(Struct, frozen=True):
    """A network with `lockers` lockers of 40 compartments. `tag` is the prefix of the lockers' names."""

    tag: str
    lockers: int

    @property
    def busy_locker(self) -> str:
        """The locker that has many more events than any other."""
        return self.locker(_BUSY)

    def locker(self, number: int) -> str:
        """Return the name of a locker. Names have the order of their numbers."""
        return f"{self.tag}-{number:05d}"

    def events(self) -> Iterator[bytes]:
        """Yield all events, each as JSON on one line without its end: five for each compartment, on average.

        All registrations come first, and then each step of all lives, one area after the other. In an area, one
        compartment of each locker has its event, then the next one. So two events of a locker have others between them.
        """
        compartments = (one for locker in range(self.lockers) for one in self._compartments(locker))
        for compartment, uuid in zip(compartments, _endless_ids(), strict=False):
            yield REGISTERED % (*uuid, TIMES[0], *compartment)
        busy = EventGenerator(self._compartments(_BUSY), registered=True)
        for number, event in enumerate(self._life_events(), 1):
            yield event
            if number % _BUSY_EVERY == 0:
                yield from busy.take(1)

    def spare_compartments(self, part: int, parts: int) -> list[Key]:
        """Return a part of the compartments that are only registered."""
        lockers = [locker for locker in range(self.lockers) if locker != _BUSY and not _is_full(locker)]
        return [self._compartments(locker)[_SPARE] for locker in lockers[part::parts]]

    def random_locker(self, random: Random) -> str:
        return self.locker(random.randrange(self.lockers))

    def random_reservation(self, random: Random) -> str:
        """Return the id of a reservation that `events` creates."""
        while True:
            locker, slot = random.randrange(self.lockers), random.randrange(PER_LOCKER)
            if reservations := _life(locker, slot).count("R"):
                return f"R-{_reservation(locker, slot, random.randrange(reservations)).decode()}"

    def _compartments(self, locker: int) -> list[Key]:
        name = self.locker(locker).encode()
        return [(name, compartment_name(slot).encode()) for slot in range(PER_LOCKER)]

    def _life_events(self) -> Iterator[bytes]:
        """Yield the events of all lives. The busy locker has none."""
        lockers = [(locker, self.locker(locker).encode()) for locker in range(self.lockers)]
        ids, faults = _endless_ids(), dict[Key, bytes]()
        for step in range(_STEPS):
            time = TIMES[step * 3_600]
            for area in batched(lockers, _AREA_LOCKERS):
                for slot, (locker, name) in product(range(PER_LOCKER), area):
                    life = _life(locker, slot)
                    if step >= len(life):
                        continue
                    uuid, letter, key = next(ids), life[step], (name, compartment_name(slot).encode())
                    if form := _RESERVATION_EVENTS.get(letter):
                        yield form % (*uuid, time, *key, _reservation(locker, slot, _cycle(life, step)))
                    elif letter == "C":
                        yield CLEARED % (*uuid, time, *key, faults.pop(key))
                    else:
                        faults[key] = ID % uuid
                        yield FAULT % (*uuid, time, *key, _SEVERITIES[letter])


def compartment_name(slot: int) -> str:
    """Return the name of a compartment by its number in its locker, from 0."""
    return f"C{slot + 1:02d}"


def _life(locker: int, slot: int) -> str:
    if _is_full(locker):
        return _FULL
    if locker == _BUSY or slot == _SPARE:
        return _UNUSED
    return _LIVES[_scattered(locker, slot) % len(_LIVES)]


def _is_full(locker: int) -> bool:
    return locker % _FULL_EVERY == _FULL_EVERY - 1


def _reservation(locker: int, slot: int, cycle: int) -> bytes:
    """Return the id of a compartment's reservation, the first of which has the number 0."""
    return b"%08x%08x" % (_scattered(locker, slot), cycle)


def _scattered(locker: int, slot: int) -> int:
    """Return a number of 32 bits that looks random. No two compartments have the same one."""
    return crc32((locker * PER_LOCKER + slot).to_bytes(4))


@cache
def _cycle(life: str, step: int) -> int:
    """Return the number of reservations of a life before the reservation of this step."""
    return life.count("R", 0, step + 1) - 1


def _endless_ids() -> Iterator[tuple[bytes, ...]]:
    return chain.from_iterable(map(random_ids, repeat(_IDS_AT_ONCE)))

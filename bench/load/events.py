"""The events that the load generator sends, as JSON. Sent in their order, all of them are accepted.

The events are formatted from random bytes, so that few seconds suffice to prepare a load.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import count, islice

from bench.load.forms import CLEARED, DEPOSITED, FAULT, ID, PICKED_UP, REGISTERED, RESERVED, TIMES, random_ids

PER_LOCKER = 8
"""Compartments of one locker."""

_FAULTY_EVERY = 20
"""One of so many compartments reports a fault and its repair before each reservation."""

type Key = tuple[bytes, bytes]
"""The ids of a locker and of one of its compartments."""


def locker_name(tag: str, number: int) -> str:
    """Return the name of the locker of compartment `number`."""
    return f"{tag}-{number // PER_LOCKER:05d}"


def compartments_of(tag: str, number: int) -> list[Key]:
    """Return `number` compartments. `tag` is the prefix of their lockers' names."""
    return [(locker_name(tag, one).encode(), b"C%d" % (one % PER_LOCKER + 1)) for one in range(number)]


def refused_events(locker: str, number: int) -> list[bytes]:
    """Return events of a locker that has no reservation, so that all are refused. Each has an id of its own."""
    return [DEPOSITED % (*one, TIMES[0], locker.encode(), b"none", b"none") for one in random_ids(number)]


class EventGenerator:
    """Generates the events of compartments that are reserved, filled and emptied in step, again and again."""

    def __init__(self, compartments: Sequence[Key], *, registered: bool = False) -> None:
        """Compartments that were `registered` before are not registered."""
        self._compartments = compartments
        self._events = self._all_events(registered)

    def take(self, number: int) -> list[bytes]:
        """Return the next events, each as JSON on one line without its end."""
        return list(islice(self._events, number))

    def _all_events(self, registered: bool) -> Iterator[bytes]:
        if not registered:
            ids = random_ids(len(self._compartments))
            yield from [REGISTERED % (*uuid, TIMES[0], *key) for uuid, key in zip(ids, self._compartments, strict=True)]
        for cycle in count():
            yield from self._faults(cycle)
            yield from self._parcels(cycle)

    def _faults(self, cycle: int) -> Iterator[bytes]:
        faulty = self._compartments[cycle % _FAULTY_EVERY :: _FAULTY_EVERY]
        reported, cleared = list(random_ids(len(faulty))), random_ids(len(faulty))
        time, severity = TIMES[cycle % len(TIMES)], 1 + cycle % 5
        yield from [FAULT % (*uuid, time, *key, severity) for uuid, key in zip(reported, faulty, strict=True)]
        yield from [
            CLEARED % (*uuid, time, *key, ID % fault)
            for uuid, key, fault in zip(cleared, faulty, reported, strict=True)
        ]

    def _parcels(self, cycle: int) -> Iterator[bytes]:
        digits = os.urandom(8 * len(self._compartments)).hex().encode()
        reservations = [digits[start : start + 16] for start in range(0, len(digits), 16)]
        for stage, form in enumerate((RESERVED, DEPOSITED, PICKED_UP)):
            time, ids = TIMES[(3 * cycle + stage) % len(TIMES)], random_ids(len(self._compartments))
            yield from [
                form % (*uuid, time, *key, reservation)
                for uuid, key, reservation in zip(ids, self._compartments, reservations, strict=True)
            ]

"""What lockers report, as bytes: lives in which every event can be accepted.

They are made by formatting, from random bytes that were turned to hexadecimal at once: some 700,000 events a second, so
that a few seconds' worth can be ready before the clock starts.
"""

import os
from collections.abc import Iterator
from itertools import count, islice
from struct import Struct

PER_LOCKER = 8
"""Compartments of one locker."""

_FAULTY_EVERY = 20
"""One compartment in so many reports a fault before a reservation, and its end."""

_PARTS = Struct("8s4sx3sx3s12s")
"""Of 32 random hexadecimal digits: what `_ID` needs for a random UUID (RFC 9562, version 4)."""

_ID = b"%b-%b-4%b-8%b-%b"
_HEAD = b'{"event_id":"' + _ID + b'","occurred_at":"2026-11-23T%b+01:00","locker_id":"%b","type":'
_REGISTERED = _HEAD + b'"CompartmentRegistered","payload":{"compartment_id":"%b","size":"M","door":"left"}}'
_RESERVED = _HEAD + b'"ReservationCreated","payload":{"compartment_id":"%b","reservation_id":"R-%b"}}'
_DEPOSITED = _HEAD + b'"ParcelDeposited","payload":{"compartment_id":"%b","reservation_id":"R-%b","weight_g":1250}}'
_PICKED_UP = _HEAD + b'"ParcelPickedUp","payload":{"compartment_id":"%b","reservation_id":"R-%b"}}'
_FAULT = _HEAD + b'"FaultReported","payload":{"compartment_id":"%b","severity":%d}}'
_CLEARED = _HEAD + b'"FaultCleared","payload":{"compartment_id":"%b","fault_event_id":"%b"}}'

_TIMES = [b"%02d:%02d:%02d" % (8 + second // 3600, second // 60 % 60, second % 60) for second in range(36_000)]


def locker_name(tag: str, number: int) -> str:
    """The locker of compartment `number` of those that `tag` names."""
    return f"{tag}-{number // PER_LOCKER:05d}"


class Lives:
    """The lives of some compartments. They go through them together: many parcels lie there at any time."""

    def __init__(self, tag: str, compartments: int, *, registered: bool = False) -> None:
        """`tag` begins the lockers' names. Compartments that were `registered` before are not again."""
        self._compartments = [
            (locker_name(tag, number).encode(), b"C%d" % (number % PER_LOCKER + 1)) for number in range(compartments)
        ]
        self._events = self._all(registered)

    def take(self, events: int) -> list[bytes]:
        """The next so many events, each as JSON on one line without its end."""
        return list(islice(self._events, events))

    def _all(self, registered: bool) -> Iterator[bytes]:
        if not registered:
            ids = _random_ids(len(self._compartments))
            yield from [
                _REGISTERED % (*uuid, _TIMES[0], *where) for uuid, where in zip(ids, self._compartments, strict=True)
            ]
        for turn in count():
            yield from self._faults(turn)
            yield from self._parcels(turn)

    def _faults(self, turn: int) -> Iterator[bytes]:
        faulty = self._compartments[turn % _FAULTY_EVERY :: _FAULTY_EVERY]
        reported, cleared = list(_random_ids(len(faulty))), _random_ids(len(faulty))
        time, severity = _TIMES[turn % len(_TIMES)], 1 + turn % 5
        yield from [_FAULT % (*uuid, time, *where, severity) for uuid, where in zip(reported, faulty, strict=True)]
        yield from [
            _CLEARED % (*uuid, time, *where, _ID % fault)
            for uuid, where, fault in zip(cleared, faulty, reported, strict=True)
        ]

    def _parcels(self, turn: int) -> Iterator[bytes]:
        places = self._compartments
        digits = os.urandom(8 * len(places)).hex().encode()
        reservations = [digits[start : start + 16] for start in range(0, len(digits), 16)]
        for stage, form in enumerate((_RESERVED, _DEPOSITED, _PICKED_UP)):
            time = _TIMES[(3 * turn + stage) % len(_TIMES)]
            yield from [
                form % (*uuid, time, *where, reservation)
                for uuid, where, reservation in zip(_random_ids(len(places)), places, reservations, strict=True)
            ]


def _random_ids(number: int) -> Iterator[tuple[bytes, ...]]:
    return _PARTS.iter_unpack(os.urandom(16 * number).hex().encode())

"""The events that the load generator sends, as JSON. Sent in their order, all of them are accepted.

The events are formatted from random bytes, some 700,000 a second, so that few seconds suffice to prepare a load.
"""

import os
from collections.abc import Iterator
from itertools import count, islice
from struct import Struct

PER_LOCKER = 8
"""Compartments of one locker."""

_FAULTY_EVERY = 20
"""One compartment in this many reports a fault and its end before each reservation."""

_PARTS = Struct("8s4sx3sx3s12s")
"""Parts of 32 random hexadecimal digits that `_ID` makes a random UUID of (RFC 9562, version 4)."""

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
    """Return the name of the locker of compartment `number`."""
    return f"{tag}-{number // PER_LOCKER:05d}"


class EventGenerator:
    """Generates the events of compartments that are reserved, filled and emptied in step, again and again."""

    def __init__(self, tag: str, compartments: int, *, registered: bool = False) -> None:
        """`tag` is the prefix of the lockers' names. Compartments that were `registered` before are not registered."""
        self._compartments = [
            (locker_name(tag, number).encode(), b"C%d" % (number % PER_LOCKER + 1)) for number in range(compartments)
        ]
        self._events = self._all_events(registered)

    def take(self, number: int) -> list[bytes]:
        """Return the next events, each as JSON on one line without its end."""
        return list(islice(self._events, number))

    def _all_events(self, registered: bool) -> Iterator[bytes]:
        if not registered:
            ids = _random_ids(len(self._compartments))
            yield from [
                _REGISTERED % (*uuid, _TIMES[0], *key) for uuid, key in zip(ids, self._compartments, strict=True)
            ]
        for cycle in count():
            yield from self._faults(cycle)
            yield from self._parcels(cycle)

    def _faults(self, cycle: int) -> Iterator[bytes]:
        faulty = self._compartments[cycle % _FAULTY_EVERY :: _FAULTY_EVERY]
        reported, cleared = list(_random_ids(len(faulty))), _random_ids(len(faulty))
        time, severity = _TIMES[cycle % len(_TIMES)], 1 + cycle % 5
        yield from [_FAULT % (*uuid, time, *key, severity) for uuid, key in zip(reported, faulty, strict=True)]
        yield from [
            _CLEARED % (*uuid, time, *key, _ID % fault)
            for uuid, key, fault in zip(cleared, faulty, reported, strict=True)
        ]

    def _parcels(self, cycle: int) -> Iterator[bytes]:
        digits = os.urandom(8 * len(self._compartments)).hex().encode()
        reservations = [digits[start : start + 16] for start in range(0, len(digits), 16)]
        for stage, form in enumerate((_RESERVED, _DEPOSITED, _PICKED_UP)):
            time, ids = _TIMES[(3 * cycle + stage) % len(_TIMES)], _random_ids(len(self._compartments))
            yield from [
                form % (*uuid, time, *key, reservation)
                for uuid, key, reservation in zip(ids, self._compartments, reservations, strict=True)
            ]


def _random_ids(number: int) -> Iterator[tuple[bytes, ...]]:
    return _PARTS.iter_unpack(os.urandom(16 * number).hex().encode())

"""The events of the load generator as JSON, one form per type. `form % values` is an event on one line."""

import os
from collections.abc import Iterator
from struct import Struct

ID = b"%b-%b-4%b-8%b-%b"
"""Form of a random UUID (RFC 9562, version 4). `random_ids` yields the values."""

_HEAD = b'{"event_id":"' + ID + b'","occurred_at":"2026-11-23T%b+01:00","locker_id":"%b","type":'

# Each form has the five values of an id, a time of `TIMES`, the locker and the compartment, and then its own value.

REGISTERED = _HEAD + b'"CompartmentRegistered","payload":{"compartment_id":"%b","size":"M","door":"left"}}'
RESERVED = _HEAD + b'"ReservationCreated","payload":{"compartment_id":"%b","reservation_id":"R-%b"}}'
DEPOSITED = _HEAD + b'"ParcelDeposited","payload":{"compartment_id":"%b","reservation_id":"R-%b","weight_g":1250}}'
PICKED_UP = _HEAD + b'"ParcelPickedUp","payload":{"compartment_id":"%b","reservation_id":"R-%b"}}'
EXPIRED = _HEAD + b'"ReservationExpired","payload":{"compartment_id":"%b","reservation_id":"R-%b"}}'
FAULT = _HEAD + b'"FaultReported","payload":{"compartment_id":"%b","severity":%d}}'
CLEARED = _HEAD + b'"FaultCleared","payload":{"compartment_id":"%b","fault_event_id":"%b"}}'

TIMES = [b"%02d:%02d:%02d" % (8 + second // 3600, second // 60 % 60, second % 60) for second in range(36_000)]
"""Times of a day, from 8 to 18 o'clock."""

_PARTS = Struct("8s4sx3sx3s12s")
"""Splits 32 random hexadecimal digits into the values of `ID`. Two digits are dropped."""


def random_ids(number: int) -> Iterator[tuple[bytes, ...]]:
    """Yield the values of `number` random ids."""
    return _PARTS.iter_unpack(os.urandom(16 * number).hex().encode())

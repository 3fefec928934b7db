"""The state hash of a locker: equal for equal states, and different if a GET of the locker shows any difference.

The canonical form is JSON by RFC 8785 (JSON Canonicalization Scheme): members sorted by name, no white space, UTF-8.
Compartments are sorted by id and open faults by fault id, in code point order:

    {"compartments":[{"active_reservation":…,"compartment_id":…,"degraded":…,"open_faults":[[fault id, severity],…],
    "reservation_status":…},…],"locker_id":…}

The form contains no time and no order of arrival, so a rebuilt locker has the hash of the live one.
"""

from hashlib import sha256

import msgspec

from lockstream.core.entities.state import Locker


def state_hash(locker: Locker) -> str:
    """Return the SHA-256 of the locker's canonical form, in lower-case hexadecimal (64 characters)."""
    return sha256(msgspec.json.encode(locker, order="sorted")).hexdigest()

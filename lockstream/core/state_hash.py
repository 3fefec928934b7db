"""One hash for all that a locker holds now.

The canonical form is JSON as RFC 8785 (JSON Canonicalization Scheme) has it: members sorted by name, no white space,
UTF-8. Compartments are listed by id and open faults by fault id, each in code point order:

    {"compartments":[{"active_reservation":…,"compartment_id":…,"degraded":…,"open_faults":[[fault id, severity],…],
    "reservation_status":…},…],"locker_id":…}

No clock and no order of arrival goes in: equal states have equal hashes, however they came about.
"""

from hashlib import sha256

import msgspec

from lockstream.core.entities.state import Locker


def state_hash(locker: Locker) -> str:
    """SHA-256 of the locker's canonical form, in lower-case hexadecimal (64 characters)."""
    return sha256(msgspec.json.encode(locker, order="sorted")).hexdigest()

"""The scope that each operation needs. An application with an operation that is not in this table cannot be built."""

from collections.abc import Iterable

from lockstream.core.entities.access import Scope

SCOPES: dict[str, Scope | None] = {
    "post_event": Scope.EVENTS_WRITE,
    "post_batch": Scope.EVENTS_WRITE,
    "get_events": Scope.FEED,
    "get_event_stream": Scope.FEED,
    "get_event": Scope.READ,
    "get_locker_events": Scope.READ,
    "get_compartment_events": Scope.READ,
    "get_reservation_events": Scope.READ,
    "get_network": Scope.READ,
    "get_activity": Scope.READ,
    "get_system": Scope.READ,
    "get_lockers": Scope.READ,
    "get_locker": Scope.READ,
    "get_locker_state": Scope.READ,
    "get_compartments": Scope.READ,
    "get_compartment": Scope.READ,
    "get_reservations": Scope.READ,
    "get_reservation": Scope.READ,
    "get_reservation_state": Scope.READ,
    "get_faults": Scope.READ,
    "get_search": Scope.READ,
    "get_quarantine": Scope.QUARANTINE,
    "get_malformed": Scope.QUARANTINE,
    "get_quarantine_entry": Scope.QUARANTINE,
    "resubmit_events": Scope.QUARANTINE,
    "resubmit_event": Scope.QUARANTINE,
    "discard_event": Scope.QUARANTINE,
    "get_keys": Scope.ADMIN,
    "create_key": Scope.ADMIN,
    "get_key": Scope.ADMIN,
    "revoke_key": Scope.ADMIN,
    "rotate_key": Scope.ADMIN,
    "get_audit": Scope.ADMIN,
    "get_metrics": Scope.READ,
    "get_live": None,
    "get_ready": None,
}
"""The scope by the name of the operation. None: the operation needs no key."""

WHOLE_NETWORK = frozenset({"get_activity", "get_metrics", "get_system"})
"""Operations that show figures of the whole network, so a key that is bound to lockers may not call them."""


def require_scopes(operations: Iterable[str]) -> None:
    """Require that the table has these operations and no others.

    Raises:
        LookupError: the table lacks an operation, or names one that does not exist.
    """
    if differing := set(operations) ^ set(SCOPES):
        raise LookupError(
            f"The table of scopes and the operations differ in {', '.join(sorted(differing))}. Give each operation its "
            "scope in presentation/http/access/scopes.py."
        )

"""One request of each operation of the contract, which the server serves if its key allows it."""

from typing import Any, NamedTuple

from lockstream.core.entities.access import Scope
from lockstream.tests.support.builders import registered

EVENT_ID = "0190a5e0-0000-4000-8000-000000000001"


class Call(NamedTuple):
    """A request, and the status with which it is answered if its key allows it."""

    method: str
    path: str
    scope: Scope | None
    status: int
    body: Any = None


READ, FEED, QUARANTINE, ADMIN, WRITE = Scope.READ, Scope.FEED, Scope.QUARANTINE, Scope.ADMIN, Scope.EVENTS_WRITE

CALLS = {
    "post_event": Call("POST", "/events", WRITE, 202, registered()),
    "post_batch": Call("POST", "/events/batch", WRITE, 200, [registered()]),
    "get_events": Call("GET", "/events?after=0", FEED, 200),
    "get_event_stream": Call("HEAD", "/events/stream?after=0", FEED, 200),
    "get_event": Call("GET", f"/events/{EVENT_ID}", READ, 404),
    "get_locker_events": Call("GET", "/lockers/nowhere/events", READ, 404),
    "get_compartment_events": Call("GET", "/lockers/nowhere/compartments/1/events", READ, 404),
    "get_reservation_events": Call("GET", "/reservations/none/events", READ, 404),
    "get_network": Call("GET", "/network", READ, 200),
    "get_activity": Call("GET", "/network/activity", READ, 200),
    "get_system": Call("GET", "/system", READ, 200),
    "get_lockers": Call("GET", "/lockers", READ, 200),
    "get_locker": Call("GET", "/lockers/nowhere", READ, 404),
    "get_locker_state": Call("GET", "/lockers/nowhere/state", READ, 404),
    "get_compartments": Call("GET", "/lockers/nowhere/compartments", READ, 404),
    "get_compartment": Call("GET", "/lockers/nowhere/compartments/1", READ, 404),
    "get_reservations": Call("GET", "/reservations", READ, 200),
    "get_reservation": Call("GET", "/reservations/none", READ, 404),
    "get_reservation_state": Call("GET", "/reservations/none/state", READ, 404),
    "get_faults": Call("GET", "/faults", READ, 200),
    "get_search": Call("GET", "/search?q=nowhere", READ, 200),
    "get_quarantine": Call("GET", "/quarantine", QUARANTINE, 200),
    "get_malformed": Call("GET", "/quarantine/malformed", QUARANTINE, 200),
    "get_quarantine_entry": Call("GET", f"/quarantine/{EVENT_ID}", QUARANTINE, 404),
    "resubmit_events": Call("POST", "/quarantine/resubmit", QUARANTINE, 200, {"limit": 1}),
    "resubmit_event": Call("POST", f"/quarantine/{EVENT_ID}/resubmit", QUARANTINE, 404),
    "discard_event": Call("POST", f"/quarantine/{EVENT_ID}/discard", QUARANTINE, 404, {"reason": "Not needed."}),
    "get_keys": Call("GET", "/keys", ADMIN, 200),
    "create_key": Call("POST", "/keys", ADMIN, 201, {"name": "new", "scopes": ["read"]}),
    "get_key": Call("GET", "/keys/unknown1", ADMIN, 404),
    "revoke_key": Call("POST", "/keys/unknown1/revoke", ADMIN, 404),
    "rotate_key": Call("POST", "/keys/unknown1/rotate", ADMIN, 404, {}),
    "get_audit": Call("GET", "/audit", ADMIN, 200),
    "get_metrics": Call("GET", "/metrics", READ, 200),
    "get_live": Call("GET", "/health/live", None, 200),
    "get_ready": Call("GET", "/health/ready", None, 200),
}
"""A request by the name of its operation. The scope None means that it needs no key."""

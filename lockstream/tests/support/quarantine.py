"""Builders of quarantine entries and malformed bodies, and writes of them."""

import json
from typing import Any

from lockstream.core.entities.quarantine import (
    EVENT_ID_REUSED,
    AcceptedEvent,
    Entry,
    EntryKind,
    MalformedBody,
    QuarantineChanges,
    QuarantineQuery,
)
from lockstream.core.ports import QuarantineStore
from lockstream.tests.support.builders import Body, event, registered

NOW = 1_000
"""Second of a write, unless a test names another one."""


def time_at(second: int) -> str:
    """Return the time of a second of the day on which the tests take place."""
    return f"2026-11-23T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000Z"


def id_of(number: int) -> str:
    """Return an event id."""
    return f"00000000-0000-4000-8000-{number:012x}"


def body_of(number: int, compartment: str = "") -> Body:
    """Return event `number` as it is sent."""
    return registered(compartment or f"c{number}", event_id=id_of(number))


def accepted_event(number: int, compartment: str = "", position: int = 1) -> AcceptedEvent:
    """Return event `number` as accepted at `position`. Another `compartment` makes it an event with other content."""
    return AcceptedEvent(event(body_of(number, compartment)), position)


def refused(number: int, second: int | None = None, **more: Any) -> Entry:
    """Return the entry of one arrival of event `number`, by default in the second with this number."""
    at = time_at(number if second is None else second)
    members: dict[str, Any] = {
        "event_id": id_of(number),
        "kind": EntryKind.REFUSED,
        "code": "unknown_compartment",
        "detail": "The compartment is not registered.",
        "locker_id": "locker-1",
        "type": "FaultReported",
        "occurred_at": "2026-11-23T09:15:00+01:00",
        "first_at": at,
        "last_at": at,
        "count": 1,
        "address": "192.0.2.1",
        "body": json.dumps(body_of(number)),
    }
    return Entry(**{**members, **more})


def reused(number: int, second: int | None = None, **more: Any) -> Entry:
    """Return the entry of a duplicate with other content."""
    return refused(number, second, **{"kind": EntryKind.REUSED_ID, "code": EVENT_ID_REUSED, **more})


def malformed(body: str, second: int = 1, **more: Any) -> MalformedBody:
    """Return the row of one arrival of a malformed body."""
    members: dict[str, Any] = {
        "reason": "invalid_json",
        "detail": "The body is not JSON.",
        "first_at": time_at(second),
        "last_at": time_at(second),
        "count": 1,
        "address": "192.0.2.1",
    }
    return MalformedBody(**{**members, **more}, body=body)


def write(store: QuarantineStore, *entries: Entry, second: int = NOW, **more: Any) -> int:
    """Write new arrivals, and other changes, and return how many entries and arrivals were dropped."""
    return store.write(QuarantineChanges(time_at(second), list(entries), **more))


def all_entries(store: QuarantineStore, **filters: Any) -> list[Entry]:
    """Return all entries that a query finds, in the order of their numbers."""
    return store.entries(QuarantineQuery(descending=False, **filters), None, 1_000_000)


def numbers_of(entries: list[Entry]) -> list[int]:
    """Return the numbers that the tests have made the event ids from."""
    return [int(entry.event_id[-12:], 16) for entry in entries]

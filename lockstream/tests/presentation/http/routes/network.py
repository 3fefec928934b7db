"""A small network in memory, whose events were accepted on different days, and a client of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.log import time_of
from lockstream.infrastructure.stores import unit_of_work
from lockstream.presentation.http.app import create_app
from lockstream.services.running.silence import sweep
from lockstream.tests.support.builders import (
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.memory_system import open_in_memory

FAULTS = [
    fault_reported(3, "c3", locker="l1", event_id="00000000-0000-4000-8000-000000000009"),
    fault_reported(0, "c1", locker="l2", event_id="00000000-0000-4000-8000-000000000013"),
    fault_reported(5, "c1", locker="l1", event_id="00000000-0000-4000-8000-000000000014"),
]

DAYS = {
    "2026-11-20": [
        *(registered(compartment, locker="l1") for compartment in ("c4", "c3", "c2", "c1")),  # positions 1 to 4
        registered("c1", locker="l2"),
        reserved("r3", "c1", locker="l1"),  # 6
        reserved("r1", "c2", locker="l1"),
        reserved("r2", "c4", locker="l1"),
    ],
    "2026-11-21": [
        FAULTS[0],  # 9
        deposited("r1", locker="l1"),
        deposited("r2", locker="l1"),
    ],
    "2026-11-22": [
        picked_up("r2", locker="l1"),  # 12
        FAULTS[1],
        FAULTS[2],
    ],
    "2026-11-23": [
        fault_cleared(FAULTS[1], "c1", locker="l2"),  # 15
        reserved("r0", "c1", locker="l2"),
        expired("r0", locker="l2"),  # 17
    ],
}
"""Compartments of l1: c1 is reserved and degraded, c2 occupied, c3 degraded, c4 available. c1 of l2 is available."""


def time_on(day: int) -> str:
    """Return the time at which the events of a day were accepted."""
    return f"2026-11-{day}T08:00:00.000000Z"


@contextmanager
def client_of_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Give a client of a system in memory that has accepted the events of `DAYS`. No locker is silent yet."""
    monkeypatch.setattr(sweep, "present_time", lambda: time_of(time_on(23)))
    with contract_client(create_app(open_in_memory)) as client:
        for day, events in DAYS.items():
            monkeypatch.setattr(unit_of_work, "utc_now", lambda day=day: f"{day}T08:00:00.000000Z")
            post(client, events)
        yield client


def post(client: TestClient, events: Sequence[Body]) -> None:
    outcomes = client.post("/events/batch", json=events).json()
    assert [outcome["status"] for outcome in outcomes] == [202] * len(events)

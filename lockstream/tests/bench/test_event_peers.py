"""The peers that accept real events over HTTP answer as Lockstream does."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from bench.load.plan import Plan
from bench.load.process import run_load
from bench.processes import Lockstream, Peer, ServerProcess
from lockstream.core.rules import REFUSALS
from lockstream.tests.support.requirements import requires

FAULT, SLIGHT_FAULT = str(uuid4()), str(uuid4())
STARTS: dict[str, Callable[[Path], ServerProcess]] = {
    "Lockstream": lambda folder: Lockstream(folder / "log.jsonl"),
    "eventsourcing": lambda folder: Peer("eventsourcing_service", str(folder / "events.db")),
    "first version": lambda folder: Peer("first_version", str(folder)),
}


NEEDS_PACKAGE = requires(find_spec("eventsourcing") is not None, "the package eventsourcing")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=NEEDS_PACKAGE if name == "eventsourcing" else ()) for name in STARTS],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with STARTS[request.param](tmp_path_factory.mktemp("peer")) as running:
        yield running
        running.stop()


def event(kind: str, event_id: str = "", locker_id: str = "L", **payload: Any) -> dict[str, Any]:
    return {
        "event_id": event_id or str(uuid4()),
        "occurred_at": "2026-11-23T09:15:00+01:00",
        "locker_id": locker_id,
        "type": kind,
        "payload": payload,
    }


def register(compartment: str, **fields: Any) -> dict[str, Any]:
    return event("CompartmentRegistered", compartment_id=compartment, size="M", **fields)


def reserve(reservation: str, compartment: str, **fields: Any) -> dict[str, Any]:
    return event("ReservationCreated", reservation_id=reservation, compartment_id=compartment, **fields)


def deposit(reservation: str, **fields: Any) -> dict[str, Any]:
    return event("ParcelDeposited", reservation_id=reservation, **fields)


def pick_up(reservation: str, **fields: Any) -> dict[str, Any]:
    return event("ParcelPickedUp", reservation_id=reservation, **fields)


def expire(reservation: str, **fields: Any) -> dict[str, Any]:
    return event("ReservationExpired", reservation_id=reservation, **fields)


def report(compartment: str, severity: int, event_id: str = "", **fields: Any) -> dict[str, Any]:
    return event("FaultReported", event_id, compartment_id=compartment, severity=severity, **fields)


def clear(compartment: str, fault: str, **fields: Any) -> dict[str, Any]:
    return event("FaultCleared", compartment_id=compartment, fault_event_id=fault, **fields)


FIRST, SECOND = register("A1"), reserve("R1", "A1")

STORY: list[tuple[dict[str, Any], int, str | None]] = [
    (reserve("R1", "A1"), 422, "unknown_compartment"),
    (FIRST, 202, None),
    (FIRST, 200, None),
    (FIRST | {"event_id": FIRST["event_id"].upper()}, 200, None),
    (deposit("R1") | {"event_id": FIRST["event_id"]}, 200, None),
    (register("A1"), 409, "compartment_already_registered"),
    (register("A2"), 202, None),
    (SECOND, 202, None),
    (SECOND, 200, None),
    (reserve("R1", "A2"), 409, "reservation_already_exists"),
    (reserve("R2", "A1"), 409, "compartment_reserved"),
    (deposit("R2"), 422, "unknown_reservation"),
    (deposit("R1", locker_id="M"), 422, "reservation_mismatch"),
    (deposit("R1", compartment_id="A2"), 422, "reservation_mismatch"),
    (pick_up("R1"), 409, "reservation_not_awaiting_pickup"),
    (deposit("R1", compartment_id="A1", weight_g=1250), 202, None),
    (deposit("R1"), 409, "reservation_not_awaiting_deposit"),
    (pick_up("R1"), 202, None),
    (expire("R1"), 409, "reservation_final"),
    (reserve("R2", "A1"), 202, None),
    (expire("R2"), 202, None),
    (pick_up("R2"), 409, "reservation_expired"),
    (report("A9", 3), 422, "unknown_compartment"),
    (report("A1", 3, FAULT), 202, None),
    (report("A1", 3, FAULT), 200, None),
    (reserve("R3", "A1"), 409, "compartment_degraded"),
    (report("A2", 2, SLIGHT_FAULT), 202, None),
    (reserve("R3", "A2"), 202, None),
    (clear("A9", FAULT), 422, "unknown_compartment"),
    (clear("A1", str(uuid4())), 409, "unknown_fault"),
    (clear("A1", FIRST["event_id"]), 409, "unknown_fault"),
    (clear("A2", FAULT), 409, "fault_mismatch"),
    (clear("A1", FAULT), 202, None),
    (clear("A1", FAULT), 409, "fault_already_cleared"),
    (reserve("R4", "A1"), 202, None),
    ({**FIRST, "locker_id": ""}, 422, None),
    (register("A3") | {"occurred_at": "2026-11-23T09:15:00"}, 422, None),
    (register("A3") | {"type": "Unknown"}, 422, None),
    (register("A3") | {"more": 1}, 422, None),
    (register("a/b"), 422, None),
    (report("A1", -1), 422, None),
]
"""Events in their order, and the status and the code of each response."""


def post(connection: HTTPConnection, body: bytes) -> tuple[int, str | None]:
    """Return the status of a response, and its code if the rules refused the event."""
    connection.request("POST", "/events", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read()).get("code")


def test_the_story_contains_every_refusal() -> None:
    assert {code for _, _, code in STORY if code} == {refusal.code for refusal in REFUSALS}


def test_every_event_is_answered_by_the_rules(server: ServerProcess) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        responses = [post(connection, json.dumps(body).encode()) for body, _, _ in STORY]
        malformed = post(connection, b'{"event_id":')
    assert responses == [(status, code) for _, status, code in STORY]
    assert malformed == (422, None)


def test_an_event_that_is_sent_many_times_at_once_is_accepted_once(server: ServerProcess) -> None:
    def send(body: bytes) -> int:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            return post(connection, body)[0]

    with ThreadPoolExecutor(8) as threads:
        compartment = json.dumps(register(f"{UUID(int=1)}")).encode()
        assert sorted(threads.map(send, [compartment] * 8)) == [200] * 7 + [202]
        fault = json.dumps(report(f"{UUID(int=1)}", 1)).encode()
        assert sorted(threads.map(send, [fault] * 8)) == [200] * 7 + [202]


def test_the_events_of_32_connections_are_accepted(server: ServerProcess) -> None:
    plan = Plan(tag="load", kind="event", connections=32, compartments=2, events=640)
    assert run_load(plan, server).requests == 640

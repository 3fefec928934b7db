"""Lockers that were offline report a day in a wrong order: resubmission makes of it the state of the right order.

Events that arrive too early are refused, and kept in the quarantine. `POST /quarantine/resubmit` accepts them once the
others are there. Two things are needed for that. The day must end with free compartments: a later reservation or fault
that arrived first keeps its compartment from earlier ones until it ends. And no expiry may overtake a deposit of the
same reservation (core/test_resubmit.py).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.simulator.offline_day import ORDERS, OfflineDay, Order, Texts, offline_day
from lockstream.tests.support.clients import open_from_environment
from lockstream.tests.support.databases import new_database
from lockstream.tests.support.memory_system import open_in_memory

SEEDS = range(1, len(ORDERS) + 1)
"""A seed for each order."""

ACCEPTED, DUPLICATE = 202, 200

TIMES = frozenset(("position", "last_event_at", "since", "since_position"))
"""Members of a response that depend on the order of arrival."""

type Send = Callable[[TestClient, Texts], list[int]]

COMPARTMENT_IS_TAKEN = frozenset(("compartment_reserved", "compartment_degraded", "unknown_reservation"))
"""Codes of refusals that the end of a reservation or of a fault lifts, and of what belongs to refused reservations."""


def as_batch(client: TestClient, events: Texts) -> list[int]:
    """Post events as one batch, and return their statuses."""
    response = client.post(
        "/events/batch", content=b"\n".join(events), headers={"content-type": "application/x-ndjson"}
    )
    return [item["status"] for item in response.json()]


def one_by_one(client: TestClient, events: Texts) -> list[int]:
    return [client.post("/events", content=text).status_code for text in events]


@contextmanager
def in_memory() -> Iterator[Callable[[], Lockstream]]:
    yield open_in_memory


@contextmanager
def embedded() -> Iterator[Callable[[], Lockstream]]:
    yield open_from_environment


@contextmanager
def on_postgres() -> Iterator[Callable[[], Lockstream]]:
    with new_database() as url:
        settings = Settings.model_validate({"DATABASE_URL": url})
        yield lambda: deployment_of(settings).start()


each_store = pytest.mark.parametrize("store", [in_memory, embedded, on_postgres])
each_order = pytest.mark.parametrize(("seed", "order"), [*zip(SEEDS, ORDERS, strict=True)])


@contextmanager
def client_of(opened: Callable[[], Lockstream], known: OfflineDay) -> Iterator[TestClient]:
    """Give a client of a server that knows the days before."""
    with TestClient(create_app(opened)) as client:
        assert set(as_batch(client, known.before)) <= {ACCEPTED, DUPLICATE}
        yield client


@cache
def state_in_order(seed: int) -> dict[str, Any]:
    """Return the state after a day, and the events that close it, in their right order."""
    day = offline_day(seed)
    with in_memory() as opened, client_of(opened, day) as client:
        assert set(as_batch(client, day.day + day.closing)) <= {ACCEPTED, DUPLICATE}
        assert client.get("/quarantine").json()["items"] == []
        return state(client, day)


def state(client: TestClient, day: OfflineDay) -> dict[str, Any]:
    """Return the state of all lockers, with their hashes and without positions and times."""
    paths = [path for locker in day.lockers for path in (f"/lockers/{locker}", f"/lockers/{locker}/state")]
    return {path: without_times(client.get(path).json()) for path in paths}


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, dict):
        return {name: without_times(member) for name, member in value.items() if name not in TIMES}
    return value


def quarantined(client: TestClient) -> list[dict[str, Any]]:
    """Return the open entries."""
    response = client.get("/quarantine?limit=1000")
    assert response.status_code == 200, response.text
    page = response.json()
    assert page["next"] is None
    items: list[dict[str, Any]] = page["items"]
    return items


@each_store
@each_order
@pytest.mark.parametrize("send", [as_batch, one_by_one])
def test_a_day_in_a_wrong_order_ends_in_the_state_of_the_right_one(
    seed: int, send: Send, order: Order, store: Callable[[], Any]
) -> None:
    day = offline_day(seed)
    with store() as opened, client_of(opened, day) as client:
        # given a day whose events arrived in a wrong order
        arriving = order(day.day + day.closing, seed)
        statuses = send(client, arriving)
        # and are in the quarantine if they arrived too early
        refused = {
            json.loads(text)["event_id"] for text, status in zip(arriving, statuses, strict=True) if status > 202
        }
        accepted = {
            json.loads(text)["event_id"] for text, status in zip(arriving, statuses, strict=True) if status == 202
        }
        assert len(refused) > len(arriving) / 10
        assert {entry["event_id"] for entry in quarantined(client)} == refused - accepted
        # when they are resubmitted
        report = client.post("/quarantine/resubmit").json()
        # then all are accepted, and nothing stays in the quarantine
        assert (report["accepted"], report["refused"], report["remaining"]) == (len(refused - accepted), 0, 0)
        assert quarantined(client) == []
        # and the state is that of the right order
        assert state(client, day) == state_in_order(seed)


@each_store
@each_order
def test_events_of_a_taken_compartment_wait_until_it_is_free(seed: int, order: Order, store: Callable[[], Any]) -> None:
    day = offline_day(seed)
    with store() as opened, client_of(opened, day) as client:
        # given a day with an open end, whose events arrived in a wrong order
        as_batch(client, order(day.day, seed))
        # when they are resubmitted, then those alone are refused whose compartment is taken
        client.post("/quarantine/resubmit")
        waiting = quarantined(client)
        assert {entry["code"] for entry in waiting} <= COMPARTMENT_IS_TAKEN
        # and resubmitting them once more changes nothing
        assert client.post("/quarantine/resubmit").json()["accepted"] == 0
        assert quarantined(client) == waiting
        # when the compartments become free, and all are resubmitted
        as_batch(client, day.closing)
        client.post("/quarantine/resubmit")
        # then the state is that of the right order
        assert quarantined(client) == []
        assert state(client, day) == state_in_order(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_has_events_of_every_life(seed: int) -> None:
    day = offline_day(seed)
    types = {json.loads(text)["type"] for text in day.day}
    assert len(day.day) > 80
    assert types >= {"ReservationCreated", "ParcelDeposited", "ParcelPickedUp"}
    assert bool(day.before) != ("CompartmentRegistered" in types)
    assert len(day.closing) > 20

"""Histories and past states while the log, the projection or a line of the log cannot be used: no wrong data."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.settings import Settings
from lockstream.tests.presentation.http.batch_requests import start
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    deposited,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.clients import concurrent_client
from lockstream.tests.support.coroutines import let_others_run, run
from lockstream.tests.support.faulty_store import FaultyStore, locked_projection, running_on

COMPARTMENT_PATH = f"/lockers/{LOCKER}/compartments/{COMPARTMENT}"
HISTORIES = f"/lockers/{LOCKER}/events", f"{COMPARTMENT_PATH}/events", f"/reservations/{RESERVATION}/events"
STATES = (
    *(f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/state", COMPARTMENT_PATH),
    *(f"/reservations/{RESERVATION}", f"/reservations/{RESERVATION}/state"),
)


async def positions(client: httpx.AsyncClient) -> list[list[int]]:
    """Return the positions of the events of each history, the newest first."""
    pages = [await client.get(f"{path}?order=desc") for path in HISTORIES]
    return [[item["position"] for item in page.json()["items"]] for page in pages]


def test_a_history_shows_what_is_durable_after_the_log_has_failed() -> None:
    settings = Settings()
    store = FaultyStore(settings)

    async def check() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            # given two durable events, and one whose flush fails
            for event in registered(), reserved():
                assert (await client.post("/events", json=event)).status_code == 202
            store.shut_gate()
            with store.failing_flushes():
                lost = start(client.post("/events", json=deposited()))
                await store.flush_waits()
            # when histories are read during and after the failure
            early = asyncio.create_task(positions(client))
            await let_others_run()
            store.open_gate()
            assert (await lost).status_code == 503
            # then each shows the durable events alone
            assert await early == await positions(client) == [[2, 1], [2, 1], [2]]

    run(check())


def test_a_past_state_is_durable_after_the_log_has_failed() -> None:
    settings = Settings()
    store = FaultyStore(settings)

    async def check() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            # given two durable events, and one whose flush fails
            for event in registered(), reserved():
                assert (await client.post("/events", json=event)).status_code == 202
            durable = {path: (await client.get(path)).content for path in STATES}
            store.shut_gate()
            with store.failing_flushes():
                lost = start(client.post("/events", json=deposited()))
                await store.flush_waits()

            async def past_states() -> dict[str, bytes]:
                return {path: (await client.get(f"{path}?at=2")).content for path in STATES}

            # when past states are read during and after the failure, then they are those of the durable events
            early = asyncio.create_task(past_states())
            await let_others_run()
            store.open_gate()
            assert (await lost).status_code == 503
            assert await early == await past_states() == durable
            # and the position of the lost event is not reached
            for path in STATES:
                response = await client.get(f"{path}?at=3")
                assert response.status_code == 422
                assert response.json()["detail"].startswith("The newest position is 2, ")

    run(check())


@pytest.fixture
def log_with_events(new_client: NewClient, log_path: Path) -> Path:
    """A log of three events of a parcel, with a projection that has followed it."""
    with new_client() as client:
        for event in registered(), reserved(), deposited():
            assert client.post("/events", json=event).status_code == 202
    return log_path


def assert_unavailable(response: Any, sentence: str) -> None:
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert sentence in response.json()["detail"]


@pytest.mark.parametrize("path", HISTORIES)
def test_a_history_is_unavailable_while_the_projection_cannot_follow_its_subject(
    log_with_events: Path, new_client: NewClient, path: str
) -> None:
    with new_client() as client, locked_projection(log_with_events):
        # given an event that changes no reservation
        assert client.get(path).status_code == 200
        assert client.post("/events", json=registered("another")).status_code == 202
        response = client.get(path)
        if path.startswith("/reservations/"):
            # then the history of the reservation, which has not changed, reflects all events
            assert (response.status_code, response.headers["Lockstream-Position"]) == (200, "4")
            # when the reservation changes, too
            assert client.post("/events", json=picked_up()).status_code == 202
            response = client.get(path)
        # then the history of a changed subject is unavailable
        assert_unavailable(response, "The projection could not be written")
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 2


@pytest.mark.parametrize("path", STATES)
def test_a_past_state_is_shown_up_to_where_the_projection_has_followed(
    log_with_events: Path, new_client: NewClient, path: str
) -> None:
    with new_client() as client, locked_projection(log_with_events):
        assert client.get(f"{path}?at=2").status_code == 200
        assert client.post("/events", json=registered("another")).status_code == 202
        assert client.get(f"{path}?at=2").status_code == 200
        assert_unavailable(client.get(f"{path}?at=4"), "The projection could not be written")


@pytest.mark.parametrize(
    "change", ["DELETE FROM moments", "UPDATE moments SET time = 9e17", "UPDATE moments SET time = -1"]
)
def test_times_that_the_projection_has_lost_are_an_error_of_the_projection(
    log_with_events: Path, new_client: NewClient, change: str
) -> None:
    with new_client() as client:
        with closing(sqlite3.connect(projection_path(log_with_events))) as database, database:
            database.execute(change)
        for path in ("/network", "/lockers", "/reservations", f"/lockers/{LOCKER}/compartments"):
            assert_unavailable(client.get(path), "The projection could not be read")


def test_totals_that_the_projection_has_lost_are_an_error_of_the_projection(
    log_with_events: Path, new_client: NewClient
) -> None:
    with new_client() as client:
        with closing(sqlite3.connect(projection_path(log_with_events))) as database, database:
            database.execute("DELETE FROM network")
        assert_unavailable(client.get("/network"), "The projection could not be read")


@pytest.mark.parametrize("change", ["UPDATE reservations SET created_position = 99", "DROP TABLE reservations"])
def test_a_history_is_unavailable_while_the_projection_is_damaged(
    log_with_events: Path, new_client: NewClient, change: str
) -> None:
    with new_client() as client:
        with closing(sqlite3.connect(projection_path(log_with_events))) as database, database:
            database.execute(change)
        for path in HISTORIES:
            assert client.get(path).status_code == 503


@pytest.mark.parametrize(
    ("change", "states"),
    [
        ("UPDATE reservations SET deposited_position = 1", STATES),
        ("DELETE FROM compartments", STATES[:2]),
        ("DROP TABLE reservations", STATES),
    ],
)
def test_a_past_state_is_unavailable_while_the_projection_is_damaged(
    log_with_events: Path, new_client: NewClient, change: str, states: tuple[str, ...]
) -> None:
    with new_client() as client:
        with closing(sqlite3.connect(projection_path(log_with_events))) as database, database:
            database.execute(change)
        for path in states:
            assert_unavailable(client.get(f"{path}?at=3"), "lockstream rebuild")


@pytest.mark.parametrize("path", HISTORIES)
def test_a_history_is_unavailable_if_a_line_of_it_was_altered(
    log_with_events: Path, new_client: NewClient, path: str
) -> None:
    with new_client() as client:
        # given a line that was altered while the server runs
        content = log_with_events.read_bytes()
        log_with_events.write_bytes(content.replace(b'"ReservationCreated"', b'"ReservationCreatex"'))
        # then a page that contains the line is unavailable, and others are shown
        assert_unavailable(client.get(path), "is damaged at line 2")
        assert [item["position"] for item in client.get(f"{path}?type=ParcelDeposited").json()["items"]] == [3]

"""Whether it is ready says whether an event would be taken in, and why not."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import LogDamaged, StartingUp
from lockstream.core.ports import OnProgress
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lifecycle import BackgroundStart
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.http.conftest import Clients, concurrent_client
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS, FaultyStore, running_on
from lockstream.tests.support.processes import wait_until

GIB = 1 << 30

LIVE, READY = "/health/live", "/health/ready"


def run(life: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(life, TIMEOUT_SECONDS))


def assert_unready(answer: Any, reason: str) -> None:
    assert answer.status_code == 503
    assert reason in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0


def test_it_is_live_and_ready(client: TestClient) -> None:
    assert (client.get(LIVE).status_code, client.get(LIVE).json()) == (200, {"status": "live"})
    assert (client.get(READY).status_code, client.get(READY).json()) == (200, {"status": "ready"})


def test_head_is_answered_as_get_is_without_the_body(served: str) -> None:
    for path in LIVE, READY:
        head, get = httpx.head(f"{served}{path}"), httpx.get(f"{served}{path}")
        assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
        assert head.headers == get.headers


def test_it_is_not_ready_while_as_many_events_wait_as_may() -> None:
    settings = Settings(queue_limit=1)
    store = FaultyStore(settings)

    async def life() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            posted = asyncio.ensure_future(client.post("/events", json=registered()))
            await store.at_gate()
            assert_unready(await client.get(READY), "are waiting")
            assert (await client.get(LIVE)).status_code == 200
            store.open_gate()
            assert (await posted).status_code == 202
            assert (await client.get(READY)).status_code == 200

    run(life())


def test_it_is_not_ready_once_the_log_has_failed(client: TestClient, log_path: Path) -> None:
    assert client.post("/events", json=registered()).status_code == 202
    log_path.rename(log_path.with_name("moved.jsonl"))
    assert client.post("/events", json=registered("another")).status_code == 503
    assert_unready(client.get(READY), "could not be written")
    assert client.get(LIVE).status_code == 200
    assert client.get(f"/lockers/{LOCKER}").status_code == 200


def test_it_is_not_ready_as_soon_as_the_log_is_gone(client: TestClient, log_path: Path) -> None:
    """Nobody has to post first to find out."""
    assert client.post("/events", json=registered()).status_code == 202
    log_path.rename(log_path.with_name("moved.jsonl"))
    assert_unready(client.get(READY), "could not be written")


def test_below_the_floor_of_its_disk_nothing_is_taken_in_and_nothing_has_failed(
    clients: Clients, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clients() as client:
        assert client.post("/events", json=registered()).status_code == 202
    content = log_path.read_bytes()
    monkeypatch.setenv("LOCKSTREAM_MIN_FREE_BYTES", str(1 << 60))
    with clients() as client:
        for answer in client.get(READY), client.post("/events", json=registered("another")):
            assert_unready(answer, "LOCKSTREAM_MIN_FREE_BYTES")
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 1
    assert log_path.read_bytes() == content


def test_once_there_is_room_again_it_goes_on_and_either_is_said_once(
    log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lockstream")
    disk = os.statvfs(log_path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < 4 * GIB:
        pytest.skip("the disk is nearly full")
    settings = Settings(min_free_bytes=free - GIB)  # others use the disk, too
    filler = log_path.with_name("filler")
    with TestClient(create_app(lambda: open_lockstream(settings))) as client:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 * GIB)
        for _ in range(3):
            assert_unready(client.post("/events", json=registered()), "Make room")
            assert_unready(client.get(READY), "Make room")
        filler.unlink()
        wait_until(lambda: os.statvfs(log_path.parent).f_bavail * disk.f_frsize > free - GIB)  # some give it back later
        for number in range(3):
            assert client.post("/events", json=registered(f"c{number}")).status_code == 202
    said = [(of.levelname, of.getMessage()) for of in caplog.records if of.name.endswith(".min_free_bytes")]
    assert [level for level, _ in said] == ["WARNING", "INFO"]
    assert "LOCKSTREAM_MIN_FREE_BYTES" in said[0][1]
    assert said[1][1].endswith(" bytes left: events are taken in again.")


def test_while_it_is_opened_it_says_how_far_it_has_come() -> None:
    caught_up = Event()

    def open_slowly(watch: OnProgress) -> Lockstream:
        watch(Cursor(5), Cursor(1_000))
        assert caught_up.wait(TIMEOUT_SECONDS)
        return deployment_of(Settings()).start()

    with BackgroundStart(open_slowly) as opening, TestClient(create_app(opening.get)) as client:
        assert client.get(LIVE).status_code == 200
        while "at event" not in client.get(READY).json()["detail"]:
            pass
        for answer in client.get(READY), client.get(f"/lockers/{LOCKER}"), client.post("/events", json=registered()):
            assert_unready(answer, "is catching up with its log, at event 5 of 1,000")
        assert (client.head(LIVE).status_code, client.head(READY).status_code) == (200, 503)
        caught_up.set()
        opening.wait(TIMEOUT_SECONDS)
        assert client.get(READY).status_code == 200
        assert client.post("/events", json=registered()).status_code == 202


def test_who_waits_for_an_opening_that_fails_is_told_why(log_path: Path) -> None:
    asked, told = Event(), Event()

    def open_damaged(_: OnProgress) -> Lockstream:
        assert asked.wait(TIMEOUT_SECONDS)
        raise LogDamaged(log_path, 1, 0, "it was altered.")

    with BackgroundStart(open_damaged) as opening:
        with pytest.raises(StartingUp):
            opening.get()
        opening.when_failed(told.set)
        asked.set()
        assert told.wait(TIMEOUT_SECONDS)
        for ask in opening.get, opening.require_no_failure, lambda: opening.wait(0):
            with pytest.raises(LogDamaged):
                ask()


def test_an_opening_that_is_given_up_ends_at_its_next_step() -> None:
    stopped = Event()

    def open_for_ever(watch: OnProgress) -> Lockstream:
        try:
            while True:
                watch(Cursor(1), Cursor(2))
        finally:
            stopped.set()

    with BackgroundStart(open_for_ever):
        pass
    assert stopped.is_set()

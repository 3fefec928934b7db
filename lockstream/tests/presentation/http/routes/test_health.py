"""GET /health/live and /health/ready: whether the server answers, and whether it accepts events."""

import asyncio
import os
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.errors import LogFileDamaged, StartingUp
from lockstream.core.ports import OnProgress
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lifecycle import BackgroundStart
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.clients import concurrent_client, contract_client, open_from_environment
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, run
from lockstream.tests.support.faulty_store import FaultyStore, running_on
from lockstream.tests.support.processes import wait_until

GIB = 1 << 30

LIVE, READY = "/health/live", "/health/ready"


def assert_unavailable(response: Any, reason: str) -> None:
    assert response.status_code == 503
    assert reason in response.json()["detail"]
    assert int(response.headers["retry-after"]) > 0


def test_a_started_server_is_live_and_ready(client: TestClient) -> None:
    live, ready = client.get(LIVE), client.get(READY)
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


def test_a_server_with_a_full_queue_is_live_but_not_ready() -> None:
    settings = Settings(queue_limit=1)
    store = FaultyStore(settings)

    async def fill_queue() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            # given a queue that is full as long as a flush does not end
            store.shut_gate()
            waiting = asyncio.ensure_future(client.post("/events", json=registered()))
            await store.flush_waits()
            # then the server is not ready until then
            assert_unavailable(await client.get(READY), "The ingest queue is full (1 event).")
            assert (await client.get(LIVE)).status_code == 200
            store.open_gate()
            assert (await waiting).status_code == 202
            assert (await client.get(READY)).status_code == 200

    run(fill_queue())


def test_a_server_whose_log_has_failed_is_live_but_not_ready(client: TestClient, log_path: Path) -> None:
    assert client.post("/events", json=registered()).status_code == 202
    log_path.rename(log_path.with_name("moved.jsonl"))
    assert client.post("/events", json=registered("another")).status_code == 503
    assert_unavailable(client.get(READY), "could not be written")
    assert client.get(LIVE).status_code == 200
    assert client.get(f"/lockers/{LOCKER}").status_code == 200


def test_a_missing_log_makes_the_server_unready_before_any_event_is_posted(client: TestClient, log_path: Path) -> None:
    assert client.post("/events", json=registered()).status_code == 202
    log_path.rename(log_path.with_name("moved.jsonl"))
    assert_unavailable(client.get(READY), "could not be written")


def test_a_server_with_too_little_free_space_accepts_no_event_and_answers_reads(
    new_client: NewClient, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a log with one event
    with new_client() as client:
        assert client.post("/events", json=registered()).status_code == 202
    content = log_path.read_bytes()
    # when the disk has less free space than the minimum
    monkeypatch.setenv("LOCKSTREAM_MIN_FREE_BYTES", str(1 << 60))
    with new_client() as client:
        # then events are refused, reads are answered, and the log is unchanged
        for response in client.get(READY), client.post("/events", json=registered("another")):
            assert_unavailable(response, "LOCKSTREAM_MIN_FREE_BYTES")
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 1
    assert log_path.read_bytes() == content


def test_the_server_accepts_events_again_once_the_disk_has_room_and_logs_each_change_once(
    log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lockstream")
    disk = os.statvfs(log_path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < 4 * GIB:
        pytest.skip("the disk is nearly full")
    # given a minimum of 1 GiB less than is free now, because others use the disk, too
    settings = Settings(min_free_bytes=free - GIB)
    filler = log_path.with_name("filler")
    with contract_client(create_app(lambda: deployment_of(settings).start())) as client:
        # when 2 GiB of it are used, events are refused
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 * GIB)
        for _ in range(3):
            assert_unavailable(client.post("/events", json=registered()), "Free some space; no restart is needed.")
            assert_unavailable(client.get(READY), "Free some space; no restart is needed.")
        # when they are free again, events are accepted
        filler.unlink()
        wait_until(lambda: os.statvfs(log_path.parent).f_bavail * disk.f_frsize > free - GIB)  # not at once everywhere
        for number in range(3):
            assert client.post("/events", json=registered(f"c{number}")).status_code == 202
    # then the beginning and the end of the shortage were logged once each
    logged = [record for record in caplog.records if record.name.endswith(".free_space")]
    assert [record.levelname for record in logged] == ["WARNING", "INFO"]
    assert "LOCKSTREAM_MIN_FREE_BYTES" in logged[0].getMessage()
    assert logged[1].getMessage().endswith(" bytes free. Events are accepted again.")


def test_a_server_that_is_starting_up_answers_with_its_progress() -> None:
    may_finish = Event()

    def open_slowly(on_progress: OnProgress) -> Lockstream:
        on_progress(5, 1_000)
        assert may_finish.wait(TIMEOUT_SECONDS)
        return open_from_environment()

    with BackgroundStart(open_slowly) as startup, contract_client(create_app(startup.lockstream)) as client:
        # given a startup that is catching up
        assert client.get(LIVE).status_code == 200
        wait_until(lambda: "at event" in client.get(READY).json()["detail"])
        # then all operations but one get 503 with its progress
        for response in client.get(READY), client.get(f"/lockers/{LOCKER}"), client.post("/events", json=registered()):
            assert_unavailable(response, "is catching up with its log, at event 5 of 1,000")
        assert (client.head(LIVE).status_code, client.head(READY).status_code) == (200, 503)
        # and once it has finished, they are served
        may_finish.set()
        startup.wait(TIMEOUT_SECONDS)
        assert client.get(READY).status_code == 200
        assert client.post("/events", json=registered()).status_code == 202


def test_a_failed_startup_raises_its_exception_to_every_caller(log_path: Path) -> None:
    may_fail = Event()

    def open_damaged_log(_: OnProgress) -> Lockstream:
        assert may_fail.wait(TIMEOUT_SECONDS)
        raise LogFileDamaged(log_path, 1, 0, "It was altered.")

    with BackgroundStart(open_damaged_log) as startup:
        with pytest.raises(StartingUp):
            startup.lockstream()
        assert not startup.has_failed
        may_fail.set()
        wait_until(lambda: startup.has_failed)
        for call in startup.lockstream, startup.require_no_failure, lambda: startup.wait(0):
            with pytest.raises(LogFileDamaged):
                call()


def test_an_abandoned_startup_ends_at_its_next_progress_callback() -> None:
    has_ended = Event()

    def open_forever(on_progress: OnProgress) -> Lockstream:
        try:
            while True:
                on_progress(1, 2)
        finally:
            has_ended.set()

    with BackgroundStart(open_forever):
        pass
    assert has_ended.is_set()

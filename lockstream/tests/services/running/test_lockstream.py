"""One running system serves several event loops and threads at once."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.core.errors import PositionNotReached, StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.support.builders import LOCKER, event, registered
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, let_others_run, run
from lockstream.tests.support.faulty_store import FaultyStore, running_on

THREADS, EVENTS = 4, 25


def start() -> Lockstream:
    return deployment_of(Settings()).start()


@pytest.fixture
def lockstream() -> Iterator[Lockstream]:
    lockstream = start()
    yield lockstream
    run(lockstream.close())


async def ingest_and_read(lockstream: Lockstream, name: str) -> list[int]:
    """Ingest some events one after the other, and return their positions."""
    return [await ingest_one(lockstream, f"{name}-{number}") for number in range(EVENTS)]


async def ingest_one(lockstream: Lockstream, compartment: str) -> int:
    """Ingest an event, and return its position. The event is known and shown once it is accepted."""
    sent = event(registered(compartment))
    [outcome] = await lockstream.ingest([sent])
    assert isinstance(outcome, Accepted)
    assert await lockstream.ingest([sent]) == [Duplicate(outcome.position)]
    result = await lockstream.read(lambda reads: reads.compartment(LOCKER, compartment))
    assert result.value
    assert result.position >= outcome.position
    return outcome.position


def from_threads(lockstream: Lockstream) -> list[int]:
    """Ingest events from threads that begin at the same moment, each with an event loop of its own."""
    barrier = threading.Barrier(THREADS)

    def ingest(number: int) -> list[int]:
        barrier.wait(TIMEOUT_SECONDS)
        return run(ingest_and_read(lockstream, str(number)))

    with ThreadPoolExecutor(THREADS) as pool:
        return sorted(position for positions in pool.map(ingest, range(THREADS)) for position in positions)


def test_concurrent_threads_with_loops_of_their_own_are_served(lockstream: Lockstream, log_path: Path) -> None:
    assert from_threads(lockstream) == list(range(1, THREADS * EVENTS + 1))
    assert sum(1 for _ in read_log(log_path)) == THREADS * EVENTS


def test_threads_are_served_beside_the_bound_loop(log_path: Path) -> None:
    async def check() -> list[int]:
        lockstream = start()
        lockstream.bind_running_loop()
        own, others = await asyncio.gather(
            ingest_and_read(lockstream, "own"), asyncio.to_thread(from_threads, lockstream)
        )
        await lockstream.close()
        return sorted([*own, *others])

    assert run(check()) == list(range(1, (THREADS + 1) * EVENTS + 1))


def test_a_closed_system_refuses_events() -> None:
    lockstream = start()
    run(ingest_and_read(lockstream, "before"))
    run(lockstream.close())

    async def ingest_late() -> None:
        await lockstream.ingest([event(registered("late"))])

    with pytest.raises(StoreUnavailable, match="stop"):
        run(ingest_late())


def test_clients_of_a_server_without_lifespan_are_served_each_on_an_event_loop_of_its_own(log_path: Path) -> None:
    app = create_app(start)
    client = TestClient(app)  # without `with`: each request has an event loop of its own

    def post(number: int) -> int:
        response = client.post("/events", json=registered(str(number)))
        assert client.get(f"/lockers/{LOCKER}/compartments/{number}").status_code == 200
        return response.status_code

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            assert set(pool.map(post, range(40))) == {202}
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 40
    finally:
        run(app.lifecycle.close())
    assert sum(1 for _ in read_log(log_path)) == 40


def test_a_batch_of_a_server_without_lifespan_is_accepted_and_a_log_that_fails_is_reported(log_path: Path) -> None:
    """Flush, checkpoint and failure all run on an event loop that no request has."""
    app = create_app(start)
    client = TestClient(app)
    try:
        batch = [registered(str(number)) for number in range(300)]
        assert {item["status"] for item in client.post("/events/batch", json=batch).json()} == {202}
        log_path.rename(log_path.with_name("moved.jsonl"))
        assert client.post("/events", json=registered("late")).status_code == 503
        assert client.get("/health/ready").status_code == 503
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 300
    finally:
        run(app.lifecycle.close())


def test_a_read_that_demands_a_position_beyond_the_log_is_refused_after_a_while(
    lockstream: Lockstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstream.services.running.lockstream.MIN_POSITION_SECONDS", 0.05)

    async def check() -> None:
        await lockstream.ingest([event(registered())])
        result = await lockstream.read(lambda reads: reads.locker(LOCKER), 1)
        assert (result.value is not None, result.position) == (True, 1)
        with pytest.raises(PositionNotReached, match=r"up to position 1, and the request demands 2\."):
            await lockstream.read(lambda reads: reads.locker(LOCKER), 2)

    run(check())


def test_a_read_waits_for_the_position_that_it_demands(lockstream: Lockstream) -> None:
    async def check() -> None:
        waiting = asyncio.create_task(lockstream.read(lambda reads: reads.locker(LOCKER), 1))
        await let_others_run()
        assert not waiting.done()
        await lockstream.ingest([event(registered())])
        result = await waiting
        assert (result.value is not None, result.position) == (True, 1)

    run(check())


def test_a_system_whose_log_has_failed_can_be_closed_from_another_loop() -> None:
    store = FaultyStore(Settings())
    lockstream = running_on(store, Settings())

    async def fail_the_log() -> None:
        with store.failing_flushes(), pytest.raises(StoreUnavailable, match="could not be written"):
            await lockstream.ingest([event(registered())])

    run(fail_the_log())
    run(lockstream.close())
    assert "could not be written" in (store.log.failure or "")


async def most_at_once(lockstream: Lockstream) -> int:
    """Return how many of several concurrent tasks have their turn at the same time, at most."""
    at_once = most = 0

    async def work() -> None:
        nonlocal at_once, most
        async with lockstream.parsing_lock():
            at_once += 1
            most = max(most, at_once)
            await let_others_run()
            at_once -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    return most


def test_one_task_at_a_time_has_its_turn_on_the_bound_loop() -> None:
    async def check() -> None:
        lockstream = start()
        lockstream.bind_running_loop()
        assert await most_at_once(lockstream) == 1
        await lockstream.close()

    run(check())


def test_a_task_on_another_loop_does_not_wait_for_the_parsing_lock(lockstream: Lockstream) -> None:
    """Such a task does not hold up the loop on which the system runs."""
    assert run(most_at_once(lockstream)) == 5


def test_a_cancelled_or_failed_task_releases_the_parsing_lock() -> None:
    async def check() -> None:
        # given a task that has its turn, and two that wait for theirs
        lockstream = start()
        lockstream.bind_running_loop()
        entered: list[str] = []

        async def work(name: str) -> None:
            async with lockstream.parsing_lock():
                entered.append(name)
                await let_others_run()
                if name == "failing":
                    raise ZeroDivisionError

        tasks = [asyncio.create_task(work(name)) for name in ("failing", "cancelled", "last")]
        await asyncio.sleep(0)
        assert entered == ["failing"]
        # when the first one fails, and the second one is cancelled
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        # then the last one has its turn
        assert [type(result) for result in results] == [ZeroDivisionError, asyncio.CancelledError, type(None)]
        assert entered == ["failing", "last"]
        await lockstream.close()

    run(check())


def test_lists_show_all_acknowledged_events_to_any_loop(lockstream: Lockstream) -> None:
    async def list_compartments() -> tuple[int, int]:
        result = await lockstream.list(lambda listings: listings.network().compartments)
        return result.value, result.position

    for number in range(1, 4):
        run(ingest_one(lockstream, f"c{number}"))
        assert run(list_compartments()) == (number, number)


def test_a_list_that_demands_a_position_beyond_the_log_is_refused_after_a_while(
    lockstream: Lockstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstream.services.running.lockstream.MIN_POSITION_SECONDS", 0.05)
    with pytest.raises(PositionNotReached, match="position 0, and the request demands 1"):
        run(lockstream.list(lambda listings: listings.network(), min_position=1))

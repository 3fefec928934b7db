"""One system, asked from several event loops and threads at once."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.presentation.http.app import create_app
from lockstream.services.running.event_loop import LoopRunner
from lockstream.services.running.lockstream import Lockstream
from lockstream.tests.presentation.http.conftest import open_from_environment
from lockstream.tests.support.builders import LOCKER, event, registered
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS

THREADS, EACH = 4, 25


def run[AnswerT](life: Coroutine[Any, Any, AnswerT]) -> AnswerT:
    return asyncio.run(asyncio.wait_for(life, 3 * TIMEOUT_SECONDS))


async def home_is(home: LoopRunner) -> asyncio.AbstractEventLoop:
    async def here() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return await home.run(here)


async def taken_in(lockstream: Lockstream, name: str) -> list[int]:
    """Take in some events one after the other, each known and shown once it is accepted; returns their positions."""
    positions = []
    for number in range(EACH):
        when = event(registered(f"{name}-{number}"))
        [outcome] = await lockstream.ingest([when])
        assert isinstance(outcome, Accepted)
        assert await lockstream.ingest([when]) == [Duplicate(outcome.position)]
        assert (await lockstream.compartment(LOCKER, f"{name}-{number}")).found
        positions.append(outcome.position)
    return positions


@pytest.fixture
def lockstream() -> Iterator[Lockstream]:
    lockstream = open_from_environment()
    yield lockstream
    run(lockstream.close())


def in_threads(lockstream: Lockstream, before: Callable[[], object] = lambda: None) -> list[int]:
    """Ask from threads that begin at the same moment, each with an event loop of its own."""
    at_once = threading.Barrier(THREADS)

    def ask(number: int) -> list[int]:
        before()
        at_once.wait(TIMEOUT_SECONDS)
        return run(taken_in(lockstream, str(number)))

    with ThreadPoolExecutor(THREADS) as pool:
        return sorted(position for positions in pool.map(ask, range(THREADS)) for position in positions)


def test_threads_and_loops_that_ask_at_once_are_all_served(lockstream: Lockstream, log_path: Path) -> None:
    assert in_threads(lockstream) == list(range(1, THREADS * EACH + 1))
    assert sum(1 for _ in read_log(log_path)) == THREADS * EACH


def test_they_are_served_beside_the_loop_that_it_lives_in(log_path: Path) -> None:
    async def life() -> list[int]:
        lockstream = open_from_environment()
        lockstream.bind_running_loop()
        own, others = await asyncio.gather(taken_in(lockstream, "own"), asyncio.to_thread(in_threads, lockstream))
        await lockstream.close()
        return sorted([*own, *others])

    assert run(life()) == list(range(1, (THREADS + 1) * EACH + 1))


def test_it_lives_in_the_loop_that_says_so() -> None:
    async def life() -> None:
        home = LoopRunner()
        home.bind_running_loop()
        here = asyncio.get_running_loop()
        assert await home_is(home) is here
        assert await asyncio.to_thread(run, home_is(home)) is here
        home.leave()
        assert here.is_running()

    run(life())


def test_it_lives_in_a_loop_of_its_own_where_none_says_so_in_time() -> None:
    home = LoopRunner()
    own = run(home_is(home))

    async def too_late() -> None:
        home.bind_running_loop()
        assert await home_is(home) is own

    run(too_late())
    assert run(home_is(home)) is own
    home.leave()
    assert own.is_closed()


def test_loops_that_ask_first_at_once_find_one_home() -> None:
    for _ in range(20):
        home, at_once = LoopRunner(), threading.Barrier(THREADS)

        def ask(_: int, home: LoopRunner = home, at_once: threading.Barrier = at_once) -> asyncio.AbstractEventLoop:
            at_once.wait(TIMEOUT_SECONDS)
            return run(home_is(home))

        with ThreadPoolExecutor(THREADS) as pool:
            assert len(set(pool.map(ask, range(THREADS)))) == 1
        home.leave()


def test_what_goes_wrong_at_home_is_raised_where_it_was_asked() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    async def ask() -> None:
        await home.run(fails)

    home = LoopRunner()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(ask())
    home.leave()


def test_who_asks_after_the_end_is_told_so() -> None:
    lockstream = open_from_environment()
    run(taken_in(lockstream, "before"))
    run(lockstream.close())
    with pytest.raises(StoreUnavailable, match="stop"):
        run(_ingested(lockstream))


async def _ingested(lockstream: Lockstream) -> None:
    await lockstream.ingest([event(registered("late"))])


def test_clients_that_announce_no_start_are_served_at_once_each_by_a_loop_of_its_own(log_path: Path) -> None:
    app = create_app(open_from_environment)
    client = TestClient(app)  # without `with`: each request has an event loop of its own

    def post(number: int) -> int:
        answer = client.post("/events", json=registered(str(number)))
        assert client.get(f"/lockers/{LOCKER}/compartments/{number}").status_code == 200
        return answer.status_code

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            assert set(pool.map(post, range(40))) == {202}
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 40
    finally:
        run(app.state.running.close())
    assert sum(1 for _ in read_log(log_path)) == 40

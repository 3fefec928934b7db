"""The loop runner runs every call on one event loop, whichever event loop or thread calls."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.services.running.event_loop import LoopRunner
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, let_others_run, run

THREADS = 4


@pytest.fixture
def runner() -> Iterator[LoopRunner]:
    runner = LoopRunner()
    yield runner
    runner.stop()


async def loop_of(runner: LoopRunner) -> asyncio.AbstractEventLoop:
    """Return the event loop on which `runner` runs a call."""

    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return await runner.run(running_loop)


def test_calls_run_on_the_loop_that_was_bound(runner: LoopRunner) -> None:
    async def check() -> None:
        runner.bind_running_loop()
        here = asyncio.get_running_loop()
        assert runner.is_running_here
        assert await loop_of(runner) is here
        assert await asyncio.to_thread(run, loop_of(runner)) is here
        runner.stop()
        assert here.is_running()

    run(check())


def test_calls_run_on_a_loop_in_a_thread_of_its_own_if_none_was_bound() -> None:
    runner = LoopRunner()
    own = run(loop_of(runner))

    async def bind_too_late() -> None:
        runner.bind_running_loop()
        assert not runner.is_running_here
        assert await loop_of(runner) is own

    run(bind_too_late())
    assert run(loop_of(runner)) is own
    runner.stop()
    assert own.is_closed()


def test_concurrent_first_calls_run_on_one_loop() -> None:
    for _ in range(20):
        runner, barrier = LoopRunner(), threading.Barrier(THREADS)

        def call(
            _: int, runner: LoopRunner = runner, barrier: threading.Barrier = barrier
        ) -> asyncio.AbstractEventLoop:
            barrier.wait(TIMEOUT_SECONDS)
            return run(loop_of(runner))

        with ThreadPoolExecutor(THREADS) as pool:
            assert len(set(pool.map(call, range(THREADS)))) == 1
        runner.stop()


def test_an_exception_of_a_call_is_raised_to_its_caller(runner: LoopRunner) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def call() -> None:
        await runner.run(fail)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(call())


def test_a_cancelled_call_is_cancelled_on_the_loop_that_runs_it(runner: LoopRunner) -> None:
    was_cancelled = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise

    async def call() -> None:
        waiting = asyncio.ensure_future(runner.run(wait_for_ever))
        await let_others_run()
        await loop_of(runner)  # the call has begun
        waiting.cancel()
        assert await asyncio.to_thread(was_cancelled.wait, TIMEOUT_SECONDS)

    run(call())


def test_a_call_after_the_stop_is_refused() -> None:
    runner = LoopRunner()
    run(loop_of(runner))
    runner.stop()
    with pytest.raises(StoreUnavailable, match="has stopped"):
        run(loop_of(runner))

"""Run coroutines in tests, with a time limit."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

TIMEOUT_SECONDS = 60
"""Time after which a test gives up on a coroutine. The time is long, so that a slow machine fails no test."""


def run[ResultT](coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine on a new event loop, and return its result."""
    return asyncio.run(asyncio.wait_for(coroutine, TIMEOUT_SECONDS))


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, while the event loop goes on."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110  # nothing signals a condition of a test
            await asyncio.sleep(0.001)


async def let_others_run() -> None:
    """Let all tasks run that wait for no other thread."""
    for _ in range(20):
        await asyncio.sleep(0)

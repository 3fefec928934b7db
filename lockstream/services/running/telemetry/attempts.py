"""Attempts to find out a figure that may be missing: a disk or a database may be slow, or away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lockstream.core.errors import StoreUnavailable

ATTEMPT_SECONDS = 1.0
"""Time that a figure may take. Without it, one disk that hangs would hold up all figures."""


async def value_in_time[ValueT](figure: Awaitable[ValueT]) -> ValueT | None:
    """Return a figure, or None if it is unavailable or takes longer than it may."""
    try:
        return await asyncio.wait_for(figure, ATTEMPT_SECONDS)
    except (OSError, StoreUnavailable):  # TimeoutError is an OSError
        return None


class SharedRead[ValueT]:
    """A read of a figure. All who ask while it is pending share it, so that a disk that hangs gets no further jobs."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, ValueT]]) -> None:
        self._read = read
        self._pending: asyncio.Task[ValueT] | None = None

    async def in_time(self) -> ValueT | None:
        """Return the figure, or None if it is unavailable or takes longer than it may."""
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().create_task(self._read())
            self._pending.add_done_callback(_retrieve)
        return await value_in_time(asyncio.shield(self._pending))


def _retrieve[ValueT](read: "asyncio.Task[ValueT]") -> None:
    """Retrieve the error of a read for which nobody waits any more."""
    if not read.cancelled():
        read.exception()

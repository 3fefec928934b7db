"""Reads of figures with a timeout, because a disk or a database may be slow or unreachable."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lockstream.core.errors import StoreUnavailable

ATTEMPT_SECONDS = 1.0
"""Timeout of the read of one figure, so that a disk that hangs does not hold up all other figures."""


async def value_in_time[ValueT](figure: Awaitable[ValueT]) -> ValueT | None:
    """Return a figure, or None if it is unavailable or takes longer than `ATTEMPT_SECONDS`."""
    try:
        return await asyncio.wait_for(figure, ATTEMPT_SECONDS)
    except (OSError, StoreUnavailable):  # TimeoutError is an OSError
        return None


class SharedRead[ValueT]:
    """A read of a figure. Calls share a read that is pending, so that a disk that hangs gets no further reads."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, ValueT]]) -> None:
        self._read = read
        self._pending: asyncio.Task[ValueT] | None = None

    async def in_time(self) -> ValueT | None:
        """Return the figure, or None if it is unavailable or takes longer than `ATTEMPT_SECONDS`."""
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().create_task(self._read())
            self._pending.add_done_callback(_retrieve_error)
        return await value_in_time(asyncio.shield(self._pending))


def _retrieve_error[ValueT](read: "asyncio.Task[ValueT]") -> None:
    """Retrieve the error of a read whose callers have given up, which asyncio would log."""
    if not read.cancelled():
        read.exception()

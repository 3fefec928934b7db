"""Attempts to find out a figure that may be missing: a disk or a database may be slow, or away."""

import asyncio
from collections.abc import Awaitable

from lockstream.core.errors import StoreUnavailable

ATTEMPT_SECONDS = 1.0
"""Time that a figure may take. Without it, one disk that hangs would hold up all figures."""


async def value_in_time[ValueT](figure: Awaitable[ValueT]) -> ValueT | None:
    """Return a figure, or None if it is unavailable or takes longer than it may."""
    try:
        return await asyncio.wait_for(figure, ATTEMPT_SECONDS)
    except (OSError, StoreUnavailable):  # TimeoutError is an OSError
        return None

"""The sweep: finds the measure of silence and counts silent lockers, at most once a minute for all who ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from lockstream.core.entities.log import SECOND, present_time
from lockstream.core.entities.silence import Silence, SilenceLimits
from lockstream.core.ports import Listings, ReadResult
from lockstream.core.use_cases.silent_lockers import silence_at

SWEEP_SECONDS = 60
"""Time for which a sweep counts. A locker is found silent up to this much later, and its next event counts at once."""

type ReadLists = Callable[[Callable[[Listings], Silence]], Awaitable[ReadResult[Silence]]]
"""Executes a query over the lists of the whole network."""


class _Sweep(NamedTuple):
    silence: Silence
    swept_at: int


class SilenceSweep:
    """Sweeps when it is asked, and no more than one sweep is needed. For one event loop."""

    def __init__(self, read_lists: ReadLists, limits: SilenceLimits) -> None:
        """`read_lists` reads the lists of all lockers, whoever asks."""
        self._read_lists, self._limits = read_lists, limits
        self._lock = asyncio.Lock()
        self._last: _Sweep | None = None

    async def silence(self) -> Silence:
        """Return the measure of silence, which is up to `SWEEP_SECONDS` old.

        Raises:
            StoreUnavailable: the lists cannot be read.
        """
        async with self._lock:
            now = present_time()
            if self._last is None or not 0 <= now - self._last.swept_at < SWEEP_SECONDS * SECOND:
                found = await self._read_lists(lambda listings: silence_at(listings, now, self._limits))
                self._last = _Sweep(found.value, now)
            return self._last.silence

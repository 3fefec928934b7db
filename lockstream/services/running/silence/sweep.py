"""The sweep: finds the measure of silence, at most once a minute for all callers together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from lockstream.core.entities.log import SECOND, present_time
from lockstream.core.entities.silence import Silence, SilenceLimits
from lockstream.core.ports import Listings, ReadResult
from lockstream.core.use_cases.silent_lockers import silence_at

SWEEP_SECONDS = 60
"""Time for which the result of a sweep is used. Silence is noticed up to this much later, its end at once."""

OUTDATED_SECONDS = 300
"""Age from which a measure is not used. A younger one is shown by lists without a filter while a sweep renews it."""

type ReadLists = Callable[[Callable[[Listings], Silence]], Awaitable[ReadResult[Silence]]]
"""Executes a query over lists."""


class _Sweep(NamedTuple):
    silence: Silence
    swept_at: int

    def is_younger_than(self, seconds: int) -> bool:
        """Return whether the sweep began within the last `seconds`, and False if the clock was set back since."""
        return 0 <= present_time() - self.swept_at < seconds * SECOND


class SilenceSweep:
    """Begins a sweep if a caller needs a newer measure. Callers share a sweep. For one event loop."""

    def __init__(self, read_lists: ReadLists, limits: SilenceLimits) -> None:
        """`read_lists` executes a query over the lists of the whole network, also for a bound caller."""
        self._read_lists, self._limits = read_lists, limits
        self._last: _Sweep | None = None
        self._sweeping: asyncio.Task[Silence] | None = None

    async def silence(self) -> Silence:
        """Return the measure of silence, which is up to `SWEEP_SECONDS` old.

        Raises:
            StoreUnavailable: the lists cannot be read.
        """
        if self._last and self._last.is_younger_than(SWEEP_SECONDS):
            return self._last.silence
        return await asyncio.shield(self._running_sweep())  # other callers may wait for the same sweep

    async def last_silence(self) -> Silence:
        """Return the measure of silence, which is up to `OUTDATED_SECONDS` old while a sweep renews it.

        Raises:
            StoreUnavailable: there is no measure of this age, and the lists cannot be read.
        """
        if self._last and self._last.is_younger_than(OUTDATED_SECONDS):
            if not self._last.is_younger_than(SWEEP_SECONDS):
                self._running_sweep()
            return self._last.silence
        return await self.silence()

    def stop(self) -> None:
        """End a sweep that is in progress."""
        if self._sweeping:
            self._sweeping.cancel()

    def _running_sweep(self) -> "asyncio.Task[Silence]":
        """Return the sweep that is in progress, or begin one."""
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._run_sweep())
            self._sweeping.add_done_callback(_retrieve_error)
        return self._sweeping

    async def _run_sweep(self) -> Silence:
        now = present_time()
        found = await self._read_lists(lambda listings: silence_at(listings, now, self._limits))
        self._last = _Sweep(found.value, now)
        return found.value


def _retrieve_error(sweep: "asyncio.Task[Silence]") -> None:
    """Retrieve the error of a sweep without waiters, which asyncio would log. The next sweep raises it again."""
    if not sweep.cancelled():
        sweep.exception()

"""The flush thread: flushes the log while the event loop decides the next batch."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from lockstream.infrastructure.fs import sync_data
from lockstream.infrastructure.telemetry.histogram import DISK_SECONDS, Histogram

type OnFlushed = Callable[[OSError | None], object]
"""Called on the event loop after a flush, with the error if it failed."""


class FlushThread:
    """A thread that runs fdatasync and nothing else, so a flush holds Python's lock for some microseconds only."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.seconds = Histogram(DISK_SECONDS)
        """The durations of flushes."""

        self._requests: SimpleQueue[tuple[asyncio.AbstractEventLoop, OnFlushed] | None] = SimpleQueue()
        # A daemon thread does not keep the process alive. If the thread is not closed, the process ends as in a crash,
        # and no acknowledged event is lost.
        self._thread = Thread(target=self._run, name="lockstream-flush", daemon=True)
        self._thread.start()

    def begin(self, on_flushed: OnFlushed) -> None:
        """Flush all lines written so far. The running event loop then calls `on_flushed`."""
        self._requests.put((asyncio.get_running_loop(), on_flushed))

    def close(self) -> None:
        """Stop the thread after the flushes that were requested."""
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while request := self._requests.get():
            loop, on_flushed = request
            failure, began_at = None, perf_counter()
            try:
                sync_data(self._file)
            except OSError as error:
                failure = error
            self.seconds.observe(perf_counter() - began_at)
            with suppress(RuntimeError):  # the event loop is closed, and nobody waits on it any more
                loop.call_soon_threadsafe(on_flushed, failure)

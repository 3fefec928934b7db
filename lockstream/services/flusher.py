"""Flushes the log beside the event loop, so that events are read and decided while the disk is at work."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from lockstream.core.errors import StoreUnavailable
from lockstream.core.repositories import EventLog


class Flusher:
    """One thread. A flush that is asked for while one is under way begins when that one has ended."""

    def __init__(self, log: EventLog, flushed: Callable[[], object]) -> None:
        """`flushed` is called in the event loop after each flush, whether it succeeded or not."""
        self._log = log
        self._flushed = flushed
        self._asked: SimpleQueue[AbstractEventLoop | None] = SimpleQueue()
        # A daemon: where nobody closes us, the process ends as in a crash, which loses nothing.
        self._thread = Thread(target=self._run, name="lockstream-flush", daemon=True)
        self._thread.start()

    def ask(self, loop: AbstractEventLoop) -> None:
        self._asked.put(loop)

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while loop := self._asked.get():
            with suppress(StoreUnavailable):  # the log says so itself from now on
                self._log.flush()
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(self._flushed)

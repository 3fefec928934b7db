"""Flushing a file to the disk: here, or beside an event loop."""

import asyncio
import fcntl
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

type Ended = Callable[[OSError | None], object]


def sync_data(file: int) -> None:
    """Flush a file's bytes and its length to the disk; on macOS, whose fsync stops short of it, through the drive."""
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(file)


class SyncThread:
    """Flushes a file in a thread, which does nothing else: it shares Python's lock for some microseconds a flush."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._asked: SimpleQueue[tuple[asyncio.AbstractEventLoop, Ended] | None] = SimpleQueue()
        # A daemon: where nobody closes us, the process ends as in a crash, which loses nothing.
        self._thread = Thread(target=self._run, name="lockstream-flush", daemon=True)
        self._thread.start()

    def begin(self, ended: Ended) -> None:
        """Flush all that is written by now; the running event loop calls `ended` then, with what went wrong."""
        self._asked.put((asyncio.get_running_loop(), ended))

    def close(self) -> None:
        """End the thread, after what it was asked for."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while asked := self._asked.get():
            loop, ended = asked
            error = None
            try:
                sync_data(self._file)
            except OSError as failed:
                error = failed
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(ended, error)

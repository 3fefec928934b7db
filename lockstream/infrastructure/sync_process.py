"""A process that flushes a file, so that the one who writes it need not wait, nor share Python's lock for it.

A thread would wait for the lock twice for each flush, up to 5 ms each time while events are being read and decided:
32 clients were served TIMES times as many events a second with this process as with a thread (docs/decisions/0011).

The protocol is one byte each way over a socket. When the one who asks is gone, however it ended, so is this process.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lockstream.infrastructure import syncing

type Ended = Callable[[OSError | None], object]


class SyncProcess:
    """The process, seen from the one who asks. To be used in one event loop."""

    def __init__(self, path: Path, file: int) -> None:
        """Start it, for the file that `path` leads to and `file` has open.

        It opens the file anew: a lock on ours must not outlive us.

        Raises:
            OSError: it cannot be started.
        """
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        self._ended: Ended | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not os.path.sameopenfile(opened, file):
                raise OSError(f"{path} was moved or replaced")
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-I", "-S", syncing.__file__, str(opened)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=[opened],
                start_new_session=True,  # what a terminal sends to us is none of its business
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
            os.close(opened)

    def begin(self, ended: Ended) -> None:
        """Have the file flushed; `ended` is called in the running event loop, once."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.add_reader(self._socket.fileno(), self._answered)
        self._ended = ended
        try:
            self._socket.send(b"?")
        except OSError as error:
            loop.call_soon(self._end, error)

    def close(self) -> None:
        """End it."""
        if self._loop and not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._process.wait()

    def _answered(self) -> None:
        answer = self._socket.recv(1)
        if answer == b"\0":
            self._end(None)
        elif answer:
            self._end(OSError(answer[0], os.strerror(answer[0])))
        else:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._end(OSError(0, "the process that flushes it was killed"))

    def _end(self, error: OSError | None) -> None:
        ended, self._ended = self._ended, None
        if ended:
            ended(error)

"""The system that an app serves."""

from collections.abc import Callable
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request

from lockstream.services.lockstream import Lockstream


class Running:
    """A Lockstream, opened when the server starts or, under a server that does not say so, at the first request."""

    def __init__(self, open_lockstream: Callable[[], Lockstream]) -> None:
        self._open = open_lockstream
        self._lockstream: Lockstream | None = None
        self._lock = Lock()

    def get(self) -> Lockstream:
        with self._lock:
            if self._lockstream is None:
                self._lockstream = self._open()
            return self._lockstream

    def close(self) -> None:
        with self._lock:
            if self._lockstream is not None:
                self._lockstream.close()
                self._lockstream = None


async def _current(request: Request) -> Lockstream:
    running: Running = request.app.state.running
    return running.get()


CurrentLockstream = Annotated[Lockstream, Depends(_current)]

"""The system that an app serves."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request

from lockstream.core.errors import NotOpenYet, StoreUnavailable
from lockstream.services.lockstream import Lockstream


class Running:
    """A Lockstream, opened when the server starts or, under a server that does not say so, at the first request."""

    def __init__(self, open_lockstream: Callable[[], Lockstream]) -> None:
        self._open = open_lockstream
        self._lockstream: Lockstream | None = None
        self._closed = self._at_home = False
        self._lock = Lock()

    def start(self) -> None:
        """Open it now, at home in the running event loop; again, if it was closed. It may not be open yet: see `get`.

        Raises:
            StartRefused: it cannot be opened.
        """
        self._closed, self._at_home = False, True
        with suppress(NotOpenYet):
            self.get()

    def get(self) -> Lockstream:
        """It, opened if need be.

        Raises:
            StoreUnavailable: it was closed, or is not open yet.
            StartRefused: it cannot be opened.
        """
        with self._lock:
            if self._closed:
                raise StoreUnavailable("Lockstream has stopped. Try again with the one that follows.")
            if self._lockstream is None:
                self._lockstream = self._open()
                if self._at_home:
                    self._lockstream.settle_here()
            return self._lockstream

    async def close(self) -> None:
        with self._lock:
            self._closed = True
            lockstream, self._lockstream = self._lockstream, None
        if lockstream is not None:
            await lockstream.close()


async def _current(request: Request) -> Lockstream:
    running: Running = request.app.state.running
    return running.get()


CurrentLockstream = Annotated[Lockstream, Depends(_current)]

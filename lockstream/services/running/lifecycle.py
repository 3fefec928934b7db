"""The lifecycle of a running system: started, perhaps in the background, handed to requests, and stopped."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from lockstream.core.errors import StartingUp, StoreUnavailable
from lockstream.core.ports import OnProgress
from lockstream.services.running.event_loop import STOPPED
from lockstream.services.running.lockstream import Lockstream

ABANDON_SECONDS = 5
"""Time that an abandoned startup has to remove its files. The next start removes the rest."""


class Lifecycle:
    """Opens the Lockstream of one application when the server starts, or else at the first request, and closes it."""

    def __init__(self, open_lockstream: Callable[[], Lockstream]) -> None:
        self._open = open_lockstream
        self.running: Lockstream | None = None
        """The running system, while it is open."""

        self._is_closed = self._binds_loop = False
        self._lock = Lock()

    def start(self) -> None:
        """Open the system on the running event loop, unless its startup is still running in the background.

        Raises:
            LockstreamError, OSError: the system cannot be opened.
        """
        self._is_closed, self._binds_loop = False, True
        with suppress(StartingUp):
            self.lockstream()

    def lockstream(self) -> Lockstream:
        """Return the running system, and open it first if necessary.

        Raises:
            StoreUnavailable: the system was closed, or its startup has not finished.
            LockstreamError, OSError: the system cannot be opened.
        """
        with self._lock:
            if self._is_closed:
                raise StoreUnavailable(STOPPED)
            if self.running is None:
                lockstream = self._open()
                if self._binds_loop:
                    lockstream.bind_running_loop()
                self.running = lockstream
            return self.running

    async def close(self) -> None:
        """Close the running system, if it was opened."""
        with self._lock:
            self._is_closed = True
            lockstream, self.running = self.running, None
        if lockstream is not None:
            await lockstream.close()


class BackgroundStart:
    """A startup in a thread, so that the server can already answer requests, if only with the progress.

    A catch-up with a long log takes minutes or hours if the projection was lost. A server that listened only
    afterwards would seem to hang. The startup begins at once. The end of the `with` block abandons a startup that has
    not finished, and closes a system that `lockstream` has never returned.
    """

    def __init__(self, open_lockstream: Callable[[OnProgress], Lockstream]) -> None:
        self._open = open_lockstream
        self._lockstream: Lockstream | None = None
        self._failure: BaseException | None = None
        self._progress = "is checking the end of its log"
        self._finished = Event()
        self._is_abandoned = self._is_handed_over = False
        Thread(target=self._run, name="lockstream-start", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_abandoned = True
        self._finished.wait(ABANDON_SECONDS)
        if self._lockstream and not self._is_handed_over:
            asyncio.run(self._lockstream.close())

    @property
    def has_failed(self) -> bool:
        return self._failure is not None

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds` for the end of the startup. Raise the exception with which it has failed, if it has."""
        self._finished.wait(seconds)
        self.require_no_failure()

    def lockstream(self) -> Lockstream:
        """Return the running system.

        Raises:
            StartingUp: the startup has not finished.
            LockstreamError, OSError: the startup has failed.
        """
        self.require_no_failure()
        if self._lockstream is None:
            raise StartingUp(self._progress)
        self._is_handed_over = True
        return self._lockstream

    def require_no_failure(self) -> None:
        """Raise the exception with which the startup has failed, if it has."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            self._lockstream = self._open(self._note_progress)
        except _Abandoned:
            pass
        except Exception as error:  # noqa: BLE001  # it is raised again in `require_no_failure`
            self._failure = error
        finally:
            self._finished.set()

    def _note_progress(self, reached: int, end: int) -> None:
        if self._is_abandoned:
            raise _Abandoned
        self._progress = f"is catching up with its log, at event {reached:,} of {end:,}"


class _Abandoned(BaseException):
    """Raised inside an abandoned startup. It is not an Exception, so that nothing on its way handles it."""

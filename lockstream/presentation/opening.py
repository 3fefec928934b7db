"""A Lockstream that is opened beside the server, which says meanwhile how far that has come.

To catch up with a long log, after the projection was lost, takes minutes or hours. A server that listened only
afterwards could not be told from one that hangs.
"""

from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import NotOpenYet
from lockstream.services.lockstream import Lockstream
from lockstream.services.wiring import Watch

PATIENCE_SECONDS = 5
"""How long one that is given up may take to put its files in order. What is left over is removed at the next start."""


class Opening:
    """Begins at once, in a thread; at the end of its `with` it is given up, if it has not ended."""

    def __init__(self, open_lockstream: Callable[[Watch], Lockstream]) -> None:
        self._open = open_lockstream
        self._lockstream: Lockstream | None = None
        self._failure: BaseException | None = None
        self._progress = "is checking the end of its log"
        self._ended = Event()
        self._given_up = False
        self._when_failed: Callable[[], object] = lambda: None
        Thread(target=self._run, name="lockstream-open", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up = True
        self._ended.wait(PATIENCE_SECONDS)

    def wait(self, seconds: float) -> None:
        """Give it some time to end.

        Raises:
            LockstreamError, OSError: it has failed.
        """
        self._ended.wait(seconds)
        self.require_no_failure()

    def get(self) -> Lockstream:
        """What was opened.

        Raises:
            NotOpenYet: it is on its way.
            LockstreamError, OSError: it cannot be opened.
        """
        self.require_no_failure()
        if self._lockstream is None:
            raise NotOpenYet(self._progress)
        return self._lockstream

    def when_failed(self, tell: Callable[[], object]) -> None:
        """Have `tell` called, on any thread, if it fails."""
        self._when_failed = tell
        if self._failure:
            tell()

    def require_no_failure(self) -> None:
        """Raise what it has failed with, if it has."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            self._lockstream = self._open(self._watch)
        except _GivenUp:
            pass
        except Exception as error:  # noqa: BLE001  # it is raised again where somebody hears of it
            self._failure = error
            self._when_failed()
        finally:
            self._ended.set()

    def _watch(self, reached: Cursor, end: Cursor) -> None:
        if self._given_up:
            raise _GivenUp
        self._progress = f"is catching up with its log, at event {reached.position:,} of {end.position:,}"


class _GivenUp(BaseException):
    """Nobody waits any more. No `Exception`: nothing on the way is to take it for a fault."""

"""The one event loop that a running system lives in, whichever loop or thread it is asked from."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Lock, Thread

from lockstream.core.errors import StoreUnavailable


class Home:
    """An event loop: the server's, where it says so with `settle_here`, or one in a thread of its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._lock = Lock()
        self._left = False

    def settle_here(self) -> None:
        """Live in the running loop, unless it is too late for that."""
        with self._lock:
            self._loop = self._loop or asyncio.get_running_loop()

    def run[**ArgumentsT, AnswerT](
        self,
        function: Callable[ArgumentsT, Awaitable[AnswerT]],
        *args: ArgumentsT.args,
        **kwargs: ArgumentsT.kwargs,
    ) -> Awaitable[AnswerT]:
        """What `function` answers, which is called at home; here and now, where that is here.

        Raises:
            StoreUnavailable: its own event loop has ended.
        """
        if self._loop is asyncio.get_running_loop():
            return function(*args, **kwargs)

        async def called() -> AnswerT:
            return await function(*args, **kwargs)

        loop = self._loop or self._make_loop()
        with self._lock:
            if self._left:
                raise StoreUnavailable("Lockstream has stopped. Try again with the one that follows.")
            return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(), loop))

    def leave(self) -> None:
        """End the loop, where it is one of our own. Nothing can be run any more."""
        if self._loop and self._thread:
            with self._lock:
                self._left = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="lockstream", daemon=True)
                self._thread.start()
            return self._loop

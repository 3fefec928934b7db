"""The loop runner: runs calls from other event loops and threads on one event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Lock, Thread

from lockstream.core.errors import StoreUnavailable

STOPPED = "Lockstream has stopped. Send the request again after Lockstream has restarted."


class LoopRunner:
    """Uses the event loop that `bind_running_loop` names, else an event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop that runs all calls, once there is one."""

        self._thread: Thread | None = None
        self._lock = Lock()
        self._is_stopped = False

    def bind_running_loop(self) -> None:
        """Run all calls on the running event loop, unless another loop already runs them."""
        with self._lock:
            self.loop = self.loop or asyncio.get_running_loop()

    def run[**ArgumentsT, ResultT](
        self,
        function: Callable[ArgumentsT, Awaitable[ResultT]],
        *args: ArgumentsT.args,
        **kwargs: ArgumentsT.kwargs,
    ) -> Awaitable[ResultT]:
        """Call `function` on the loop, and return its result as an awaitable for the caller's loop.

        Raises:
            StoreUnavailable: the runner was stopped.
        """

        async def call() -> ResultT:
            return await function(*args, **kwargs)

        loop = self.loop or self._start_loop()
        with self._lock:
            if self._is_stopped:
                raise StoreUnavailable(STOPPED)
            return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call `function` on the loop, if there is one. May be called from any thread."""
        with self._lock:
            if self.loop and not self._is_stopped:
                self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Stop the loop if it runs in a thread of its own. Nothing can be run afterwards."""
        if self.loop and self._thread:
            with self._lock:
                self._is_stopped = True
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self._thread = Thread(target=self.loop.run_forever, name="lockstream-loop", daemon=True)
                self._thread.start()
            return self.loop

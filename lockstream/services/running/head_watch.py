"""The head watch: waiters for any event after a position. Waiting causes neither a flush nor a query."""

import asyncio
from collections.abc import Callable


class HeadWatch:
    """Wakes all waiters at once when the head of a log moves. For one event loop."""

    def __init__(self, head: Callable[[], int]) -> None:
        """`head` returns the position of the last durable record, as far as this process knows."""
        self._head = head
        self._moved: asyncio.Future[None] | None = None
        self.waiters = 0
        self.is_stopped = False

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        """Wait until the head is beyond `position`; return False after `seconds`, or if the watch stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self.waiters += 1
        try:
            while not self.is_stopped and self._head() <= position:
                rest = deadline - loop.time()
                if rest <= 0:
                    break
                if self._moved is None:
                    self._moved = loop.create_future()
                await asyncio.wait([self._moved], timeout=rest)  # a cancelled waiter must not cancel the others
            return not self.is_stopped and self._head() > position
        finally:
            self.waiters -= 1

    def notify(self) -> None:
        """Wake all waiters, so that each compares the head with its position again."""
        if self._moved:
            self._moved.set_result(None)
            self._moved = None

    def stop(self) -> None:
        """End all waiting, now and later: the server stops."""
        self.is_stopped = True
        self.notify()

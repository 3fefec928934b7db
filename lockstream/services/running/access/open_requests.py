"""Open requests: streams and long polls of the feed, which end once their key is no longer accepted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count


class OpenRequests:
    """Requests that may last longer than their keys. For any thread."""

    def __init__(self) -> None:
        self._numbers = count()
        self._open: dict[int, tuple[str, Callable[[], object]]] = {}

    @contextmanager
    def added(self, key_id: str, end: Callable[[], object]) -> Iterator[None]:
        """Register a request for the time of the block. `end` is called from another thread once its key has ended."""
        number = next(self._numbers)
        self._open[number] = key_id, end
        try:
            yield
        finally:
            self._open.pop(number, None)

    def end_unless(self, accepts: Callable[[str], bool]) -> None:
        """End the requests whose key is no longer accepted."""
        for number, (key_id, end) in list(self._open.items()):
            if not accepts(key_id):
                self._open.pop(number, None)
                with suppress(RuntimeError):  # the event loop was closed meanwhile
                    end()

"""The ingest queue: bounded, with turns between keys.

Keys take turns by deficit round robin (Shreedhar and Varghese, 1995): in its turn, a key may have `TURN_EVENTS`
events decided, and it saves the unused rest of a turn if its next request is larger. The room is shared by dynamic
thresholds (Choudhury and Hahne, 1998): a key may hold as much room as is still free. So one key that floods the queue
gets half of the room, two get a third each, and another key always finds room. Callers without a key share one line,
which may fill the queue.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from lockstream.core.errors import QueueFull

TURN_EVENTS = 25
"""Events that a key may have decided in its turn, if other keys wait."""


class Queued(Protocol):
    """Events of one request."""

    count: int
    """Number of events in the request. It must not change: `push` adds it to the queue, and `release` subtracts it."""

    @property
    def key_id(self) -> str:
        """Id of the key that sent the request, or an empty text."""

    @property
    def texts(self) -> Sequence[bytes]:
        """JSON text of each event in the request."""


class _Line[ItemT]:
    """The requests of one key, in order."""

    __slots__ = ("credit", "held", "items", "key_id")

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self.items: deque[tuple[ItemT, int]] = deque()
        """Requests in the queue, with their weights."""

        self.held = 0
        """Events that wait for their acknowledgement, in the queue or for a flush."""

        self.credit = 0
        """Weight that the key may still have decided in its turn."""


class IngestQueue[ItemT: Queued]:
    """Requests that wait to be decided, and the room that all events take until they are acknowledged.

    The requests of one key leave the queue in the order in which they came.
    """

    def __init__(self, limit: int, weight_bytes: int) -> None:
        """`limit` bounds the events that wait for their acknowledgement, except for one request that waits alone.

        `weight_bytes` is passed to `weight_of`.
        """
        self._limit, self._weight_bytes = limit, weight_bytes
        self._lines: dict[str, _Line[ItemT]] = {}
        """The line of each key that holds room."""

        self._turns: deque[_Line[ItemT]] = deque()
        """The lines that have requests in the queue. The first one has its turn."""

        self.queued = 0
        """Events in the queue."""

        self.waiting = 0
        """Events that wait for their acknowledgement, in the queue or for a flush."""

    @property
    def is_empty(self) -> bool:
        return not self._turns

    @property
    def is_full(self) -> bool:
        return self.waiting >= self._limit

    def push(self, item: ItemT) -> None:
        """Append a request to the line of its key.

        Raises:
            QueueFull: there is no room for the request.
        """
        count, key_id, free = item.count, item.key_id, self._limit - self.waiting
        line = self._lines.get(key_id)
        if self.waiting and count > free:
            raise QueueFull(self._limit)
        if key_id and line and line.held + count > free:
            raise QueueFull(self._limit, line.held)
        if line is None:
            line = self._lines[key_id] = _Line(key_id)
        if not line.items:
            self._turns.append(line)
            line.credit = TURN_EVENTS
        line.items.append((item, weight_of(item.texts, self._weight_bytes)))
        line.held += count
        self.queued += count
        self.waiting += count

    def next_batch(self, limit: int) -> list[ItemT]:
        """Take requests from the queue, up to a weight of `limit`, and at least one if there is one."""
        batch: list[ItemT] = []
        weight = 0
        while self._turns:
            line = self._next_line()
            item, item_weight = line.items[0]
            weight += item_weight
            if batch and weight > limit:
                break
            batch.append(item)
            self._drop_first(line)
        return batch

    def release(self, items: Iterable[ItemT]) -> None:
        """Free the room of requests that have been acknowledged or have failed."""
        lines = self._lines
        for item in items:
            if count := item.count:
                line = lines[item.key_id]
                self.waiting -= count
                line.held -= count
                if not line.held and not line.items:
                    del lines[line.key_id]

    def _next_line(self) -> _Line[ItemT]:
        """Return the line whose first request is next, after passing the turn on if necessary."""
        turns = self._turns
        if len(turns) > 1:
            while turns[0].credit < turns[0].items[0][1]:
                turns[0].credit += TURN_EVENTS
                turns.rotate(-1)
        return turns[0]

    def _drop_first(self, line: _Line[ItemT]) -> None:
        """Drop the first request of the line that has its turn."""
        item, weight = line.items.popleft()
        self.queued -= item.count
        if not line.items:
            self._turns.popleft()
            if not line.held:  # its requests had no events
                del self._lines[line.key_id]
        elif len(self._turns) > 1:
            line.credit -= weight


def weight_of(texts: Sequence[bytes], weight_bytes: int) -> int:
    """Return the weight of the events with these JSON texts: 1 for each, and 1 more per `weight_bytes` of its text."""
    return sum(1 + len(text) // weight_bytes for text in texts)

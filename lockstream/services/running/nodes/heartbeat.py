"""The heartbeat: notes this node in its database every few seconds, and reads the list of all nodes."""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple

from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.postgres.nodes.node import UNHEARD_SECONDS, ListedNode, Node

if TYPE_CHECKING:
    from lockstream.infrastructure.postgres.nodes.store import PostgresNodes

HEARTBEAT_SECONDS = 5.0
"""Interval of heartbeats. Three of them fit into the time after which a node counts as not heard."""

REPORTED_FAILURES = 3
"""Failed heartbeats in a row that are logged: the other nodes show this one as not heard."""

STOP_SECONDS = 1
"""Time that `close` waits for the thread. A database that does not answer may hold the thread up for longer."""

logger = logging.getLogger(__name__)


class _Read(NamedTuple):
    nodes: Sequence[ListedNode]
    at: float
    """Monotonic time at which the read began."""


class Heartbeat:
    """Notes this node until `close`, in a thread. No request waits for a heartbeat, and none fails with one."""

    def __init__(self, store: "PostgresNodes", node: Node, unavailable_reason: Callable[[], str | None]) -> None:
        """Write the first heartbeat, and begin the thread. `unavailable_reason` says why this node refuses events."""
        self._store, self._node, self._unavailable_reason = store, node, unavailable_reason
        self._began_at = time.monotonic()
        self._last: _Read | None = None
        self._has_failed = False
        """Whether the last heartbeat failed."""

        self._failures = 0
        """Failed heartbeats in a row while this node accepted events."""

        self._stopping = Event()
        self._beat()
        self._thread = Thread(target=self._run, name="lockstream-nodes", daemon=True)
        self._thread.start()

    @property
    def nodes(self) -> Sequence[ListedNode] | None:
        """All nodes at the last heartbeat, or None if it is so old that they may have changed."""
        last = self._last
        return last.nodes if last and time.monotonic() - last.at < UNHEARD_SECONDS else None

    def close(self) -> None:
        """Remove this node from the list, if the database answers soon. Blocks."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            self._beat()
        try:
            self._store.remove(self._node.node_id)
        except StoreUnavailable:  # the other nodes show this one as not heard, and delete it after a day
            pass
        finally:
            self._store.close()

    def _beat(self) -> None:
        now = time.monotonic()
        try:
            nodes = self._store.note(self._node, now - self._began_at, self._unavailable_reason())
        except Exception as error:  # noqa: BLE001  # an internal error must not end the thread
            self._note_failure(error)
        else:
            if not self._has_failed:  # after an outage, the other nodes may not have noted themselves yet
                self._last = _Read(nodes, now)
            self._has_failed, self._failures = False, 0

    def _note_failure(self, error: Exception) -> None:
        """Log the failure that makes this node look lost, unless the reason is that the whole database is away."""
        self._has_failed = True
        self._failures = 0 if self._unavailable_reason() else self._failures + 1
        if self._failures == REPORTED_FAILURES:
            logger.warning(
                "This node cannot note itself in the list of nodes, so the others show it as not heard. It accepts "
                "events all the same. %s",
                error,
                exc_info=None if isinstance(error, StoreUnavailable) else error,
                extra={"event_name": "node_not_noted"},
            )

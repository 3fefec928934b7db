"""The snapshot gate: lets a checkpoint wait for a moment at which no list has a snapshot open.

SQLite begins the write-ahead log anew only if no snapshot needs it. If lists overlap without a pause, the file would
grow for as long as they do (sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class SnapshotGate:
    """Counts open snapshots, and can be shut until there are none. For any thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._open_snapshots = 0
        self._is_shut = False

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Hold a snapshot for the block, once the gate is open."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._open_snapshots += 1
        try:
            yield
        finally:
            with self._changed:
                self._open_snapshots -= 1
                self._changed.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Shut the gate for the block, once open snapshots have ended. One thread at a time."""
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: not self._open_snapshots)
        try:
            yield
        finally:
            with self._changed:
                self._is_shut = False
                self._changed.notify_all()

"""Refused requests, summed up for the audit log: one entry a minute for equal refusals, in bounded memory."""

from threading import Lock
from typing import NamedTuple

from msgspec import Struct

from lockstream.core.entities.keys import AuditAction, AuditEntry
from lockstream.core.entities.log import SECOND, recorded_at_of

INTERVAL_SECONDS = 60.0
"""Shortest time between two entries about equal refusals."""

MAX_KINDS = 200
"""Most kinds of refusals that are counted apart at a time. Further refusals are summed up by code alone."""


class Refusal(NamedTuple):
    """A refused request."""

    key_id: str
    """The key of the request if its secret was right, else empty."""

    address: str
    operation: str
    code: str


class _Sum(Struct):
    first: Refusal
    at: float
    """Time of the last refusal."""

    count: int = 0
    next_entry_at: float = 0


class Refusals:
    """Counts the requests that were refused, until their sums are in the audit log. Any thread may use it."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], _Sum] = {}
        self._lock = Lock()

    def note(self, refusal: Refusal, now: float, count: int = 1) -> None:
        """Note a refused request, or several equal ones. `now` is in seconds since 1970."""
        kind = refusal.key_id or refusal.address, refusal.operation, refusal.code
        with self._lock:
            if kind not in self._sums and len(self._sums) >= MAX_KINDS:
                refusal = Refusal("", "", "", refusal.code)
                kind = "", "", refusal.code
            found = self._sums.setdefault(kind, _Sum(refusal, now))
            if not found.count:
                found.first = refusal
            found.at = now
            found.count += count

    def due(self, now: float, *, is_last: bool = False) -> list[AuditEntry]:
        """Return entries about the refusals since the last entries, and reset their counts.

        A kind of refusal that was not seen for a minute is due at once. With `is_last`, all kinds are due. If the
        entries cannot be written, the caller must `restore` them.
        """
        entries = []
        with self._lock:
            for kind, found in list(self._sums.items()):
                if now < found.next_entry_at and not is_last:
                    continue
                if not found.count:
                    del self._sums[kind]
                    continue
                entries.append(_entry(found))
                found.count, found.next_entry_at = 0, now + INTERVAL_SECONDS
        return entries

    def restore(self, entries: list[AuditEntry], now: float) -> None:
        """Count refusals again whose entries could not be written."""
        for entry in entries:
            self.note(Refusal(entry.key_id, entry.address, entry.operation, entry.code), now, entry.count)


def _entry(found: _Sum) -> AuditEntry:
    key_id, address, operation, code = found.first
    return AuditEntry(
        at=recorded_at_of(int(found.at * SECOND)),
        action=AuditAction.REFUSED,
        key_id=key_id,
        address=address,
        operation=operation,
        code=code,
        count=found.count,
    )

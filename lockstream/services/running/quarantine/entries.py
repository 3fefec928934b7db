"""The entries of the quarantine that a caller may see: all of them, or only entries of the lockers of its key."""

from typing import Protocol

from msgspec.structs import replace

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.quarantine import Entry, MalformedBody, QuarantineQuery, QuarantineTotals
from lockstream.services.running.quarantine.quarantine import Quarantine


class Entries(Protocol):
    """The part of the quarantine that a caller may read and change. Each method raises StoreUnavailable."""

    async def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        """Return up to `limit` entries behind the one with number `after`."""

    async def in_order_of_occurrence(self, query: QuarantineQuery) -> list[Entry]:
        """Return all entries that pass the filters, in the order of their events."""

    async def entry(self, event_id: str) -> Entry | None:
        """Return the entry of an event id, a UUID in lower case."""

    async def totals(self) -> QuarantineTotals:
        """Return the counts over the entries."""

    async def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        """Return up to `limit` malformed bodies before the one with number `after`."""

    async def discard(self, event_id: str, reason: str) -> Entry | None:
        """Note that an event needs no further work, and return its entry."""


class BoundEntries:
    """Implements `Entries` for a caller that is bound to lockers. The entries of other lockers are absent."""

    def __init__(self, quarantine: Quarantine, lockers: Lockers) -> None:
        self._quarantine, self._lockers = quarantine, lockers

    async def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        return await self._quarantine.entries(replace(query, lockers=self._lockers), after, limit)

    async def in_order_of_occurrence(self, query: QuarantineQuery) -> list[Entry]:
        return await self._quarantine.in_order_of_occurrence(replace(query, lockers=self._lockers))

    async def entry(self, event_id: str) -> Entry | None:
        return self._if_visible(await self._quarantine.entry(event_id))

    async def totals(self) -> QuarantineTotals:
        return await self._quarantine.totals(self._lockers)

    async def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        """Return nothing, because no malformed body is known to come from one of the caller's lockers."""
        return []

    async def discard(self, event_id: str, reason: str) -> Entry | None:
        if await self.entry(event_id) is None:
            return None
        return self._if_visible(await self._quarantine.discard(event_id, reason))

    def _if_visible(self, entry: Entry | None) -> Entry | None:
        return entry if entry and self._lockers.allow(entry.locker_id) else None

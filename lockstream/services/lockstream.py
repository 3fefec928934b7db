"""The running system."""

import asyncio
from collections.abc import Callable

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Compartment, Locker, Reservation
from lockstream.core.outcomes import Outcome
from lockstream.core.repositories import Store
from lockstream.services.ingestion import Ingestion


class Lockstream:
    """One locker network's record: events go in, and each read shows all that was acknowledged before it began."""

    def __init__(self, store: Store, ingestion: Ingestion, *, max_event_bytes: int) -> None:
        self.max_event_bytes = max_event_bytes
        self._store = store
        self._ingestion = ingestion

    async def ingest(self, event: Event) -> Outcome:
        """Take in one event; when this returns `Accepted`, it is on the disk.

        Raises:
            StoreUnavailable: the event is not acknowledged.
        """
        return await self._ingestion.submit(event)

    async def locker(self, locker_id: str) -> Locker | None:
        return await self._read(self._store.queries.locker, locker_id)

    async def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return await self._read(self._store.queries.compartment, locker_id, compartment_id)

    async def reservation(self, reservation_id: str) -> Reservation | None:
        return await self._read(self._store.queries.reservation, reservation_id)

    def close(self) -> None:
        """Finish what was taken in, and give up the files."""
        self._ingestion.close()
        self._store.close()

    async def _read[**ArgumentsT, FoundT](
        self, query: Callable[ArgumentsT, FoundT], *args: ArgumentsT.args, **kwargs: ArgumentsT.kwargs
    ) -> FoundT:
        await self._ingestion.settled()
        return await asyncio.to_thread(query, *args, **kwargs)

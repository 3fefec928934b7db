"""The running system."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Compartment, Locker, Reservation
from lockstream.core.outcomes import Outcome
from lockstream.core.repositories import Queries, Store
from lockstream.infrastructure.settings import Settings
from lockstream.services.home import Home
from lockstream.services.ingestion import Ingestion, OfLocker


class Lockstream:
    """One locker network's record: events go in, and each read shows all that was acknowledged before it began.

    It may be used from any event loop and any thread; it is fastest where it is at home.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.settings = settings
        self._store = store
        self._ingestion = Ingestion(store, queue_limit=settings.queue_limit, batch_limit=settings.batch_limit)
        self._home = Home()

    def settle_here(self) -> None:
        """Be at home in the running event loop."""
        self._home.settle_here()

    def ingest(self, events: Sequence[Event]) -> Awaitable[Sequence[Outcome | Exception]]:
        """Take in `events`, in this order; when this returns, those that are `Accepted` are on the disk.

        In the place of an outcome stands an exception where a fault of ours kept the event from being decided.

        Raises:
            StoreUnavailable: none of them is acknowledged.
        """
        return self._home.run(self._ingestion.submit, events)

    @property
    def obstacle(self) -> str:
        """Why an event would not be taken in right now; empty where it would."""
        return self._ingestion.obstacle

    async def locker(self, locker_id: str) -> Locker | None:
        return await self._read(lambda network: network.locker(locker_id))

    async def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        return await self._read(lambda network: network.compartment(locker_id, compartment_id))

    async def reservation(self, reservation_id: str) -> Reservation | None:
        return await self._read(lambda network: network.reservation(reservation_id))

    async def close(self) -> None:
        """Finish what was taken in, and give up the files."""
        await self._home.run(self._ingestion.close)
        await asyncio.to_thread(self._home.leave)
        self._store.close()

    def _read[FoundT: OfLocker](self, query: Callable[[Queries], FoundT | None]) -> Awaitable[FoundT | None]:
        return self._home.run(self._ingestion.read, query)

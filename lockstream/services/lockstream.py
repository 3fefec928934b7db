"""The running system."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Compartment, Locker, Reservation
from lockstream.core.errors import NotReached
from lockstream.core.outcomes import Outcome
from lockstream.core.repositories import Queries, Seen, Store
from lockstream.infrastructure.settings import Settings
from lockstream.services.home import Home
from lockstream.services.ingestion import Ingestion, OfLocker

PATIENCE_SECONDS = 1.0
"""How long a read waits for the position that it was asked to reflect."""

LOOK_AGAIN_SECONDS = 0.02


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

    async def locker(self, locker_id: str, least: int = 0) -> Seen[Locker | None]:
        """A locker, as it is when all events up to position `least` are reflected, or later.

        Raises:
            NotReached: they are not, for now.
            StoreUnavailable: it cannot be shown.
        """
        return await self._read(lambda network: network.locker(locker_id), least)

    async def compartment(self, locker_id: str, compartment_id: str, least: int = 0) -> Seen[Compartment | None]:
        """The same of a compartment."""
        return await self._read(lambda network: network.compartment(locker_id, compartment_id), least)

    async def reservation(self, reservation_id: str, least: int = 0) -> Seen[Reservation | None]:
        """The same of a reservation."""
        return await self._read(lambda network: network.reservation(reservation_id), least)

    async def close(self) -> None:
        """Finish what was taken in, and give up the files."""
        await self._home.run(self._ingestion.close)
        await asyncio.to_thread(self._home.leave)
        self._store.close()

    async def _read[FoundT: OfLocker](
        self, query: Callable[[Queries], FoundT | None], least: int
    ) -> Seen[FoundT | None]:
        seen = await self._look(query)
        if seen.position < least:
            until = time.monotonic() + PATIENCE_SECONDS
            while seen.position < least and time.monotonic() < until:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                seen = await self._look(query)
            if seen.position < least:
                raise NotReached(seen.position, least)
        return seen

    def _look[FoundT: OfLocker](self, query: Callable[[Queries], FoundT | None]) -> Awaitable[Seen[FoundT | None]]:
        return self._home.run(self._ingestion.read, query)

"""Group commit over a faulty store, with the events that tests submit and the reads of their effects."""

import asyncio
from collections.abc import Sequence

from lockstream.core.entities.state import Locker
from lockstream.core.outcomes import Outcome
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.group_commit import GroupCommit
from lockstream.tests.support.builders import LOCKER, Body, event
from lockstream.tests.support.faulty_store import FaultyStore


class System:
    """A group commit and its engine. For one event loop."""

    def __init__(self, store: FaultyStore, queue_limit: int = 1_000, batch_limit: int = 200) -> None:
        self.engine = EmbeddedEngine(store, batch_limit)
        self.group_commit = GroupCommit(self.engine, queue_limit)

    def post(self, *bodies: Body) -> asyncio.Future[Sequence[Outcome | Exception]]:
        """Submit events together. The next turn of the event loop decides them."""
        return asyncio.ensure_future(self.group_commit.submit([event(body) for body in bodies]))

    async def locker(self, locker_id: str = LOCKER) -> Locker | None:
        return (await self.engine.read(lambda reads: reads.locker(locker_id))).value

    def compartments(self, locker_id: str = LOCKER) -> asyncio.Task[int]:
        """Begin to read how many compartments a locker has; 0 if the locker is unknown."""

        async def count() -> int:
            locker = await self.locker(locker_id)
            return 0 if locker is None else len(locker.compartments)

        return asyncio.create_task(count())

    async def close(self) -> None:
        await self.group_commit.close()
        await self.engine.close()

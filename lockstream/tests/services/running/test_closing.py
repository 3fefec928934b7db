"""What comes in while the system is about to stop."""

import asyncio
from threading import Event

from lockstream.core.outcomes import Accepted
from lockstream.infrastructure.backing import Changes, Nothing
from lockstream.infrastructure.sqlite.checkpoint import Settling
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.services.running.group_commit import GroupCommit
from lockstream.tests.support.builders import event, registered

TIMEOUT_SECONDS = 20


class SlowToWrite(Nothing):
    """Takes changes when it is let."""

    def __init__(self) -> None:
        self.writing, self.let = Event(), Event()

    def write(self, changes: Changes) -> None:
        self.writing.set()
        assert self.let.wait(TIMEOUT_SECONDS)


class SlowToSettle(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.backing = SlowToWrite()

    def begin_settling(self) -> Settling:
        return Settling(self.rows, self.backing)


def test_what_was_taken_in_while_the_last_rows_settled_is_answered() -> None:
    asyncio.run(close_while_settling())


async def close_while_settling() -> None:
    store = SlowToSettle()
    ingestion = GroupCommit(store, queue_limit=10, batch_limit=10)
    # given an event that is being settled, and one that was taken in meanwhile
    assert await ingestion.submit([event(registered("c1"))]) == [Accepted(1)]
    await asyncio.to_thread(store.backing.writing.wait, TIMEOUT_SECONDS)
    taken_in = asyncio.ensure_future(ingestion.submit([event(registered("c2"))]))
    # when the system is told to stop before it has come to it
    closed = asyncio.ensure_future(ingestion.close())
    while not ingestion._closing:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0)
    assert not taken_in.done()
    store.backing.let.set()
    # then it is answered all the same
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await taken_in == [Accepted(2)]
        await closed

"""How many turns what waits at a node takes."""

import asyncio
from collections.abc import Sequence
from contextlib import closing

from lockstream.core.entities.events import Event
from lockstream.core.keys import Keys
from lockstream.core.outcomes import Accepted
from lockstream.infrastructure.postgres.store import PostgresStore
from lockstream.infrastructure.postgres.turn import Turn
from lockstream.services.ingestion import REMOTE_BATCH, REMOTE_EVENT_BYTES, Ingestion
from lockstream.tests.given import event, registered
from lockstream.tests.postgres import unwatched


class Counted(Turn):
    """One that notes how many events came in it."""

    turns: list[int]

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        self.turns.append(len(events))
        super().prefetch(events, wanted)


class Counting(PostgresStore):
    def __init__(self, url: str) -> None:
        super().__init__(url, unwatched)
        self.turns: list[int] = []

    def unit_of_work(self) -> Turn:
        turn = Counted(self._session, self.log)
        turn.turns = self.turns
        return turn


async def submit(store: PostgresStore, submissions: list[list[Event]]) -> list[object]:
    ingestion = Ingestion(store, queue_limit=100_000, batch_limit=1)
    told = [ingestion.submit(events) for events in submissions]
    outcomes: list[object] = [outcome for one in told for outcome in await one]
    await ingestion.close()
    return outcomes


def test_what_waits_at_a_node_shares_a_turn(url: str) -> None:
    with closing(Counting(url)) as store:
        outcomes = asyncio.run(submit(store, [[event(registered(f"c{number}"))] for number in range(300)]))
        assert outcomes == [Accepted(position) for position in range(1, 301)]
        assert store.turns == [300]


def test_large_events_take_more_turns(url: str) -> None:
    filling = "x" * (REMOTE_EVENT_BYTES * REMOTE_BATCH // 10)
    with closing(Counting(url)) as store:
        large = [[event(registered(f"c{number}", filling=filling))] for number in range(12)]
        outcomes = asyncio.run(submit(store, large))
        assert outcomes == [Accepted(position) for position in range(1, 13)]
        assert store.turns == [9, 3]

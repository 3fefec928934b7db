"""Many lockers that report at the same time, over sockets of their own, and remember what was acknowledged.

Half of them report each event alone, the others in batches: lists, and lines.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from lockstream.tests.support.builders import (
    Body,
    as_array,
    as_lines,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

CLIENTS = 64

COMPARTMENTS = 4


class Way(NamedTuple):
    """How a client reports."""

    path: str
    media_type: str
    write: Callable[..., bytes]
    most: int
    """Events at once."""


ALONE = Way("/events", "application/json", lambda event: json.dumps(event).encode(), 1)
LIST = Way("/events/batch", "application/json", as_array, 250)
LINES = Way("/events/batch", "application/x-ndjson", as_lines, 250)
WAYS = ALONE, LIST, ALONE, LINES


@dataclass
class Heard:
    """What clients were told."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """The position in the log by event id: 202 or 200."""

    refused: set[str] = field(default_factory=set)
    """Ids of events that were refused: 409 or 422."""

    torn: list[bytes] = field(default_factory=list)
    """Answers that ended in their middle."""

    answers: int = 0
    """Those that acknowledge something."""

    batches: int = 0
    """Answers to batches."""

    resumed: int = 0
    """Of them, those that say that a part of the batch was known and the rest was not."""


def lives(locker: str, chance: random.Random) -> Iterator[Body]:
    """What a locker reports, for ever: each event can be accepted after those before it, but for every tenth or so.

    That one is refused whenever it comes: a batch that is sent again begins where others have ended since.
    """
    names = [f"c{number}" for number in range(COMPARTMENTS)]
    for name in names:
        yield registered(name, locker=locker)
    for number in range(1_000_000_000):
        name, reservation = chance.choice(names), f"{locker}-{number}"
        yield reserved(reservation, name, locker=locker)
        if chance.random() < 0.3:
            yield reserved(reservation, name, locker=locker)
        if chance.random() < 0.2:
            fault = fault_reported(chance.randint(0, 5), name, locker=locker)
            yield fault
            yield fault_cleared(fault, name, locker=locker)
        if chance.random() < 0.2:
            yield expired(reservation, locker=locker)
        else:
            yield deposited(reservation, locker=locker)
            yield picked_up(reservation, locker=locker)


class Clients:
    """They post until `stop`. When the server goes away, each sends what it sent last again to the next one."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.heard = Heard()
        self._server = server
        self._chance = chance
        self._up = asyncio.Event()
        self._up.set()
        self._stopped = False

    async def run(self, generation: str = "locker") -> None:
        """Post until `stop`; lockers are named after `generation`."""
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                way, chance = WAYS[number % len(WAYS)], random.Random(self._chance.random())
                group.create_task(self._report(way, f"{generation}-{number}", chance))

    async def hear(self, enough: Callable[[Heard], bool]) -> None:
        """Wait until they have heard `enough`: how much that is after some seconds is the machine's affair."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not enough(self.heard):  # noqa: ASYNC110  # many tell
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Have each client end after the answer it waits for, or where there is nobody to answer."""
        self._stopped = True
        self._up.set()

    async def restart(self, last: bool = False) -> None:
        """Kill the server in the middle of all, and start another.

        The clients turn to it, or end if it is the `last` time.
        """
        self._up.clear()
        self._server.kill()
        self._stopped = last
        await asyncio.to_thread(self._server.start)
        self._up.set()

    async def _report(self, way: Way, locker: str, chance: random.Random) -> None:
        unheard: list[Body] = []
        reports = lives(locker, chance)
        while not self._stopped:
            await self._up.wait()
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._converse(way, reports, unheard, chance)
            await asyncio.sleep(0.01)

    async def _converse(self, way: Way, reports: Iterator[Body], unheard: list[Body], chance: random.Random) -> None:
        """Use one connection until it breaks; what was not answered is left in `unheard`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            while not self._stopped:
                if not unheard:
                    unheard += islice(reports, chance.randint(1, way.most))
                await self._post(way, unheard, reader, writer)
                if chance.random() < 0.1 and not self._stopped:
                    await self._post(way, unheard, reader, writer)
                unheard.clear()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _post(
        self, way: Way, events: list[Body], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = way.write(*events)
        head = f"POST {way.path} HTTP/1.1\r\nhost: test\r\ncontent-type: {way.media_type}\r\n"
        writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body))
        status, answer = await self._answer(reader)
        if way is ALONE:
            self._remember(events[0]["event_id"], status, answer)
            self.heard.answers += "position" in answer
        else:
            assert status == 200, f"{status}: {answer}"
            self._remember_batch(events, answer)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.heard.torn.append(error.partial)
            raise
        return int(head.split(b" ", 2)[1]), json.loads(answer)

    def _remember_batch(self, events: list[Body], outcomes: list[Body]) -> None:
        for event, outcome in zip(events, outcomes, strict=True):
            assert outcome["event_id"] == event["event_id"]
            self._remember(event["event_id"], outcome["status"], outcome)
        self.heard.answers += any("position" in outcome for outcome in outcomes)
        self.heard.batches += 1
        self.heard.resumed += {200, 202} <= {outcome["status"] for outcome in outcomes}

    def _remember(self, event_id: str, status: int, answer: Body) -> None:
        match status:
            case 200 | 202:
                known = self.heard.acknowledged.setdefault(event_id, answer["position"])
                assert known == answer["position"], "an event has one position for ever"
                assert event_id not in self.heard.refused
            case 409 | 422:
                assert event_id not in self.heard.acknowledged
                self.heard.refused.add(event_id)
            case _:
                raise AssertionError(f"{status}: {answer}")

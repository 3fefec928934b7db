"""Many lockers that report at the same time, over sockets of their own, and remember what was acknowledged."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from lockstream.tests.crash.server import Server
from lockstream.tests.given import (
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

CLIENTS = 64
COMPARTMENTS = 4


@dataclass
class Heard:
    """What clients were told."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """The position in the log by event id: 202 or 200."""

    refused: set[str] = field(default_factory=set)
    """Ids of events that were refused: 409 or 422."""

    torn: list[bytes] = field(default_factory=list)
    """Answers that ended in their middle."""


def lives(locker: str, chance: random.Random) -> Iterator[Body]:
    """What a locker reports, for ever: each event can be accepted after those before it, but for every tenth or so."""
    names = [f"c{number}" for number in range(COMPARTMENTS)]
    for name in names:
        yield registered(name, locker=locker)
    for number in range(1_000_000_000):
        name, reservation = chance.choice(names), f"{locker}-{number}"
        yield reserved(reservation, name, locker=locker)
        if chance.random() < 0.3:
            yield reserved(f"{reservation}-too-many", name, locker=locker)
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
    """They post until `stop`. When the server goes away, each sends its last event again to the next one."""

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
                group.create_task(self._report(f"{generation}-{number}", random.Random(self._chance.random())))

    def stop(self) -> None:
        """Have each client end after the answer it waits for, or where there is nobody to answer."""
        self._stopped = True
        self._up.set()

    async def restart(self, last: bool = False) -> float:
        """Kill the server in the middle of all, and start another; returns the seconds that the start took.

        The clients turn to it, or end if it is the `last` time.
        """
        self._up.clear()
        self._server.kill()
        self._stopped = last
        clock = asyncio.get_running_loop().time
        began = clock()
        await asyncio.to_thread(self._server.start)
        took = clock() - began
        self._up.set()
        return took

    async def _report(self, locker: str, chance: random.Random) -> None:
        unheard: list[Body] = []
        reports = lives(locker, chance)
        while not self._stopped:
            await self._up.wait()
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._converse(reports, unheard, chance)
            await asyncio.sleep(0.01)

    async def _converse(self, reports: Iterator[Body], unheard: list[Body], chance: random.Random) -> None:
        """Use one connection until it breaks; the event that was not answered is left in `unheard`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            while not self._stopped:
                if not unheard:
                    unheard.append(next(reports))
                await self._post(unheard[0], reader, writer)
                if chance.random() < 0.1 and not self._stopped:
                    await self._post(unheard[0], reader, writer)
                unheard.clear()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _post(self, event: Body, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(event).encode()
        writer.write(b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.heard.torn.append(error.partial)
            raise
        self._remember(event["event_id"], int(head.split(b" ", 2)[1]), json.loads(answer))

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

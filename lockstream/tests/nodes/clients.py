"""Clients that compete for a few lockers, through any number of nodes."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lockstream.tests.support.builders import (
    Body,
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
COMPARTMENTS, RESERVATIONS = ("a", "b", "c"), 400
REPEATED = 0.1
"""Share of the requests that send an event of any client again, to any node."""


@dataclass
class Responses:
    """Counts of responses: acknowledged events with their positions, and requests that were not acknowledged."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Position by event id."""

    unavailable: int = 0
    """Number of requests that got 503 or no response."""


class Clients:
    """Clients that post until `stop`, each request to any of the nodes. An event without a response is sent again.

    Each instance has two lockers and reservations of its own, so that several may use one database one after another.
    """

    def __init__(self, nodes: list[Server]) -> None:
        self.responses = Responses()
        name = uuid4().hex[:8]
        self.lockers = f"north-{name}", f"south-{name}"
        self._reservations = [f"{name}-{number}" for number in range(RESERVATIONS)]
        self._nodes = nodes
        self._random = random.Random()
        self._sent = [registered(one, locker=locker) for locker in self.lockers for one in COMPARTMENTS]
        self._faults = [fault_reported(3, COMPARTMENTS[0], locker=self.lockers[0])]
        self._is_stopped = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._post_until_stopped())

    def stop(self) -> None:
        self._is_stopped = True

    async def wait_for(self, more: int) -> None:
        """Wait until `more` further events have been acknowledged."""
        wanted, deadline = len(self.responses.acknowledged) + more, time.monotonic() + TIMEOUT_SECONDS
        while len(self.responses.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"only {len(self.responses.acknowledged)} of {wanted} acknowledged"
            await asyncio.sleep(0.01)

    async def _post_until_stopped(self) -> None:
        unanswered: Body | None = None
        while not self._is_stopped:
            node = self._random.choice(self._nodes)
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                try:
                    for _ in range(self._random.randint(1, 20)):
                        unanswered = unanswered or self._next_event()
                        await asyncio.wait_for(self._post(unanswered, reader, writer), TIMEOUT_SECONDS)
                        unanswered = None
                finally:
                    writer.close()
            if unanswered:
                self.responses.unavailable += 1
                await asyncio.sleep(0.05)

    async def _post(self, event: Body, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = json.dumps(event).encode()
        head = b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(content), content))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        self._note(event["event_id"], int(head.split(b" ", 2)[1]), json.loads(body))

    def _note(self, event_id: str, status: int, body: Any) -> None:
        if status == 503:
            raise TimeoutError
        assert status in (200, 202, 409, 422), f"{status}: {body}"
        if status in (200, 202):
            position = self.responses.acknowledged.setdefault(event_id, body["position"])
            assert position == body["position"], "an event has got two positions"

    def _next_event(self) -> Body:
        choose = self._random.choice
        if self._random.random() < REPEATED:
            return choose(self._sent)
        locker, compartment, reservation = choose(self.lockers), choose(COMPARTMENTS), choose(self._reservations)
        event = choose(
            [
                registered(compartment, locker=locker),
                reserved(reservation, compartment, locker=locker),
                reserved(reservation, compartment, locker=locker),
                deposited(reservation, locker=locker),
                picked_up(reservation, locker=locker),
                expired(reservation, locker=locker),
                fault_reported(self._random.randint(0, 4), compartment, locker=locker),
                fault_cleared(choose(self._faults), compartment, locker=locker),
            ]
        )
        if event["type"] == "FaultReported":
            self._faults.append(event)
        self._sent.append(event)
        return event


def post_while(nodes: list[Server], disturb: Callable[[Clients], Awaitable[object]]) -> Clients:
    """Let clients post to the nodes until `disturb` has returned, and return these clients."""
    clients = Clients(nodes)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(clients.run())
            await disturb(clients)
            clients.stop()

    asyncio.run(run())
    return clients

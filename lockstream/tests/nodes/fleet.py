"""Nodes on one database, clients that fight over a few lockers there, and a reader who follows the log."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg

from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.support.builders import (
    Body,
    body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.databases import connect
from lockstream.tests.support.processes import SERVE, TIMEOUT_SECONDS, Server

NODES, CLIENTS = 4, 64
LOCKERS, COMPARTMENTS, RESERVATIONS = ("north", "south"), ("a", "b", "c"), 400
AGAIN = 0.1
"""Of the requests, the share that sends again what somebody else may have sent, to any node."""


@dataclass
class Heard:
    """What clients were told."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Position by event id."""

    unavailable: int = 0
    """How often the answer was 503, or none."""


class Clients:
    """They post until `stop`, each to whatever node it likes; what was not answered is sent again."""

    def __init__(self, nodes: list[Server], chance: random.Random) -> None:
        self.heard = Heard()
        self._nodes, self._chance = nodes, chance
        self._sent: list[Body] = [registered(place, locker=locker) for locker in LOCKERS for place in COMPARTMENTS]
        self._faults: list[Body] = [fault_reported(3, COMPARTMENTS[0], locker=LOCKERS[0])]
        self._stopped = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._report())

    def stop(self) -> None:
        self._stopped = True

    async def hear(self, more: int) -> None:
        """Wait until so many events more have been acknowledged."""
        enough, deadline = len(self.heard.acknowledged) + more, time.monotonic() + TIMEOUT_SECONDS
        while len(self.heard.acknowledged) < enough:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    async def _report(self) -> None:
        waiting: Body | None = None
        while not self._stopped:
            node = self._chance.choice(self._nodes)
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                try:
                    for _ in range(self._chance.randint(1, 20)):
                        waiting = waiting or self._draw()
                        await asyncio.wait_for(self._post(waiting, reader, writer), TIMEOUT_SECONDS)
                        waiting = None
                finally:
                    writer.close()
            if waiting:
                self.heard.unavailable += 1
                await asyncio.sleep(0.05)

    async def _post(self, event: Body, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = json.dumps(event).encode()
        head = b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(content), content))
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        self._remember(event["event_id"], int(head.split(b" ", 2)[1]), json.loads(answer))

    def _remember(self, event_id: str, status: int, answer: Any) -> None:
        if status == 503:
            raise TimeoutError
        assert status in (200, 202, 409, 422), f"{status}: {answer}"
        if status in (200, 202):
            known = self.heard.acknowledged.setdefault(event_id, answer["position"])
            assert known == answer["position"], "an event has one position for ever"

    def _draw(self) -> Body:
        chance = self._chance
        if chance.random() < AGAIN:
            return chance.choice(self._sent)
        locker, place = chance.choice(LOCKERS), chance.choice(COMPARTMENTS)
        reservation = f"r{chance.randrange(RESERVATIONS)}"
        drawn = chance.choice(
            [
                registered(place, locker=locker),
                reserved(reservation, place, locker=locker),
                reserved(reservation, place, locker=locker),
                deposited(reservation, locker=locker),
                picked_up(reservation, locker=locker),
                expired(reservation, locker=locker),
                fault_reported(chance.randint(0, 4), place, locker=locker),
                fault_cleared(chance.choice(self._faults), place, locker=locker),
            ]
        )
        if drawn["type"] == "FaultReported":
            self._faults.append(drawn)
        self._sent.append(drawn)
        return drawn


class Reader:
    """Follows the log as a feed does; to be used in a `with`. It must see each position once, and in order."""

    def __init__(self, url: str) -> None:
        self.seen: list[str] = []
        self._url = url
        self._stop = Event()
        self._thread = Thread(target=self._follow)
        self._wrong = ""

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()
        assert not self._wrong

    def _follow(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(0.01)
            with suppress(psycopg.Error), closing(connect(self._url)) as connection:
                while not stopping and not self._wrong:
                    self._look(connection)
                    stopping = self._stop.wait(0.01)
                self._look(connection)

    def _look(self, connection: psycopg.Connection) -> None:
        found = connection.execute(
            "SELECT position, event_id::text FROM events WHERE position > %s ORDER BY position", [len(self.seen)]
        )
        for position, event_id in found.fetchall():
            if position != len(self.seen) + 1:
                self._wrong = f"position {position} came after {len(self.seen)}"
                return
            self.seen.append(event_id)


@contextmanager
def nodes(
    count: int, folder: Path, url: str, program: Sequence[str] = SERVE, **settings: str
) -> Iterator[list[Server]]:
    """That many servers on one database."""
    with ExitStack() as running:
        servers = []
        for number in range(count):
            place = folder / f"node-{number}"
            place.mkdir()
            server = Server(place / "no-log", program=program, DATABASE_URL=url, **settings)
            servers.append(running.enter_context(server))
            server.start()
        yield servers


def history(url: str) -> list[Body]:
    """Each event of the log, in order; its positions have no gap."""
    with closing(connect(url)) as connection:
        found = connection.execute(
            "SELECT position, event_id::text, locker_id, type, occurred_at, payload FROM events ORDER BY position"
        ).fetchall()
    assert [row[0] for row in found] == list(range(1, len(found) + 1))
    return [
        body(kind, locker, event_id, **payload) | {"occurred_at": occurred_at}
        for _, event_id, locker, kind, occurred_at, payload in found
    ]


def assert_legal(events: list[Body], heard: Heard) -> Model:
    """Hold a history to the independent model, and to what clients were told."""
    model = Model()
    for position, event in enumerate(events, 1):
        assert model.expect(event) == ("accepted", position), event
    lost = {
        event_id: position
        for event_id, position in heard.acknowledged.items()
        if model.positions.get(UUID(event_id)) != position
    }
    assert not lost
    return model

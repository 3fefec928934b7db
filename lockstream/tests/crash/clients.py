"""Many lockers that report at the same time, each over its own connection, and note which events were acknowledged.

Half of them post one event at a time. The others post batches, as JSON arrays and as NDJSON.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator
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

MAX_EVENTS = 250
"""Most events in a batch."""


class Format(NamedTuple):
    """A form in which a client posts events."""

    name: str
    path: str
    media_type: str
    encode: Callable[..., bytes]


SINGLE = Format("single", "/events", "application/json", lambda event: json.dumps(event).encode())
ARRAY = Format("array", "/events/batch", "application/json", as_array)
LINES = Format("lines", "/events/batch", "application/x-ndjson", as_lines)
FORMATS = SINGLE, ARRAY, SINGLE, LINES


@dataclass
class Received:
    """The contents of all responses that the clients have received."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Positions in the log by event id, from outcomes 202 and 200."""

    last_position: int = 0
    """The highest of these positions."""

    refused: set[str] = field(default_factory=set)
    """Ids of events with outcome 409 or 422."""

    torn: list[bytes] = field(default_factory=list)
    """Responses of which only the beginning arrived."""

    acknowledgements: int = 0
    """Responses that acknowledge at least one event."""

    batches: int = 0
    """Responses to batches."""

    def lost(self, records: Iterable[Body]) -> list[str]:
        """Return the acknowledged events that are not at their positions among the records of a log."""
        positions = {record["event_id"]: record["position"] for record in records}
        return [event_id for event_id, position in self.acknowledged.items() if positions.get(event_id) != position]


def locker_events(locker: str, chance: random.Random) -> Iterator[Body]:
    """Yield the events of a locker without end, each acceptable after those before it, except some reservations.

    Such a reservation names an occupied compartment, so it is refused whenever it arrives. A batch that is sent again
    therefore contains refusals, too.
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
    """Clients that post until `stop`. After the server has gone, each sends its last request again to the next one."""

    def __init__(
        self, server: Server, chance: random.Random, *, count: int = CLIENTS, max_events: int = MAX_EVENTS
    ) -> None:
        """`count` clients, each with a locker of its own, post up to `max_events` in a batch."""
        self.received = Received()
        self.server = server
        self.server_is_up = asyncio.Event()
        """Not set while the server is killed and started again. Another program may have its port meanwhile."""

        self.is_stopped = False
        self._chance = chance
        self._count, self._max_events = count, max_events
        self.server_is_up.set()

    async def run(self) -> None:
        """Post until `stop`."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                form, chance = FORMATS[number % len(FORMATS)], random.Random(self._chance.random())
                group.create_task(self._report(form, f"locker-{number}", chance))

    async def wait_until(self, is_enough: Callable[[Received], bool]) -> None:
        """Wait until the clients have received enough. The time that this takes depends on the machine."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not is_enough(self.received):  # noqa: ASYNC110  # many tasks change it
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Let each client end after the response that it waits for, or at once if no server is up."""
        self.is_stopped = True
        self.server_is_up.set()

    async def restart(self, is_last: bool = False) -> None:
        """Kill the server while requests are open, and start it again.

        The clients then go on with the new process, or end if this restart `is_last`.
        """
        self.server_is_up.clear()
        self.server.kill()
        self.is_stopped = is_last
        await asyncio.to_thread(self.server.start)
        self.server_is_up.set()

    def _events(self, locker: str, chance: random.Random) -> Iterator[Body]:
        return locker_events(locker, chance)

    async def _report(self, form: Format, locker: str, chance: random.Random) -> None:
        unanswered: list[Body] = []
        events = self._events(locker, chance)
        while not self.is_stopped:
            await self.server_is_up.wait()
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._use_connection(form, events, unanswered, chance)
            await asyncio.sleep(0.01)

    async def _use_connection(
        self, form: Format, events: Iterator[Body], unanswered: list[Body], chance: random.Random
    ) -> None:
        """Post over one connection until it breaks; leave the events without a response in `unanswered`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            while not self.is_stopped:
                if not unanswered:
                    unanswered += islice(events, chance.randint(1, 1 if form is SINGLE else self._max_events))
                await self._post(form, unanswered, reader, writer)
                if chance.random() < 0.1 and not self.is_stopped:
                    await self._post(form, unanswered, reader, writer)
                unanswered.clear()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _post(
        self, form: Format, events: list[Body], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = form.encode(*events)
        head = f"POST {form.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {form.media_type}\r\n"
        writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body))
        status, response = await self._response(reader)
        if form is SINGLE:
            self._note(events[0]["event_id"], status, response)
            self.received.acknowledgements += "position" in response
        else:
            assert status == 200, f"{status}: {response}"
            self._note_batch(events, response)

    async def _response(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        """Return status and content of the next response."""
        head = b""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        except asyncio.IncompleteReadError as error:
            if head or error.partial:
                self.received.torn.append(head + error.partial)
            raise
        return int(head.split(b" ", 2)[1]), json.loads(body)

    def _note_batch(self, events: list[Body], outcomes: list[Body]) -> None:
        for event, outcome in zip(events, outcomes, strict=True):
            assert outcome["event_id"] == event["event_id"]
            self._note(event["event_id"], outcome["status"], outcome)
        self.received.acknowledgements += any("position" in outcome for outcome in outcomes)
        self.received.batches += 1

    def _note(self, event_id: str, status: int, outcome: Body) -> None:
        match status:
            case 200 | 202:
                known = self.received.acknowledged.setdefault(event_id, outcome["position"])
                assert known == outcome["position"], "an event has one position for ever"
                assert event_id not in self.received.refused
                self.received.last_position = max(self.received.last_position, known)
            case 409 | 422:
                assert event_id not in self.received.acknowledged
                self.received.refused.add(event_id)
            case _:
                raise AssertionError(f"{status}: {outcome}")

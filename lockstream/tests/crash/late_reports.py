"""Lockers that report in a wrong order, an operator who resubmits and discards refused events, and feed readers."""

import asyncio
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.crash.clients import COMPARTMENTS, Clients, Format
from lockstream.tests.crash.readers import Follower, StreamFollower
from lockstream.tests.support.builders import (
    Body,
    deposited,
    event,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

FLUSH_SECONDS = 2.0
"""Time that the flush of a line may take after the line can be read in the file."""

LOOK_SECONDS = 0.3
"""Time between two looks at the file of the quarantine."""

LATE_LOAD = {"count": 12, "max_events": 10}
"""Clients, and the most events in a batch. More would fill the buffer of the quarantine, which then drops entries."""

CLIENT_PAUSE, OPERATOR_PAUSE = 0.03, 0.4
"""The longest pauses between two requests in seconds."""

EVENT_MEMBERS = "event_id", "occurred_at", "locker_id", "type", "payload"

ENTRY_ID = re.compile(rb'"entry":\{"event_id":"([0-9a-f-]{36})"')

HOPELESS = "hopeless"
"""Locker id of events that are refused in every order."""


def late_events(locker: str, chance: random.Random) -> Iterator[Body]:
    """Yield the events of a locker without end, each life in a random order.

    All can be accepted in the end, except some about a locker that has no compartments.
    """
    names = [f"c{number}" for number in range(COMPARTMENTS)]
    yield from (registered(name, locker=locker) for name in chance.sample(names, COMPARTMENTS))
    for number in range(1_000_000_000):
        name, reservation = chance.choice(names), f"{locker}-{number}"
        life = [reserved(reservation, name, locker=locker)]
        life += [deposited(reservation, locker=locker), picked_up(reservation, locker=locker)]
        if chance.random() < 0.2:
            fault = fault_reported(chance.randint(0, 5), name, locker=locker)
            life += [fault, fault_cleared(fault, name, locker=locker)]
        if chance.random() < 0.2:
            life.append(deposited(str(uuid4()), locker=HOPELESS))
        yield from chance.sample(life, len(life)) if chance.random() < 0.5 else life


@dataclass
class Kept:
    """The parts of the quarantine that must be there after a crash."""

    refused: set[str] = field(default_factory=set)
    """Ids of events whose refusal was answered, and that were written, unless they were accepted."""

    discarded: set[str] = field(default_factory=set)
    """Ids of events whose discarding was answered."""


class LateClients(Clients):
    """Clients that post events in a wrong order, an operator, and readers of the feed in both of its forms."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        super().__init__(server, chance, **LATE_LOAD)
        self.is_resubmitting = True
        """Whether the operator is at work. A request of the operator has the quarantine written at once."""

        self.resubmitted = 0
        """Events that were accepted by a resubmission."""

        self.followers = [Follower(""), StreamFollower("")]
        self._accepted: set[str] = set()
        """Ids of events with outcome 202. The one 202 of an event may arrive after a 200 to the same event."""

        self._kept = Kept()
        self._refused: set[str] = set()
        """Ids of events of which an arrival was refused since the last crash."""

        self._written_at: dict[str, float] = {}
        """Time at which the file of the quarantine was seen to have an event, by its id."""

        self._chance = chance

    def kept(self) -> Kept:
        """Return what must be in the quarantine after a crash now."""
        before = time.monotonic() - FLUSH_SECONDS
        refused = {event_id for event_id in self._refused if self._written_at.get(event_id, before) < before}
        return Kept(self._kept.refused | refused, set(self._kept.discarded))

    async def wait_until_written(self) -> None:
        """Wait until all that was refused before is on disk. Nobody reads the quarantine meanwhile."""
        refused = set(self._refused)
        await self.wait_until(lambda received: refused <= self.kept().refused | received.acknowledged.keys())

    async def restart(self, is_last: bool = False) -> None:
        self._kept = self.kept()
        await super().restart(is_last)
        # This includes refusals that the killed process had answered and that were read after its end. It may have lost
        # their entries, which it writes after a second.
        self._refused.clear()
        self._written_at.clear()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._operate())
            group.create_task(self._look_at_file())
            for follower in self.followers:
                group.create_task(self._follow(follower))

    def _events(self, locker: str, chance: random.Random) -> Iterator[Body]:
        return late_events(locker, chance)

    async def _post(
        self, form: Format, events: list[Body], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(self._chance.uniform(0, CLIENT_PAUSE))
        await super()._post(form, events, reader, writer)

    def _note(self, event_id: str, status: int, outcome: Body) -> None:
        match status:
            case 202:
                assert event_id not in self._accepted, "an event was accepted twice"
                self._accepted.add(event_id)
                self._note_position(event_id, outcome)
            case 200:
                self._note_position(event_id, outcome)
            case 409 | 422:
                self.received.refused.add(event_id)
                self._refused.add(event_id)
            case _:
                raise AssertionError(f"{status}: {outcome}")

    def _note_position(self, event_id: str, outcome: Body) -> None:
        known = self.received.acknowledged.setdefault(event_id, outcome["position"])
        assert known == outcome["position"], "an event has one position for ever"
        self.received.last_position = max(self.received.last_position, known)

    @property
    def shown(self) -> int:
        """The highest position that a reader of the feed has received."""
        return max(follower.through for follower in self.followers)

    async def _look_at_file(self) -> None:
        path = quarantine_path(self.server.log)
        while not self.is_stopped:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(FileNotFoundError):
                found = {event_id.decode() for event_id in ENTRY_ID.findall(await asyncio.to_thread(path.read_bytes))}
                now = time.monotonic()
                self._written_at |= dict.fromkeys((found & self._refused) - self._written_at.keys(), now)

    async def _follow(self, follower: Follower) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            while not self.is_stopped:
                await self.server_is_up.wait()
                with suppress(httpx.TransportError):
                    await follower.read_page(f"http://127.0.0.1:{self.server.port}", http)

    async def _operate(self) -> None:
        """Resubmit all refused events or one of them, and discard another, until the clients stop."""
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            while not self.is_stopped:
                await asyncio.sleep(self._chance.uniform(0, OPERATOR_PAUSE))
                await self.server_is_up.wait()
                if self.is_resubmitting and not self.is_stopped:
                    with suppress(httpx.TransportError):
                        await self._operate_once(http, f"http://127.0.0.1:{self.server.port}/quarantine")

    async def _operate_once(self, http: httpx.AsyncClient, url: str) -> None:
        accepted = set(self.received.acknowledged)
        entries = (await http.get(f"{url}?limit=1000")).json()["items"]
        assert not accepted & {entry["event_id"] for entry in entries}, "an accepted event has an entry"
        hopeless = [entry["event_id"] for entry in entries if entry["locker_id"] == HOPELESS]
        others = [entry["event_id"] for entry in entries if entry["locker_id"] != HOPELESS]
        if others:
            response = await http.post(f"{url}/{self._chance.choice(others)}/resubmit")
            if response.status_code in (200, 202):
                self._note_resubmitted({"status": response.status_code, **response.json()})
        response = await http.post(f"{url}/resubmit")
        assert response.status_code == 200, response.text
        for item in response.json()["items"]:
            self._note_resubmitted(item)
        if hopeless:
            response = await http.post(f"{url}/{hopeless[0]}/discard", json={"reason": "It never happened."})
            assert response.status_code == 200, response.text
            self._kept.discarded.add(hopeless[0])

    def _note_resubmitted(self, item: Body) -> None:
        """Note the outcome of a resubmission. A refusal says nothing about the time of an arrival."""
        if item["status"] in (200, 202):
            self._note(item["event_id"], item["status"], item)
            self.resubmitted += item["status"] == 202


def quarantine_problems(server: Server, kept: Kept) -> list[str]:
    """Start a server on the files of a crash, twice; return a sentence about each fault of its quarantine and log."""
    with server.start():
        entries = all_entries(server)
        problems = [*_problems(entries, audited(server.log), kept)]
    with server.start():
        if (again := all_entries(server)) != entries:
            problems.append(f"a second start has {len(again)} entries instead of {len(entries)}, or others")
    return problems


def all_entries(server: Server) -> list[Body]:
    """Return all entries that a server shows, page by page."""
    found: list[Body] = []
    for status in ("open", "discarded"):
        url: str | None = f"/quarantine?status={status}&limit=1000"
        while url:
            code, body = server.get(url)
            assert code == 200, body
            page = json.loads(body)
            assert page["totals"]["dropped"] == 0, "the load was too high for this test"
            found += page["items"]
            url = page["next"] and f"/quarantine?status={status}&limit=1000&after={page['next']}"
    return found


def _problems(entries: Sequence[Body], records: Sequence[Body], kept: Kept) -> Iterator[str]:
    accepted = {record["event_id"] for record in records}
    found = {entry["event_id"] for entry in entries}
    if len(found) < len(entries):
        yield "the quarantine has two entries of one event"
    if missing := kept.refused - accepted - found:
        yield f"the quarantine lacks {len(missing)} of {len(kept.refused)} events, such as {min(missing)}"
    if known := found & accepted:
        yield f"the quarantine has entries of {len(known)} accepted events"
    if undone := kept.discarded - {entry["event_id"] for entry in entries if entry["status"] == "discarded"}:
        yield f"{len(undone)} events are no longer discarded"
    if wrong := [entry for entry in entries if entry["body"]["event_id"] != entry["event_id"]]:
        yield f"{len(wrong)} entries show another event"
    if any(record["locker_id"] == HOPELESS for record in records):
        yield "the log has events that can never be accepted"
    store = MemoryStore()
    bodies = [{name: record[name] for name in EVENT_MEMBERS} for record in records]
    if not all(isinstance(one, Accepted) for one in ingest(list(map(event, bodies)), store.unit_of_work())):
        yield "the log has an event that the rules refuse after those before it"

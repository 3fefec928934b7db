"""Readers that go through all lists and states, page by page, and follow the feed in both forms, while clients post.

A reader goes on with the page that it has not received when its server was killed: tokens of pages do not expire.
"""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, cycle, zip_longest

import httpx

from lockstream.core.entities.feed import EMPTY_LOG_ID, Partition
from lockstream.tests.crash.clients import Clients
from lockstream.tests.support.builders import Body
from lockstream.tests.support.modelled_reads import CHANGED, LISTS, STATES, UNKNOWN, Names, Read
from lockstream.tests.support.processes import TIMEOUT_SECONDS
from lockstream.tests.support.read_audit import Reading, Walk, content_problems

LIST_READERS, STATE_READERS = 8, 4
"""Readers of lists and of states. A list takes ten times as long, so readers of both would rarely read a state."""

LIGHT_LOAD = {"count": 24, "max_events": 10}
"""Clients beside readers. A list waits for a checkpoint of all earlier events, so readers get more under less load."""

LIMITS = 7, 100, 1_000
"""Maximum numbers of items on a page."""

MAX_PAGES = 5
"""Pages after which a reader leaves a list. A list that is sorted by changes may grow as fast as it is read."""

SAMPLE = 15
"""Responses to each read that are compared with the log. Each takes some 5 ms after 15,000 events."""


class Follower:
    """A reader of the feed. It goes on behind its last page after each restart of the server."""

    def __init__(self, query: str, wants: Callable[[str], bool] = lambda _: True) -> None:
        """`query` is the part of the URL that filters; `wants` returns whether the events of a locker are wanted."""
        self.through = 0
        self._query, self._wants = query, wants
        self._items: list[Body] = []
        self._log = EMPTY_LOG_ID

    async def read_page(self, address: str, http: httpx.AsyncClient) -> None:
        url = f"{address}/events?after={self.through}&limit=500&wait=1{self._query}"
        response = await http.get(url, headers={"Lockstream-Log": self._log})
        if response.status_code != 503:  # the server has not caught up
            assert response.status_code == 200, f"{url}: {response.status_code} {response.text}"
            page = response.json()
            self._items += page["items"]
            self.through, self._log = page["through"], page["log"]

    def problems(self, records: Sequence[Body]) -> list[str]:
        """Return a sentence if the events that were read are not those of the log, each once and in order."""
        if self.through > len(records):
            return [f"a reader of the feed was shown position {self.through}, and the log ends at {len(records)}"]
        wanted = [record for record in records[: self.through] if self._wants(record["locker_id"])]
        if self._items == wanted:
            return []
        read, expected = next(pair for pair in zip_longest(self._items, wanted) if pair[0] != pair[1])
        return [f"a reader of the feed{self._query} was shown {read}, not {expected}"]


class StreamFollower(Follower):
    """A reader of the feed as server-sent events, who reads until the connection breaks."""

    async def read_page(self, address: str, http: httpx.AsyncClient) -> None:
        url = f"{address}/events/stream?after={self.through}{self._query}"
        async with http.stream("GET", url, headers={"lockstream-log": self._log}) as response:
            if response.status_code == 503:  # the server has not caught up
                return
            assert response.status_code == 200, f"{url}: {response.status_code}"
            self._log = response.headers["lockstream-log"]
            block: dict[str, str] = {}
            async for line in response.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                    continue
                if "data" in block:
                    self._items.append(json.loads(block["data"]))
                self.through = int(block.get("id", self.through))
                block.clear()


class Readers:
    """Readers that go on until the clients beside them stop."""

    def __init__(self, clients: Clients, chance: random.Random) -> None:
        self._shown = 0
        """The highest position that a list or a state has shown."""

        self._clients = clients
        self._chance = chance
        self._names = UNKNOWN
        """Names of a reservation in the last list of reservations."""

        self._count = Counter[str]()
        self._samples = defaultdict[str, list[Reading]](list)
        """A random sample of the responses to each read, by its path."""

        self._outdated: list[str] = []
        self._is_ahead = asyncio.Event()
        self._followers = [
            Follower(""),
            *(Follower(f"&partition={part}/2", Partition(part, 2).contains) for part in range(2)),
            StreamFollower(""),
            StreamFollower("&partition=1/2", Partition(1, 2).contains),
        ]

    @property
    def shown(self) -> int:
        """The highest position that any response has shown."""
        return max(self._shown, *(follower.through for follower in self._followers))

    @property
    def have_read_everything(self) -> bool:
        """Whether each read was answered at least once, and each reader of the feed has read on."""
        has_read_feed = all(follower.through for follower in self._followers)
        return has_read_feed and len(self._count) == len(LISTS) + len(STATES)

    async def run(self) -> None:
        """Read until the clients stop."""
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http, asyncio.TaskGroup() as group:
            for reads, count in ((LISTS, LIST_READERS), (STATES, STATE_READERS)):
                shuffled = cycle(self._chance.sample(reads, len(reads)))
                for _ in range(count):
                    group.create_task(self._read(shuffled, http))
            for follower in self._followers:
                group.create_task(self._follow(follower, http))

    async def wait_until_ahead(self, seconds: float) -> None:
        """Wait until a response shows an event before its acknowledgement arrives, at most for a time.

        A power cut at that moment would take the event back if the response had not waited for the flush.
        """
        self._is_ahead.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_ahead.wait(), seconds)

    def problems(self, records: Sequence[Body]) -> list[str]:
        """Return a sentence about each response that disagrees with the records of the log."""
        if self.shown > len(records):
            return [f"a response has shown position {self.shown}, and the log ends at {len(records)}"]
        missed = [problem for follower in self._followers for problem in follower.problems(records)]
        return self._outdated + missed + content_problems(chain.from_iterable(self._samples.values()), records)

    async def _follow(self, follower: Follower, http: httpx.AsyncClient) -> None:
        while not self._clients.is_stopped:
            await self._clients.server_is_up.wait()
            with suppress(httpx.TransportError):
                await follower.read_page(f"http://127.0.0.1:{self._clients.server.port}", http)

    async def _read(self, reads: Iterator[Read], http: httpx.AsyncClient) -> None:
        """Walk through one of `reads` after another, which several readers share."""
        walk = self._new_walk(next(reads))
        while not self._clients.is_stopped:
            await self._clients.server_is_up.wait()
            with suppress(httpx.TransportError):
                await self._read_page(walk, http)
            if walk.url is None or walk.pages == MAX_PAGES:
                walk = self._new_walk(next(reads))

    def _new_walk(self, read: Read) -> Walk:
        return Walk(read, self._names, self._chance.choice(LIMITS))

    async def _read_page(self, walk: Walk, http: httpx.AsyncClient) -> None:
        acknowledged = self._clients.received.last_position
        response = await http.get(f"http://127.0.0.1:{self._clients.server.port}{walk.url}")
        self._note(walk.take(response.status_code, response.headers, response.content), acknowledged)

    def _note(self, reading: Reading, acknowledged: int) -> None:
        """Keep what the audit needs of a reading. `acknowledged` is the last position known before its request."""
        if reading.position < acknowledged and not reading.read.is_past:
            self._outdated.append(f"{reading.url} is at {reading.position}, and {acknowledged} was acknowledged before")
        if reading.shown > max(self._shown, self._clients.received.last_position):
            self._is_ahead.set()
        self._shown = max(self._shown, reading.shown)
        path = reading.read.path
        self._count[path] += 1
        if len(sample := self._samples[path]) < SAMPLE:
            sample.append(reading)
        elif (place := self._chance.randrange(self._count[path])) < SAMPLE:  # each reading is equally likely to stay
            sample[place] = reading
        if reading.body and reading.read.key == CHANGED and reading.body["items"]:
            self._names = Names.of(self._chance.choice(reading.body["items"]))

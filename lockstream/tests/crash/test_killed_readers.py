"""Readers of the feed of four nodes are killed and go on, and nodes are killed: all read each event once, in order."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import batched
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from lockstream.core.entities.feed import Partition
from lockstream.simulator.client import Client
from lockstream.simulator.simulation import Simulation
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.test_proxy import nginx_for
from lockstream.tests.support.databases import new_database
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server
from lockstream.tests.support.requirements import requires_program

ROOT = Path(__file__).parents[3]
EVENTS, BATCH_EVENTS, BATCHES_A_KILL = (1_000_000, 5_000, 20) if FULL else (6_000, 1_000, 3)
"""Events in all and in a batch, and batches after which a node is killed. Readers are killed after each batch."""

START = 1_795_000_000
LIFE_SECONDS = 400 * 86_400
TYPE = "ParcelDeposited"

pytestmark = requires_program("nginx")


class Kind(NamedTuple):
    """A reader: what it reads, and from where."""

    form: str
    query: str
    is_behind_proxy: bool = False

    def wants(self, locker_id: str, event_type: str) -> bool:
        if "type=" in self.query:
            return event_type == TYPE
        if "partition=" in self.query:
            number, count = map(int, self.query.rpartition("=")[2].split("/"))
            return Partition(number, count).contains(locker_id)
        return True


KINDS = (
    Kind("pages", ""),
    Kind("pages", f"&type={TYPE}"),
    *(Kind("pages", f"&partition={number}/2") for number in range(2)),
    Kind("stream", ""),
    Kind("stream", "", is_behind_proxy=True),
    Kind("stream", "&partition=1/3", is_behind_proxy=True),
)


class Reader:
    """A reader as a process, and its file."""

    def __init__(self, kind: Kind, file: Path, urls: list[str]) -> None:
        self.kind, self.file = kind, file
        self._command = [sys.executable, "-m", "lockstream.tests.crash.killed_reader", str(file), *kind[:2], *urls]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT)

    def kill(self) -> None:
        assert self._process.poll() is None, "the reader has ended by itself"
        self._process.kill()
        self._process.wait()

    @property
    def lines(self) -> list[tuple[int, str, list[tuple[int, str]]]]:
        whole = self.file.read_bytes().rpartition(b"\n")[0].splitlines() if self.file.exists() else []
        return [msgspec.json.decode(line, type=tuple[int, str, list[tuple[int, str]]]) for line in whole]

    @property
    def through(self) -> int:
        if not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            file.seek(max(0, self.file.stat().st_size - 1_000_000))
            *_, last, _ = [b"[0]", *file.read().split(b"\n")]
        return int(last[1:].partition(b",")[0].rstrip(b"]"))


@contextmanager
def reading(kinds: tuple[Kind, ...], folder: Path, nodes: list[str], proxy: str) -> Iterator[list[Reader]]:
    readers = [
        Reader(kind, folder / f"reader-{number}", [proxy] if kind.is_behind_proxy else nodes)
        for number, kind in enumerate(kinds)
    ]
    try:
        yield readers
    finally:
        for reader in readers:
            reader.kill()


@contextmanager
def proxy_for(nodes: list[Server]) -> Iterator[str]:
    with nginx_for([node.port for node in nodes]) as proxy:
        yield f"http://127.0.0.1:{proxy.port}"


def post_life(nodes: list[Server]) -> Iterator[int]:
    """Post batches of simulated events to the nodes in turns. After each batch, yield its number, counted from 1."""
    arrivals = (arrival.text for arrival in Simulation(60, 7, START).arrivals(START + LIFE_SECONDS))
    with ExitStack() as open_clients:
        clients = [Client(f"http://127.0.0.1:{node.port}", lambda _: None) for node in nodes]
        for client in clients:
            open_clients.callback(client.close)
        for number, batch in zip(range(EVENTS // BATCH_EVENTS), batched(arrivals, BATCH_EVENTS), strict=False):
            clients[number % len(clients)].post(batch)
            yield number + 1


def log_of(node: Server) -> Iterator[tuple[int, str, str, str]]:
    """Yield position, event id, locker and type of each event, in order."""
    after = 0
    with httpx.Client(base_url=f"http://127.0.0.1:{node.port}", timeout=TIMEOUT_SECONDS) as http:
        while (page := http.get("/events", params={"after": after, "limit": 10_000}).json())["items"]:
            for item in page["items"]:
                yield item["position"], item["event_id"], item["locker_id"], item["type"]
            after = page["through"]


def test_readers_that_are_killed_at_random_read_each_event_once_and_in_order(tmp_path: Path) -> None:
    chance = random.Random(20261129)
    with new_database() as url, cluster(4, tmp_path, url) as nodes, proxy_for(nodes[:2]) as proxy:
        urls = [f"http://127.0.0.1:{node.port}" for node in nodes]
        with reading(KINDS, tmp_path, urls, proxy) as readers:
            # given readers of all forms, and a network that lives
            for number in post_life(nodes):
                # when readers are killed and started again, and so is a node
                killed = chance.sample(readers, 2)
                for reader in killed:
                    reader.kill()
                if number % BATCHES_A_KILL == 0:
                    node = chance.choice(nodes)
                    node.kill()
                    node.start()
                for reader in killed:
                    reader.start()
            records = list(log_of(nodes[0]))
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while any(reader.through < len(records) for reader in readers):
                assert time.monotonic() < deadline, [reader.through for reader in readers]
                time.sleep(0.05)
        # then each has stored each event that it wants, once and in order
        assert [record[0] for record in records] == list(range(1, len(records) + 1))
        for reader in readers:
            wanted = [record[:2] for record in records if reader.kind.wants(*record[2:])]
            lines = reader.lines
            assert [item for _, _, items in lines for item in items] == wanted, reader.kind
            assert [line[0] for line in lines] == sorted(line[0] for line in lines), reader.kind
            assert len({log for _, log, _ in lines} - {"0" * 32}) == 1

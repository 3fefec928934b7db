"""Readers of the feed of four nodes are killed and go on, and nodes are killed: all read each event once, in order.

A reader that is ahead of a restored log is told so.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import batched, islice
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest

from lockstream.core.entities.feed import Partition
from lockstream.simulator.client import Client
from lockstream.simulator.simulation import Simulation
from lockstream.tests.crash.fault_report import FULL, POWER, FaultOutcome, FaultReport
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.test_proxy import nginx_for
from lockstream.tests.support.builders import registered
from lockstream.tests.support.databases import new_database
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, wait_until
from lockstream.tests.support.requirements import requires_program

ROOT = Path(__file__).parents[3]
EVENTS, BATCH_EVENTS, BATCHES_A_KILL = (1_000_000, 5_000, 20) if FULL else (6_000, 1_000, 3)
"""Events in all and in a batch, and batches after which a node is killed. Readers are killed after each batch."""

KILLED_READERS = 2
"""Readers that are killed after each batch."""

LOCKERS, START, LIFE_SECONDS = 80, 1_795_000_000, 400 * 86_400
"""Of the simulated network, which reports slightly more than a million events."""

TYPE = "ParcelDeposited"
ACKNOWLEDGED = 200, 202


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
        self.command = [sys.executable, "-m", "lockstream.tests.crash.killed_reader", str(file), *kind[:2], *urls]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self.command, cwd=ROOT)

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

    def problems(self, records: list[tuple[int, str, str, str]]) -> list[str]:
        """Return a sentence for each rule that the stored lines break, given all `records` of the log."""
        wanted = [record[:2] for record in records if self.kind.wants(*record[2:])]
        lines = self.lines
        problems = []
        if [item for _, _, items in lines for item in items] != wanted:
            problems.append(f"{self.kind} has not read each event once and in order")
        if [line[0] for line in lines] != sorted(line[0] for line in lines):
            problems.append(f"the cursor of {self.kind} has gone back")
        if len({log for _, log, _ in lines} - {"0" * 32}) != 1:
            problems.append(f"{self.kind} was shown more than one log")
        return problems


@contextmanager
def reading(kinds: tuple[Kind, ...], folder: Path, nodes: list[str], proxy: str) -> Iterator[list[Reader]]:
    with ExitStack() as running:
        readers = []
        for number, kind in enumerate(kinds):
            reader = Reader(kind, folder / f"reader-{number}", [proxy] if kind.is_behind_proxy else nodes)
            running.callback(reader.kill)
            readers.append(reader)
        yield readers


@contextmanager
def proxy_for(nodes: list[Server]) -> Iterator[str]:
    with nginx_for([node.port for node in nodes]) as proxy:
        yield f"http://127.0.0.1:{proxy.port}"


def post_life(nodes: list[Server]) -> Iterator[list[str]]:
    """Post batches of simulated events to the nodes in turns. After each, yield the ids of its acknowledged events."""
    arrivals = (arrival.text for arrival in Simulation(LOCKERS, 7, START).arrivals(START + LIFE_SECONDS))
    with ExitStack() as open_clients:
        clients = [Client(f"http://127.0.0.1:{node.port}", lambda _: None) for node in nodes]
        for client in clients:
            open_clients.callback(client.close)
        for number, batch in enumerate(batched(islice(arrivals, EVENTS), BATCH_EVENTS)):
            outcomes = clients[number % len(clients)].post(batch)
            ids = (msgspec.json.decode(text)["event_id"] for text in batch)
            yield [one for one, outcome in zip(ids, outcomes, strict=True) if outcome.status in ACKNOWLEDGED]


def log_of(node: Server) -> Iterator[tuple[int, str, str, str]]:
    """Yield position, event id, locker and type of each event, in order."""
    after = 0
    with httpx.Client(base_url=f"http://127.0.0.1:{node.port}", timeout=TIMEOUT_SECONDS) as http:
        while (page := http.get("/events", params={"after": after, "limit": 10_000}).json())["items"]:
            for item in page["items"]:
                yield item["position"], item["event_id"], item["locker_id"], item["type"]
            after = page["through"]


@requires_program("nginx")
def test_readers_that_are_killed_at_random_read_each_event_once_and_in_order(
    tmp_path: Path, fault_report: FaultReport
) -> None:
    chance = random.Random(20261129)
    acknowledged: set[str] = set()
    faults = 0
    with new_database() as url, cluster(4, tmp_path, url) as nodes, proxy_for(nodes[:2]) as proxy:
        urls = [f"http://127.0.0.1:{node.port}" for node in nodes]
        with reading(KINDS, tmp_path, urls, proxy) as readers:
            # given readers of all forms, and a network that lives
            for number, ids in enumerate(post_life(nodes), 1):
                acknowledged.update(ids)
                # when readers are killed and started again, and so is a node
                killed = chance.sample(readers, KILLED_READERS)
                for reader in killed:
                    reader.kill()
                if number % BATCHES_A_KILL == 0:
                    node = chance.choice(nodes)
                    node.kill()
                    node.start()
                    faults += 1
                for reader in killed:
                    reader.start()
                faults += len(killed)
            records = list(log_of(nodes[0]))
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while any(reader.through < len(records) for reader in readers):
                assert time.monotonic() < deadline, [reader.through for reader in readers]
                time.sleep(0.05)
    # then the log holds each acknowledged event, and each reader has stored each event that it wants, once and in order
    assert faults == EVENTS // BATCH_EVENTS * KILLED_READERS + EVENTS // BATCH_EVENTS // BATCHES_A_KILL
    assert [record[0] for record in records] == list(range(1, len(records) + 1))
    lost = sorted(acknowledged - {record[1] for record in records})
    problems = [problem for reader in readers for problem in reader.problems(records)]
    outcome = FaultOutcome(faults, len(acknowledged), lost, problems)
    fault_report.add(POWER, "killed with -9: readers of the feed, and their nodes", outcome)
    outcome.assert_nothing_lost_or_bricked()


@pytest.mark.parametrize("form", ["pages", "stream"])
def test_a_reader_that_is_ahead_of_a_restored_backup_is_told_so(log_path: Path, tmp_path: Path, form: str) -> None:
    backup = tmp_path / "backup.jsonl"
    with Server(log_path).start() as server:
        # given a backup, and a reader that has read an event which was accepted after the backup
        for number in range(3):
            assert server.post(msgspec.json.encode(registered(f"c{number}"))) == 202
        assert command(log_path, "backup", str(backup)).returncode == 0
        assert server.post(msgspec.json.encode(registered("c3"))) == 202
        url = f"http://127.0.0.1:{server.port}"
        with reading((Kind(form, ""),), tmp_path, [url], url) as [reader]:
            wait_until(lambda: reader.through == 4)
        stored = reader.lines
        server.stop(signal.SIGTERM)
    # when the backup is restored and served, and the reader goes on
    for file in tmp_path.glob("*.projection*"):
        file.unlink()
    log_path.write_bytes(backup.read_bytes())
    with Server(log_path, LOCKSTREAM_PORT=str(server.port)).start():
        ended = subprocess.run(
            reader.command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    # then the reader ends with the response, which names both positions, and has stored nothing else
    assert ended.returncode == 1
    refusal = msgspec.json.decode(ended.stderr)
    assert (refusal["code"], refusal["head"]) == ("cursor_beyond_head", 3)
    assert "4" in refusal["detail"]
    assert reader.lines == stored

"""Provoked faults on real servers: each raises its alert on a real Prometheus, raises no other, and clears it.

The durations of the rules are divided by 30, so that a fault takes half a minute. Thresholds are as deployed.
"""

import json
import os
import resource
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from bench.postgres import free_port
from lockstream.core.entities.log import SECOND, START, present_time, recorded_at_of
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.observability.load import create_key, reporting
from lockstream.tests.observability.prometheus import Prometheus, needs_prometheus
from lockstream.tests.support.builders import event, fault_reported, registered, reserved
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import Server, needs_strace, traced, wait_until

pytestmark = needs_prometheus

JOB = "lockstream"
MEMORY = Path("/dev/shm")
"""A disk whose flushes take no time, whatever else the machine does."""


@pytest.fixture
def log() -> Iterator[Path]:
    """The path of a log on a disk that is never slow, if this system has one."""
    folder = Path(tempfile.mkdtemp(prefix="lockstream-faults-", dir=MEMORY if MEMORY.is_dir() else None))
    yield folder / "event_log.jsonl"
    shutil.rmtree(folder, ignore_errors=True)


class Watch:
    """The alerts of one Prometheus. None may fire that was not waited for."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._expected: set[str] = set()

    def expect_restart(self) -> None:
        """Let the only server be away for as long as a start takes, which is minutes by the shortened rules."""
        self._expected.add("LockstreamAllNodesAway")

    def expect_keys_to_fail(self) -> None:
        """Let the database be away for as long as it takes to tell that keys cannot be followed."""
        self._expected.add("LockstreamKeysFailing")

    def wait_for(self, *alerts: str) -> None:
        """Wait until exactly these alerts fire."""
        self._expected |= set(alerts)

        def holds() -> bool:
            firing = set[str]().union(*self._prometheus.firing().values())
            assert firing <= self._expected
            return firing == set(alerts)

        wait_until(holds)


@contextmanager
def watched(folder: Path, servers: Sequence[Server], key: str = "none") -> Iterator[Watch]:
    """Give a watch over servers that have been scraped."""
    with Prometheus(folder / "prometheus", {JOB: [server.port for server in servers]}, key) as prometheus:
        wait_until(lambda: len(prometheus.query("lockstream_ready == 1")) == len(servers) and not prometheus.firing())
        yield Watch(prometheus)


def served(log: Path, **more: str) -> Server:
    """Return a server that keeps its port over restarts."""
    return Server(log, LOCKSTREAM_PORT=str(free_port()), **more)


def started_again(server: Server) -> Server:
    """Start a server, and wait until it says that it is ready.

    `Server.start` asks for reads instead. Those that are refused count as failed requests, and may raise an alert.
    """
    server.listen()
    wait_until(lambda: server.get("/health/ready")[0] == HTTPStatus.OK)
    return server


def post(server: Server, body: Mapping[str, object]) -> int:
    return server.post(json.dumps(body).encode())


def test_a_disk_that_is_nearly_full(tmp_path: Path, log: Path) -> None:
    free = shutil.disk_usage(log.parent).free
    port = str(free_port())
    few = str(free // 3)
    with (
        Server(log, LOCKSTREAM_PORT=port, LOCKSTREAM_MIN_FREE_BYTES=few).start() as server,
        watched(tmp_path, [server]) as watch,
    ):
        watch.wait_for("LockstreamDiskNearlyFull")
        watch.expect_restart()
        server.stop(signal.SIGTERM)
        with started_again(Server(log, LOCKSTREAM_PORT=port)):
            watch.wait_for()


@needs_strace
def test_slow_flushes(tmp_path: Path, log: Path) -> None:
    slow = traced(
        Path(os.devnull), log, "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=300000:when=20..100"
    )
    with (
        Server(log, under=slow).start() as server,
        reporting(server),
        watched(tmp_path, [server]) as watch,
    ):
        watch.wait_for("LockstreamFlushSlow")
        watch.wait_for()


def test_a_poisoned_log(tmp_path: Path, log: Path) -> None:
    with served(log).start() as server, watched(tmp_path, [server]) as watch, reporting(server):
        wait_until(lambda: log.stat().st_size)
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 10, unlimited[1]))
        watch.wait_for("LockstreamLogFailed")
        watch.expect_restart()
        server.stop(signal.SIGTERM)
        started_again(server)
        watch.wait_for()


def test_a_checkpoint_that_is_stuck(tmp_path: Path, log: Path) -> None:
    with served(log).start() as server, watched(tmp_path, [server]) as watch, reporting(server):
        with closing(sqlite3.connect(projection_path(log), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            watch.wait_for("LockstreamCheckpointFailing")
            other.execute("ROLLBACK")
        watch.wait_for()


def test_a_storm_of_wrong_keys(tmp_path: Path, log: Path) -> None:
    with served(log).start() as server:
        key = create_key(log)
        wait_until(lambda: server.get("/network")[0] == 401)
        with watched(tmp_path, [server], key) as watch, reporting(server, key=key):
            with reporting(server, pause_seconds=0.02, key="wrong"):
                watch.wait_for("LockstreamKeyStorm")
            watch.wait_for()


def test_a_quarantine_that_fills(tmp_path: Path, log: Path) -> None:
    with (
        served(log, LOCKSTREAM_QUARANTINE_ENTRIES="10").start() as server,
        watched(tmp_path, [server]) as watch,
        reporting(server),
    ):
        # when 9 reservations come before their compartments
        for number in range(9):
            assert post(server, reserved(f"r{number}", f"late{number}")) == 422
        watch.wait_for("LockstreamQuarantineFilling")
        # when the compartments are known, and the events are decided afresh
        for number in range(9):
            assert post(server, registered(f"late{number}")) == 202
        assert server.request("POST", "/quarantine/resubmit", b"{}", {"Content-Type": "application/json"})[0] == 200
        watch.wait_for()


def test_a_node_that_is_killed_and_a_replica_that_is_behind(tmp_path: Path) -> None:
    with (
        PostgresServer(fsync="off") as primary,
        PostgresServer(primary, hot_standby="on", fsync="off", max_standby_streaming_delay="-1") as standby,
        cluster(3, tmp_path, primary.url, LOCKSTREAM_READ_URL=standby.url) as nodes,
        watched(tmp_path, nodes) as watch,
        reporting(nodes[0]),
    ):
        nodes[2].kill()
        watch.wait_for("LockstreamNodeAway")
        started_again(nodes[2])
        watch.wait_for()

        standby.execute("SELECT pg_wal_replay_pause()")
        watch.wait_for("LockstreamReplicaBehind")
        standby.execute("SELECT pg_wal_replay_resume()")
        watch.wait_for()


def test_a_database_that_is_away(tmp_path: Path) -> None:
    with (
        PostgresServer(fsync="off") as database,
        cluster(1, tmp_path, database.url) as [node],
        watched(tmp_path, [node]) as watch,
        reporting(node),
    ):
        database.kill()
        watch.wait_for("LockstreamEventsRefused")
        watch.expect_keys_to_fail()
        database.start()
        watch.wait_for()


def test_a_locker_that_is_silent(tmp_path: Path, log: Path) -> None:
    # given four lockers that have reported in turns, of which one has stopped two hours ago
    names = ["a", "b", "c", "d"]
    turns = [fault_reported(1, "c1", locker=name) for _ in range(60) for name in names]
    later = [fault_reported(1, "c1", locker=name) for _ in range(60) for name in names[1:]]
    now = present_time()
    first, end = encode_lines(
        [event(one) for one in [*(registered("c1", locker=name) for name in names), *turns]],
        recorded_at_of(now - 2 * 3_600 * SECOND),
        START,
    )
    last, _ = encode_lines([event(one) for one in later], recorded_at_of(now - 60 * SECOND), end)
    log.write_bytes(b"".join([*first, *last]))
    with served(log).start() as server, watched(tmp_path, [server]) as watch:
        watch.wait_for("LockstreamLockersSilent")
        # when it reports again
        assert post(server, fault_reported(1, "c1", locker="a")) == 202
        watch.wait_for()

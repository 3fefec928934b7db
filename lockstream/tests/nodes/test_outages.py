"""The database goes away and comes back, a standby takes its place, or a commit waits for one that is away."""

import asyncio
import json
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockstream.infrastructure.postgres.connection import TimeLimits
from lockstream.infrastructure.postgres.statements import WRITE_LOCK_ID
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.nodes.clients import Clients, post_while
from lockstream.tests.nodes.cluster import cluster, program_with
from lockstream.tests.nodes.history import assert_legal, read_history
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import Server, wait_until

NODES = 4
ROUNDS = 20 if FULL else 2
EVENTS = 101
"""Events that are acknowledged after all."""

OF_WAITING_WRITER = (
    "FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE wait_event = 'SyncRep' "
    f"AND locktype = 'advisory' AND granted AND objid = {WRITE_LOCK_ID & 0xFFFF_FFFF}::oid"
)
"""The commit of a batch that waits for a standby. A commit of the quarantine, which checks again, may wait, too."""

SHOW_WAIT = f"SELECT 1 {OF_WAITING_WRITER}"
CANCEL_WAIT = f"SELECT pg_cancel_backend(pid) {OF_WAITING_WRITER}"
COUNT_EVENTS = "SELECT count(*) FROM events"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """The server that all tests here use."""
    with PostgresServer() as database:
        yield database


@pytest.fixture(scope="module")
def nodes(database: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Nodes that all tests here use."""
    with cluster(NODES, tmp_path_factory.mktemp("nodes"), database.url) as nodes:
        yield nodes


@contextmanager
def absent_standby(database: PostgresServer) -> Iterator[None]:
    """Let commits wait for a standby that does not exist."""
    database.require_standby("nobody")
    try:
        yield
    finally:
        database.require_standby("")


def new_event(locker: str) -> bytes:
    return json.dumps(registered(locker=locker)).encode()


async def wait_until_ready(nodes: list[Server]) -> None:
    def are_ready() -> bool:
        return all(node.get("/health/ready")[0] == 200 for node in nodes)

    await asyncio.to_thread(wait_until, are_ready)


def test_nodes_go_on_after_the_database_was_killed_and_nothing_is_lost(
    database: PostgresServer, nodes: list[Server], run_command: RunCommand
) -> None:
    # when the database is killed again and again, and starts at once or after the nodes have noticed
    async def kill_database(clients: Clients) -> None:
        for number in range(ROUNDS):
            await clients.wait_for(random.randint(1, EVENTS))
            database.kill()
            if number % 2:
                unavailable = clients.responses.unavailable
                await asyncio.to_thread(wait_until, lambda: clients.responses.unavailable > unavailable + NODES)  # noqa: B023
            await asyncio.to_thread(database.start)
        await wait_until_ready(nodes)
        await clients.wait_for(EVENTS)

    clients = post_while(nodes, kill_database)

    # then every acknowledged event is there, and every node accepts further ones
    assert_legal(read_history(database.url), clients.responses)
    assert len(clients.responses.acknowledged) >= EVENTS
    assert [node.post(new_event(f"new-{number}")) for number, node in enumerate(nodes)] == [202] * NODES
    verified = run_command("verify", DATABASE_URL=database.url)
    assert verified.exit_code == 0, verified.errors


def test_a_node_reports_that_its_database_is_away_and_recovers_by_itself(
    database: PostgresServer, nodes: list[Server]
) -> None:
    node, event = nodes[0], new_event("away")
    assert node.post(event) == 202

    database.kill()
    status, headers, body = node.request("POST", "/events", event)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "cannot be used now" in json.loads(body)["detail"]
    assert node.get("/health/ready")[0] == 503
    assert node.get("/health/live")[0] == 200
    assert node.get("/lockers/away")[0] == 503

    database.start()
    wait_until(lambda: node.get("/health/ready")[0] == 200)
    assert node.post(event) == 200
    assert node.get("/lockers/away")[0] == 200


def test_a_commit_that_did_not_wait_for_the_standby_is_not_acknowledged(
    database: PostgresServer, nodes: list[Server]
) -> None:
    node, event = nodes[0], new_event("waiting")
    wait_until(lambda: node.get("/health/ready")[0] == 200)
    [(before,)] = database.execute(COUNT_EVENTS)
    with ThreadPoolExecutor() as threads, absent_standby(database):
        # given a commit whose wait for the standby is cancelled, so that only the primary holds it
        posted = threads.submit(node.post, event)
        wait_until(lambda: database.execute(CANCEL_WAIT))
        wait_until(lambda: database.execute(COUNT_EVENTS) == [(before + 1,)])

        # when the commit with which the node checks that is cancelled, too
        wait_until(lambda: database.execute(CANCEL_WAIT))

        # then the event is acknowledged only after a commit that has waited
        assert not posted.done()
        database.require_standby("")
        assert posted.result() == 202
    assert node.post(event) == 200


def test_a_duplicate_is_acknowledged_only_after_a_commit_that_waits_for_the_standby(
    database: PostgresServer, nodes: list[Server]
) -> None:
    """The commit of the first one may not have waited, because it was cancelled."""
    node, event = nodes[0], new_event("duplicate")
    assert node.post(event) == 202
    with ThreadPoolExecutor() as threads, absent_standby(database):
        posted = threads.submit(node.post, event)
        wait_until(lambda: database.execute(SHOW_WAIT))
        assert not posted.done()
        database.require_standby("")
        assert posted.result() == 200


def test_a_node_stops_on_sigterm_while_its_commit_waits_for_an_absent_standby(
    database: PostgresServer, tmp_path: Path
) -> None:
    # given a node whose commit hangs for longer than open requests have to finish
    program = program_with(TimeLimits(write_lock_seconds=2, statement_seconds=1, resolve_seconds=1))
    with (
        cluster(1, tmp_path, database.url, [program], LOCKSTREAM_STOP_SECONDS="1") as [node],
        ThreadPoolExecutor() as threads,
        absent_standby(database),
    ):
        posted = threads.submit(node.post, new_event("hanging"))
        while not database.execute(SHOW_WAIT):
            assert not posted.done()

        # when it is told to stop
        exit_code = node.stop(signal.SIGTERM)

        # then it ends, and the client learns that nothing is promised
        assert exit_code in (0, -signal.SIGTERM)
        assert posted.result() == 503


def test_a_standby_takes_the_place_of_a_killed_primary(tmp_path: Path) -> None:
    with PostgresServer() as primary, PostgresServer(primary, cluster_name="standby") as standby:
        primary.require_standby("standby")
        wait_until(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        with cluster(2, tmp_path, f"postgresql+psycopg://postgres@{hosts}/postgres") as nodes:

            async def fail_over(clients: Clients) -> None:
                await clients.wait_for(EVENTS)
                primary.kill()
                await asyncio.to_thread(standby.promote)
                await wait_until_ready(nodes)
                await clients.wait_for(EVENTS)

            clients = post_while(nodes, fail_over)
            assert_legal(read_history(standby.url), clients.responses)
            assert [node.get("/health/ready")[0] for node in nodes] == [200, 200]

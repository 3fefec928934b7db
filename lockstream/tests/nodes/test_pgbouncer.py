"""Nodes that reach their database through PgBouncer in transaction mode, configured as docs/scaling.md says."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from lockstream.core.entities.quarantine import Discard, QuarantineLimits
from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import BEGIN, COMMIT, Database, Session, Statement
from lockstream.infrastructure.postgres.quarantine.store import PostgresQuarantine
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.nodes.clients import Clients, post_while
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.daemon import Daemon
from lockstream.tests.nodes.history import Follower, assert_legal, read_history
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.commands import CommandResult, RunCommand
from lockstream.tests.support.databases import execute
from lockstream.tests.support.processes import Server, wait_until
from lockstream.tests.support.quarantine import id_of, refused, write
from lockstream.tests.support.requirements import find_program, requires_program

PAGE = Path(__file__).parents[3] / "docs/scaling.md"
ROUND_TRIPS = 1_000 if FULL else 200

pytestmark = requires_program("pgbouncer")


@pytest.fixture(scope="module")
def pool(url: str) -> Iterator[Daemon]:
    """The pool that the page shows, but on another port, in front of `url`, and without passwords."""
    [settings] = re.findall(r"```ini\n(\[databases\].*?)```", PAGE.read_text(), re.DOTALL)
    database = make_url(url)
    for pattern, replacement in (
        (
            r"lockstream = host=\S+ port=5432 dbname=\S+",
            f"lockstream = host={database.host} port={database.port} dbname={database.database} "
            f"user={database.username}" + (f" password={database.password}" if database.password else ""),
        ),
        (r"listen_addr = .*", "listen_addr = 127.0.0.1"),
        (r"listen_port = .*", "listen_port = PORT\nunix_socket_dir ="),
        (r"auth_type = .*\nauth_file = .*", "auth_type = any"),
        (r"query_wait_timeout = .*", "query_wait_timeout = 120"),  # a slow machine must not fail the test
    ):
        settings, count = re.subn(pattern, replacement, settings)
        assert count == 1, pattern
    with Daemon(str(find_program("pgbouncer")), "HOME/settings", settings=settings) as pool:
        yield pool


@pytest.fixture(scope="module")
def pool_url(pool: Daemon) -> str:
    return f"postgresql+psycopg://somebody@127.0.0.1:{pool.port}/lockstream"


@pytest.fixture(scope="module")
def nodes(pool: Daemon, pool_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two nodes, which would open up to thirteen connections each, and a few more for moments."""
    set_pool_size(pool, 3)
    with cluster(2, tmp_path_factory.mktemp("nodes"), pool_url) as nodes:
        yield nodes


def set_pool_size(pool: Daemon, size: int) -> None:
    """Give the pool a number of sessions on the database."""
    settings, count = re.subn(r"default_pool_size = .*", f"default_pool_size = {size}", pool.settings)
    assert count == 1
    if settings != pool.settings:
        pool.settings = settings
        pool.restart()


def test_lists_are_read_through_the_pool(nodes: list[Server]) -> None:
    first, second = nodes
    for number in range(10):
        assert first.post(json.dumps(registered(f"c{number}", locker="pooled")).encode()) == 202
        status, body = second.get("/lockers/pooled/compartments")
        assert status == 200, body
        assert len(json.loads(body)["items"]) == number + 1


def test_nodes_list_each_other_through_the_pool(url: str, nodes: list[Server]) -> None:
    heard = "SELECT process_id, heard_at FROM nodes ORDER BY process_id"
    before = execute(url, heard)
    for node in nodes:
        wait_until(lambda: len(json.loads(node.get("/system")[1])["nodes"] or ()) == 2)  # noqa: B023
    # and they go on to note themselves, in any session of the pool
    wait_until(lambda: all(new != old for new, old in zip(execute(url, heard), before, strict=True)))
    assert [pid for pid, _ in execute(url, heard)] == sorted(node.pid for node in nodes)
    assert execute(url, "SELECT count(*) FROM nodes WHERE unavailable_reason IS NOT NULL") == [(0,)]


def test_the_quarantine_is_written_and_read_through_the_pool(pool_url: str) -> None:
    with ExitStack() as stack:
        databases = [stack.enter_context(closing(Database(pool_url))) for _ in range(2)]
        nodes = [stack.enter_context(closing(PostgresQuarantine(one, QuarantineLimits()))) for one in databases]
        for second in range(ROUND_TRIPS // 10):
            for node in nodes:
                write(node, refused(1), refused(2 + second))
                assert node.totals().open == {"unknown_compartment": 2 + second}
        entry = nodes[1].discard(id_of(1), Discard("a test", "2026"))
        assert entry
        assert entry.count == 2 * (ROUND_TRIPS // 10)


@pytest.mark.parametrize("kills", [0, 3], ids=["undisturbed", "killed"])
def test_nodes_share_a_pool_that_is_smaller_than_the_number_of_their_connections(
    kills: int, pool: Daemon, pool_url: str, url: str, nodes: list[Server], run_command: RunCommand
) -> None:
    # given a pool of three sessions
    set_pool_size(pool, 3)

    # when clients compete for a few lockers, and the pool stays or is killed
    async def kill_pool(clients: Clients) -> None:
        await clients.wait_for(200)
        for _ in range(kills):
            await asyncio.to_thread(pool.restart)
            await clients.wait_for(50)

    with Follower(url) as follower:
        clients = post_while(nodes, kill_pool)

    # then everything is as it is without a pool
    history = read_history(url)
    assert_legal(history, clients.responses)
    assert follower.event_ids == [event["event_id"] for event in history]
    assert kills or clients.responses.unavailable <= len(clients.responses.acknowledged) // 100
    set_pool_size(pool, 2 * len(nodes) + 5)  # as the page says: with fewer sessions, a rebuild may fail
    for name in ("verify", "rebuild", "verify"):
        result = run_command(name, DATABASE_URL=pool_url)
        assert result.exit_code == 0, result.errors


def test_a_rebuild_works_beside_nodes_that_use_the_same_pool(
    pool: Daemon, pool_url: str, url: str, nodes: list[Server], run_command: RunCommand
) -> None:
    set_pool_size(pool, 8)
    results: list[CommandResult] = []

    async def rebuild(clients: Clients) -> None:
        for name in ("rebuild", "verify"):
            await clients.wait_for(50)
            results.append(await asyncio.to_thread(run_command, name, DATABASE_URL=pool_url))

    clients = post_while(nodes, rebuild)
    assert [(result.exit_code, result.errors) for result in results if result.exit_code] == []
    assert_legal(read_history(url), clients.responses)


def test_nodes_that_share_a_session_of_the_database_leave_no_prepared_statement_there(
    pool: Daemon, pool_url: str, url: str
) -> None:
    # given a pool of one session, which two nodes use for everything
    set_pool_size(pool, 1)
    with closing(PostgresStore(pool_url)) as first, closing(PostgresStore(pool_url)) as second:
        # when they send the same statements in another order
        assert first.reads.locker("shared") is None
        start = first.log.end.position
        outcomes = [
            ingest([event(registered(f"c{number}", locker="shared"))], random.choice([first, second]).unit_of_work())
            for number in range(20)
        ]

        # then neither node uses the statements of the other one
        assert outcomes == [[Accepted(start + number)] for number in range(1, 21)]

    # and none was prepared, since its name could be that of another node's statement
    assert count_prepared_statements(pool_url) == 0
    # though statements are prepared in a session that a connection has for itself
    assert count_prepared_statements(url) > 0


def count_prepared_statements(url: str) -> int:
    """Return the number of prepared statements in the session that executes this statement."""
    counted = Statement("SELECT count(*) FROM pg_prepared_statements")
    with closing(Database(url)) as database, closing(Session(database)) as session:
        count: int = session.transact(counted)[counted][0][0]
        return count


def test_a_silent_connection_keeps_no_session_of_the_pool(pool: Daemon, pool_url: str) -> None:
    # given more connections than the pool has sessions, on a busy machine
    set_pool_size(pool, 1)
    one = Statement("SELECT 1")
    with ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            burning = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(burning.kill)
        sessions = [stack.enter_context(closing(Session(Database(pool_url)))) for _ in range(3)]

        # when each connection in turn sends something and is then silent, none of them waits for another one
        for _ in range(ROUND_TRIPS):
            for session in sessions:
                assert session.execute([BEGIN, one, COMMIT])[one] == [(1,)]


def test_a_pool_in_statement_mode_is_refused(pool: Daemon, pool_url: str, run_command: RunCommand) -> None:
    """Such a pool would spread one transaction over several sessions."""
    transactional = pool.settings
    pool.settings = transactional.replace("pool_mode = transaction", "pool_mode = statement")
    assert pool.settings != transactional
    try:
        pool.restart()
        result = run_command("verify", DATABASE_URL=pool_url)
    finally:
        pool.settings = transactional
        pool.restart()
    assert result.exit_code == 1
    assert "cannot be used now" in result.errors

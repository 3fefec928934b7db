"""Connections: timeouts, lost connections, the messages of a round trip, and URLs in error texts."""

import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from lockstream.core.entities.listings import LockerOrder
from lockstream.core.errors import StoreUnavailable, TooManyToSort
from lockstream.infrastructure.postgres.connection import (
    BEGIN,
    BEGIN_READING,
    COMMIT,
    CONNECTION_LOST,
    DEFAULT_LIMITS,
    READ_CONNECTIONS,
    Database,
    DatabaseRows,
    Results,
    Session,
    Statement,
    TimeLimits,
    execute,
    transaction_settings,
)
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.databases import connect
from lockstream.tests.support.databases import execute as execute_as_other
from lockstream.tests.support.processes import wait_until

SLEEP = Statement("SELECT pg_sleep(60)")
ONE = Statement("SELECT 1")
ROLLBACK = Statement("ROLLBACK")


def test_a_session_gives_up_an_answer_after_its_time_limit_and_connects_again(database_url: str) -> None:
    limits = TimeLimits(write_lock_seconds=0.25, statement_seconds=0.25)
    with closing(Database(database_url, limits)) as database, closing(Session(database)) as session:
        with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.5 s"):
            session.execute([SLEEP])
        session.limits = DEFAULT_LIMITS  # a slow machine must not fail the test
        assert session.execute([ONE]) == {ONE: [(1,)]}


@pytest.mark.parametrize(
    ("slow", "is_limited_by_server"),
    [(SLEEP, True), (Statement("LOCK TABLE locked IN ACCESS SHARE MODE"), True), (SLEEP, False)],
)
def test_a_read_that_has_timed_out_is_not_repeated(
    database_url: str, slow: Statement, is_limited_by_server: bool
) -> None:
    limits = TimeLimits(write_lock_seconds=0.25, statement_seconds=0.5)
    settings = [transaction_settings(limits)] if is_limited_by_server else []
    attempts: list[int] = []

    def read(_: Results, fetch: Callable[[Statement], DatabaseRows]) -> DatabaseRows:
        attempts.append(1)
        return fetch(slow)

    with closing(Database(database_url, limits)) as database, closing(connect(database_url)) as other:
        # given a table that another session holds
        other.execute("CREATE TABLE locked ()")
        other.execute("BEGIN")
        other.execute("LOCK TABLE locked")
        # when a statement takes longer than it may, or waits longer for a lock
        with pytest.raises(StoreUnavailable, match=r"timeout|no answer within"):
            database.read_transaction([BEGIN_READING, *settings], read)
        # then it was tried once
        assert len(attempts) == 1
        assert database.read(ONE)[ONE] == [(1,)]


def test_a_read_that_is_refused_keeps_its_connection(database_url: str) -> None:
    """A connection costs a round trip for each of its handshakes, and a client may be refused again and again."""

    def refuse(_: Results, fetch: Callable[[Statement], DatabaseRows]) -> DatabaseRows:
        fetch(ONE)
        raise TooManyToSort(LockerOrder.AVAILABLE, 1)

    with closing(Database(database_url)) as database:
        for _ in range(3):
            with pytest.raises(TooManyToSort):
                database.read_transaction([BEGIN_READING], refuse)
            assert database.read(ONE)[ONE] == [(1,)]
        assert database.counts.connections == 1


def test_a_refusal_is_raised_even_if_the_connection_is_lost_meanwhile(database_url: str) -> None:
    def refuse(_: Results, fetch: Callable[[Statement], DatabaseRows]) -> DatabaseRows:
        [(process_id,)] = fetch(Statement("SELECT pg_backend_pid()"))
        other.execute(f"SELECT pg_terminate_backend({process_id}, 5000)")
        raise TooManyToSort(LockerOrder.AVAILABLE, 1)

    with closing(Database(database_url)) as database, closing(connect(database_url)) as other:
        with pytest.raises(TooManyToSort):
            database.read_transaction([BEGIN_READING], refuse)
        assert database.read(ONE)[ONE] == [(1,)]


def test_a_connection_notices_a_silent_peer_while_it_waits_for_an_answer(database_url: str) -> None:
    with closing(Database(database_url)) as database, closing(database.connect()) as connection:
        options = connection.info.get_parameters()
    assert options["keepalives_idle"] == "5"
    assert (options["keepalives_interval"], options["keepalives_count"]) == ("1", "5")
    assert (options["connect_timeout"], options["tcp_user_timeout"]) == ("5", "10000")


def test_a_connection_that_is_lost_before_the_answer_raises_an_error_that_says_so(database_url: str) -> None:
    """The caller must learn that the fate of its statements is unknown."""
    with closing(Database(database_url).connect()) as connection:

        def send() -> None:
            with connection.pipeline():
                connection.execute(SLEEP.text)
                with socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
                    line.shutdown(socket.SHUT_RDWR)

        with pytest.raises(CONNECTION_LOST):
            send()
        assert connection.broken


def test_the_first_failing_statement_of_a_round_trip_is_the_one_that_is_raised(database_url: str) -> None:
    with closing(Database(database_url).connect()) as connection:
        for _ in range(20):
            with pytest.raises(psycopg.errors.DivisionByZero):
                execute(connection, [BEGIN, Statement("SELECT 1 / 0"), ONE, ROLLBACK])
            execute(connection, [ROLLBACK])
        assert execute(connection, [ONE]) == {ONE: [(1,)]}


def test_reads_replace_connections_that_the_server_has_closed(database_url: str) -> None:
    waiting = (
        "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory' "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with (
        closing(Database(database_url)) as database,
        ThreadPoolExecutor(READ_CONNECTIONS) as threads,
        closing(connect(database_url)) as other,
    ):
        # given as many concurrent reads as there are connections
        other.execute("SELECT pg_advisory_lock(1)")
        wait = Statement("SELECT pg_advisory_xact_lock_shared(1)")
        reads = [threads.submit(database.read, wait) for _ in range(READ_CONNECTIONS)]
        wait_until(lambda: len(other.execute(waiting).fetchall()) == READ_CONNECTIONS)
        other.execute("SELECT pg_advisory_unlock(1)")
        for read in reads:
            read.result()

        # when the server closes all of them
        closed = other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'lockstream' AND datname = current_database()"
        )
        assert len(closed.fetchall()) == READ_CONNECTIONS

        # then no read fails
        for _ in range(READ_CONNECTIONS):
            assert database.read(ONE)[ONE] == [(1,)]


@pytest.mark.parametrize(("configured", "used"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_a_commit_waits_for_the_disk_even_if_the_database_is_configured_not_to(
    configured: str, used: str, database_url: str
) -> None:
    [(name,)] = execute_as_other(database_url, "SELECT current_database()")
    execute_as_other(database_url, f'ALTER DATABASE "{name}" SET synchronous_commit = {configured}')
    shown = Statement("SHOW synchronous_commit")
    with closing(Database(database_url)) as database, closing(Session(database)) as session:
        assert session.transact(shown)[shown] == [(used,)]


@pytest.mark.skipif(sys.platform != "linux", reason="libpq is traced on Linux only")
def test_a_round_trip_ends_with_a_sync_message(database_url: str, tmp_path: Path) -> None:
    """A pooler in transaction mode takes any message after the Sync for the beginning of another transaction."""
    trace = tmp_path / "trace"
    with closing(Database(database_url).connect()) as connection, trace.open("w") as file:
        connection.pgconn.trace(file.fileno())
        execute(connection, [BEGIN, Statement("SELECT pg_sleep(0.1)"), COMMIT])
        connection.pgconn.untrace()
    sent = [line.split("\t")[3].strip() for line in trace.read_text().splitlines() if "\tF\t" in line]
    assert sent.count("Sync") == 1
    assert sent[-1] == "Sync"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://somebody:secret@nowhere/x", "postgresql+psycopg://"),
        ("postgresql://somebody:secret@[nowhere/x", "DATABASE_URL does not have the form"),
        ("postgresql://somebody:some@secret@nowhere/x", "Percent-encode characters"),
        ("postgresql://somebody:5/secret@nowhere/x", "Percent-encode characters"),
        ("postgresql://somebody:5?x@secret@nowhere/x", "Percent-encode characters"),
        ("postgresql://somebody:5?x@some/secret@nowhere/x", "Percent-encode characters"),
        ("postgresql://somebody:5/3?secret@nowhere/x", "Percent-encode characters"),
        ("postgresql://somebody:secret@127.0.0.1:1/x", "x at 127.0.0.1 cannot be used now"),
        ("postgresql://somebody:some%40%2Fsecret@127.0.0.1:1/x", "x at 127.0.0.1 cannot be used now"),
        ("postgresql:///x?host=127.0.0.1&port=1&password=secret@/", "x at 127.0.0.1 cannot be used now"),
    ],
)
def test_no_message_shows_a_password(url: str, message: str, run_command: RunCommand) -> None:
    result = run_command("verify", DATABASE_URL=url)
    assert result.exit_code == 1
    assert message in result.errors
    assert "secret" not in result.errors

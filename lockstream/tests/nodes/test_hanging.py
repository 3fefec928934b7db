"""What could be waited for, for ever: each wait has an end."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import (
    BEGIN,
    COMMIT,
    READERS,
    UNKNOWN,
    Database,
    Session,
    Statement,
    execute,
    limits,
)
from lockstream.infrastructure.postgres.statements import TAKE_TURN
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.nodes.fleet import nodes
from lockstream.tests.nodes.machine import Machine
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.databases import connect
from lockstream.tests.support.processes import wait_until

OF_THIS = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"


def test_an_answer_that_does_not_come_is_not_waited_for(url: str) -> None:
    with closing(Database(url)) as database, closing(Session(database, patience=0.5)) as session:
        with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.5 seconds"):
            session.execute([Statement("SELECT pg_sleep(60)")])
        session._patience = None  # a slow machine is no fault
        assert session.execute([Statement("SELECT 1")]) == [[(1,)]]


def test_a_peer_without_a_sign_of_life_is_noticed_while_its_answer_is_awaited(url: str) -> None:
    with closing(Database(url)) as database, closing(database.connect()) as connection:
        told = connection.info.get_parameters()
    assert told["keepalives_idle"] == "5"
    assert (told["keepalives_interval"], told["keepalives_count"]) == ("1", "5")


def test_a_node_ends_when_told_while_its_commit_waits_for_a_standby_that_is_away(tmp_path: Path) -> None:
    with Machine() as machine, nodes(1, tmp_path, machine.url) as [server], ThreadPoolExecutor() as threads:
        machine.wait_for_standby("nobody")
        posted = threads.submit(server.post, json.dumps(registered()).encode())
        while not machine.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
            assert not posted.done()
        assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert posted.result() == 503


def test_a_node_that_is_stopped_between_two_statements_loses_its_turn(url: str) -> None:
    with (
        closing(Database(url)) as database,
        closing(database.connect()) as stopped,
        closing(PostgresStore(url)) as store,
        closing(connect(url)) as other,
    ):
        with suppress(psycopg.OperationalError), stopped.pipeline():
            for text, values in (BEGIN, limits(), TAKE_TURN):
                stopped.execute(text, values or None)
            while not other.execute(
                f"SELECT 1 FROM pg_locks WHERE granted AND pid = {stopped.info.backend_pid} AND locktype = 'advisory'"
            ).fetchall():
                stopped.execute("SELECT 1")
            outcomes = ingest([event(registered())], store.unit_of_work())
        assert outcomes == [Accepted(1)]
        assert stopped.broken


def test_a_connection_that_is_lost_before_the_answer_is_said_to_be_lost(url: str) -> None:
    """So that what was sent is known to be unknown."""
    with closing(Database(url).connect()) as connection:

        def send() -> None:
            with connection.pipeline():
                connection.execute("SELECT pg_sleep(60)")
                with socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
                    line.shutdown(socket.SHUT_RDWR)

        with pytest.raises(UNKNOWN):
            send()
        assert connection.broken


def test_of_several_statements_the_first_that_fails_is_what_is_said(url: str) -> None:
    with closing(Database(url).connect()) as connection:
        for _ in range(20):
            with pytest.raises(psycopg.errors.DivisionByZero):
                execute(connection, [BEGIN, Statement("SELECT 1 / 0"), Statement("SELECT 1"), Statement("ROLLBACK")])
            execute(connection, [Statement("ROLLBACK")])
        assert execute(connection, [Statement("SELECT 1")]) == [[(1,)]]


def test_reads_find_their_way_back_at_once_when_connections_were_ended(url: str) -> None:
    waiting = f"SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND {OF_THIS}"
    with closing(Database(url)) as database, ThreadPoolExecutor(READERS) as threads, closing(connect(url)) as other:
        # given as many reads at a time as there are connections for
        other.execute("SELECT pg_advisory_lock(1)")
        wait = Statement("SELECT pg_advisory_xact_lock_shared(1)")
        reads = [threads.submit(database.read, wait) for _ in range(READERS)]
        wait_until(lambda: len(other.execute(waiting).fetchall()) == READERS)
        other.execute("SELECT pg_advisory_unlock(1)")
        for one in reads:
            one.result()
        # when all of them are ended
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'lockstream'"
        assert len(other.execute(f"{ended} AND datname = current_database()").fetchall()) == READERS
        # then no read notices
        for _ in range(READERS):
            assert database.read(Statement("SELECT 1")) == [[(1,)]]


def test_a_commit_waits_for_the_disk_where_others_do_not(url: str) -> None:
    shown = [BEGIN, limits(), Statement("SHOW synchronous_commit"), COMMIT]
    with closing(connect(url)) as other:
        [(name,)] = other.execute("SELECT current_database()").fetchall()
        for given, wanted in (("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")):
            other.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {given}')
            with closing(Database(url)) as database, closing(Session(database)) as session:
                assert session.execute(shown)[2] == [(wanted,)]

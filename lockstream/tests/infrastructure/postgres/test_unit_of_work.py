"""Batches under the write lock: shared by requests, without reads of whole tables, and after lost connections."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress

import psycopg
import pytest

from lockstream.core.entities.events import Event
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import Batch
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import (
    BEGIN,
    Database,
    Results,
    Session,
    Statement,
    TimeLimits,
    transaction_settings,
)
from lockstream.infrastructure.postgres.statements import TAKE_WRITE_LOCK
from lockstream.infrastructure.postgres.unit_of_work import PostgresUnitOfWork
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.running.database_engine import BATCH_EVENTS, WEIGHT_BYTES, DatabaseEngine
from lockstream.services.running.group_commit import GroupCommit
from lockstream.tests.support.builders import event, registered, reserved
from lockstream.tests.support.databases import connect

END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'lockstream' AND datname = current_database()"
)


class CountingStore(PostgresStore):
    """A store that notes the number of events in each batch."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.batches: list[int] = []

    def unit_of_work(self) -> PostgresUnitOfWork:
        unit_of_work = CountingUnitOfWork(self._session, self.log)
        unit_of_work.batches = self.batches
        return unit_of_work


class CountingUnitOfWork(PostgresUnitOfWork):
    batches: list[int]

    def begin(self, events: Sequence[Event]) -> Batch:
        self.batches.append(len(events))
        return super().begin(events)


class DeafSession(Session):
    """A session that loses the connection after the answer to an INSERT, and does not see the answer."""

    def execute(self, statements: Iterable[Statement]) -> Results:
        sent = list(statements)
        results = super().execute(sent)
        if any(statement.text.startswith("INSERT INTO events") for statement in sent):
            self.close()
            raise psycopg.OperationalError("the answer was lost")
        return results


async def submit(store: PostgresStore, requests: list[list[Event]]) -> list[object]:
    """Submit all requests at once, and return the outcomes of their events."""
    engine = DatabaseEngine(store)
    group_commit = GroupCommit(engine, queue_limit=100_000)
    acknowledgements = [group_commit.submit(events) for events in requests]
    outcomes: list[object] = [outcome for request in acknowledgements for outcome in await request]
    await group_commit.close()
    await engine.close()
    return outcomes


def test_concurrent_requests_share_a_batch(database_url: str) -> None:
    with closing(CountingStore(database_url)) as store:
        outcomes = asyncio.run(submit(store, [[event(registered(f"c{number}"))] for number in range(300)]))
        assert outcomes == [Accepted(position) for position in range(1, 301)]
        assert store.batches == [300]


def test_large_events_are_spread_over_several_batches(database_url: str) -> None:
    filling = "x" * (WEIGHT_BYTES * BATCH_EVENTS // 10)
    with closing(CountingStore(database_url)) as store:
        large = [[event(registered(f"c{number}", filling=filling))] for number in range(12)]
        outcomes = asyncio.run(submit(store, large))
        assert outcomes == [Accepted(position) for position in range(1, 13)]
        assert store.batches == [9, 3]


def test_a_batch_reads_no_table_as_a_whole_after_the_tables_have_grown(database_url: str) -> None:
    """A plan is kept for as long as its connection lives, and these plans were made while the tables were empty."""
    with closing(PostgresStore(database_url)) as store, closing(connect(database_url)) as other:
        for number in range(60):
            ingest([event(registered(f"c{number}-{one}")) for one in range(100)], store.unit_of_work())
            ingest([event(reserved(f"r{number}", f"c{number}-0"))], store.unit_of_work())
        store.close()  # PostgreSQL publishes the statistics of a connection when it ends
        read = other.execute(
            "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY(%s)",
            [["events", "compartments", "reservations", "faults"]],
        ).fetchall()
    assert len(read) == 4
    assert max(rows for _, rows in read) < 60 * 100, read


def test_a_node_that_stops_between_two_statements_loses_the_write_lock(database_url: str) -> None:
    limits = TimeLimits(idle_seconds=1)
    with (
        closing(Database(database_url, limits)) as database,
        closing(database.connect()) as stopped,
        closing(PostgresStore(database_url, limits=limits)) as store,
        closing(connect(database_url)) as other,
    ):
        # given a node that has taken the write lock, and sends nothing more of its round trip
        holds_lock = (
            f"SELECT 1 FROM pg_locks WHERE granted AND pid = {stopped.info.backend_pid} AND locktype = 'advisory'"
        )
        with suppress(psycopg.OperationalError), stopped.pipeline():
            for statement in (BEGIN, transaction_settings(limits), TAKE_WRITE_LOCK):
                stopped.execute(statement.text, statement.values or None)
            while not other.execute(holds_lock).fetchall():
                stopped.execute("SELECT 1")

            # when another node has a batch
            outcomes = ingest([event(registered())], store.unit_of_work())

        # then the batch is kept, and the first node has lost its connection
        assert outcomes == [Accepted(1)]
        assert stopped.broken


def test_a_connection_that_is_lost_between_two_batches_does_not_harm_the_second(database_url: str) -> None:
    with closing(PostgresStore(database_url)) as store, closing(connect(database_url)) as other:
        ingest([event(registered("a"))], store.unit_of_work())
        other.execute(END_CONNECTIONS)
        assert ingest([event(registered("b"))], store.unit_of_work()) == [Accepted(2)]


def test_a_batch_whose_connection_is_lost_before_the_commit_keeps_nothing(database_url: str) -> None:
    registration = registered()
    with closing(PostgresStore(database_url)) as store, closing(connect(database_url)) as other:

        def end_connections(outcomes: object) -> None:
            other.execute(END_CONNECTIONS)

        with pytest.raises(StoreUnavailable, match="The events were not kept"):
            ingest([event(registration)], store.unit_of_work(), end_connections)
        assert ingest([event(registration)], store.unit_of_work()) == [Accepted(1)]


def test_a_batch_whose_commit_is_not_answered_is_found_in_the_log(database_url: str) -> None:
    with (
        closing(PostgresStore(database_url)) as store,
        closing(Database(database_url)) as database,
        closing(DeafSession(database)) as session,
    ):
        assert ingest([event(registered())], PostgresUnitOfWork(session, store.log)) == [Accepted(1)]
        assert store.log.end.position == 1

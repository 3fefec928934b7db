"""How many turns what waits at a node takes."""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from lockstream.core.entities.events import Event
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import BEGIN, COMMIT, Database, Rows, Statement, execute
from lockstream.infrastructure.postgres.unit_of_work import PostgresUnitOfWork
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.running.group_commit import REMOTE_BATCH, REMOTE_EVENT_BYTES, GroupCommit
from lockstream.tests.support.builders import event, registered, reserved
from lockstream.tests.support.databases import connect


class Counted(PostgresUnitOfWork):
    """One that notes how many events came in it."""

    turns: list[int]

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        self.turns.append(len(events))
        super().prefetch(events, wanted)


class Counting(PostgresStore):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.turns: list[int] = []

    def unit_of_work(self) -> PostgresUnitOfWork:
        turn = Counted(self._session, self.log)
        turn.turns = self.turns
        return turn


async def submit(store: PostgresStore, submissions: list[list[Event]]) -> list[object]:
    ingestion = GroupCommit(store, queue_limit=100_000, batch_limit=1)
    told = [ingestion.submit(events) for events in submissions]
    outcomes: list[object] = [outcome for one in told for outcome in await one]
    await ingestion.close()
    return outcomes


def test_what_waits_at_a_node_shares_a_turn(url: str) -> None:
    with closing(Counting(url)) as store:
        outcomes = asyncio.run(submit(store, [[event(registered(f"c{number}"))] for number in range(300)]))
        assert outcomes == [Accepted(position) for position in range(1, 301)]
        assert store.turns == [300]


def test_large_events_take_more_turns(url: str) -> None:
    filling = "x" * (REMOTE_EVENT_BYTES * REMOTE_BATCH // 10)
    with closing(Counting(url)) as store:
        large = [[event(registered(f"c{number}", filling=filling))] for number in range(12)]
        outcomes = asyncio.run(submit(store, large))
        assert outcomes == [Accepted(position) for position in range(1, 13)]
        assert store.turns == [9, 3]


def test_a_turn_reads_no_table_as_a_whole_that_has_grown(url: str) -> None:
    """A plan is kept for as long as the connection lives, and was made when there was nothing yet."""
    with closing(PostgresStore(url)) as store, closing(connect(url)) as other:
        for number in range(60):
            ingest([event(registered(f"c{number}-{one}")) for one in range(100)], store.unit_of_work())
            ingest([event(reserved(f"r{number}", f"c{number}-0"))], store.unit_of_work())
        store.close()  # so that it says what it did
        read = other.execute(
            "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY(%s)",
            [["events", "compartments", "reservations", "faults"]],
        ).fetchall()
    assert len(read) == 4
    assert max(rows for _, rows in read) < 60 * 100, read


END_OTHERS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'lockstream'"


def test_a_connection_that_was_lost_between_two_turns_costs_the_next_one_nothing(url: str) -> None:
    with closing(PostgresStore(url)) as store, closing(connect(url)) as other:
        ingest([event(registered("a"))], store.unit_of_work())
        other.execute(f"{END_OTHERS} AND datname = current_database()")
        assert ingest([event(registered("b"))], store.unit_of_work()) == [Accepted(2)]


def test_a_turn_whose_connection_is_lost_before_its_commit_keeps_nothing_and_says_so(url: str) -> None:
    when = registered()
    with closing(PostgresStore(url)) as store, closing(connect(url)) as other:

        def lose(outcomes: object) -> None:
            other.execute(f"{END_OTHERS} AND datname = current_database()")

        with pytest.raises(StoreUnavailable, match="The events were not kept"):
            ingest([event(when)], store.unit_of_work(), lose)
        assert ingest([event(when)], store.unit_of_work()) == [Accepted(1)]


def test_a_turn_whose_commit_is_not_answered_is_found_to_be_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(PostgresStore(url)) as store:
        execute = store._session.execute

        def lose_the_answer(statements: Iterable[Statement]) -> list[Rows]:
            found = execute(sent := list(statements))
            if any(statement.text.startswith("INSERT INTO events") for statement in sent):
                store._session.close()
                raise psycopg.OperationalError("the answer was lost")
            return found

        monkeypatch.setattr(store._session, "execute", lose_the_answer)
        assert ingest([event(registered())], store.unit_of_work()) == [Accepted(1)]
        assert store.log.end.position == 1


@pytest.mark.skipif(sys.platform != "linux", reason="libpq is traced on Linux only")
def test_what_is_sent_in_one_go_ends_with_what_is_answered(url: str, tmp_path: Path) -> None:
    """A pool in transaction mode takes what comes behind it for the beginning of another transaction."""
    trace = tmp_path / "trace"
    with closing(Database(url).connect()) as connection, trace.open("w") as file:
        connection.pgconn.trace(file.fileno())
        execute(connection, [BEGIN, Statement("SELECT pg_sleep(0.1)"), COMMIT])
        connection.pgconn.untrace()
    sent = [line.split("\t")[3].strip() for line in trace.read_text().splitlines() if "\tF\t" in line]
    assert sent.count("Sync") == 1
    assert sent[-1] == "Sync"

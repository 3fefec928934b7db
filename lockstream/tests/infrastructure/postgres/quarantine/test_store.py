"""The quarantine in a database: nodes that write at once, lost connections, and events that any node accepts."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import psycopg
import pytest
from msgspec.structs import replace

from lockstream.core.entities.quarantine import (
    Discard,
    EntryStatus,
    QuarantineLimits,
    QuarantineTotals,
    with_reused_id,
)
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import (
    BEGIN,
    COMMIT,
    Database,
    Results,
    Session,
    Statement,
    TimeLimits,
    transaction_settings,
)
from lockstream.infrastructure.postgres.quarantine import statements as sql
from lockstream.infrastructure.postgres.quarantine.store import PostgresQuarantine
from lockstream.infrastructure.postgres.shadow_tables import rebuild
from lockstream.infrastructure.postgres.statements import TAKE_WRITE_LOCK
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.databases import connect, execute, ingest_into
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import wait_until
from lockstream.tests.support.quarantine import (
    all_entries,
    body_of,
    id_of,
    malformed,
    numbers_of,
    refused,
    reused,
    write,
)

LIMITS = QuarantineLimits()

END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'lockstream' AND datname = current_database()"
)
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"


@pytest.fixture
def nodes(database_url: str) -> Iterator[list[PostgresQuarantine]]:
    """The quarantines of two nodes."""
    with ExitStack() as stack:
        databases = [stack.enter_context(closing(Database(database_url))) for _ in range(2)]
        yield [stack.enter_context(closing(PostgresQuarantine(database, LIMITS))) for database in databases]


def with_session(database_url: str, session_class: type[Session]) -> tuple[Database, PostgresQuarantine]:
    """Return a quarantine whose connection fails as `session_class` says."""
    database = Database(database_url)
    quarantine = PostgresQuarantine(database, LIMITS)
    quarantine._session = session_class(database)
    return database, quarantine


class DeafSession(Session):
    """A session that loses the connection after the answer to its first COMMIT, and does not see the answer."""

    is_deaf = True

    def execute(self, statements: Iterable[Statement]) -> Results:
        sent = list(statements)
        results = super().execute(sent)
        if self.is_deaf and COMMIT in sent:
            self.is_deaf = False
            self.close()
            raise psycopg.OperationalError("the answer was lost")
        return results


class MuteSession(DeafSession):
    """A session that loses the connection before its first COMMIT."""

    def execute(self, statements: Iterable[Statement]) -> Results:
        sent = list(statements)
        if self.is_deaf and COMMIT in sent:
            self.is_deaf = False
            assert self._connection
            self._connection.close()
        return Session.execute(self, sent)


def test_nodes_that_write_at_once_count_every_arrival(nodes: list[PostgresQuarantine]) -> None:
    # when two nodes write the same ids at the same time, and each some of its own
    barrier = threading.Barrier(2)

    def write_all(node: int) -> None:
        barrier.wait()
        for second in range(20):
            ids = [*range(10), *range(100 + 100 * node, 110 + 100 * node), 1_000 + 20 * node + second]
            arrivals = [refused(number, second) for number in reversed(ids) if number % 2 == node or number < 10]
            write(nodes[node], *arrivals, malformed_counts={"a": 1}, dropped=2, malformed=[malformed(f"{node}")])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write_all, range(2)))

    # then each arrival is counted, and the numbers have no gaps
    entries = all_entries(nodes[0])
    assert {entry.count for entry in entries if entry.event_id < id_of(10)} == {40}
    assert {entry.count for entry in entries if id_of(100) <= entry.event_id < id_of(1_000)} == {20}
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert nodes[1].totals() == QuarantineTotals(
        open={"unknown_compartment": len(entries)}, dropped=80, malformed={"a": 40}
    )
    assert sum(body.count for body in nodes[1].malformed(None, 1_000)) == 40


def test_an_event_that_one_node_accepts_is_gone_on_the_other_at_once(
    nodes: list[PostgresQuarantine], database_url: str
) -> None:
    # given two refused events of different codes, one of which is discarded, and a duplicate with other content
    write(nodes[0], refused(1, code="other"), refused(2), reused(3), refused(4))
    nodes[0].discard(id_of(2), Discard("a test", "2026"))

    # when another node accepts all of them
    ingest_into(database_url, *(registered(f"c{number}", event_id=id_of(number)) for number in (1, 2, 3)))

    # then no node shows those that were refused
    for node in nodes:
        assert [node.entry(id_of(number)) for number in (1, 2)] == [None, None]
        assert numbers_of(all_entries(node)) == [3, 4]
        assert all_entries(node, status=EntryStatus.DISCARDED) == []
        assert node.totals() == QuarantineTotals(open={"event_id_reused": 1, "unknown_compartment": 1})
        assert node.discard(id_of(1), Discard("a test", "2026")) is None
    # and they are no longer stored
    assert execute(database_url, "SELECT number FROM quarantine ORDER BY 1") == [(3,), (4,)]


@pytest.mark.parametrize("new_events", [0, 1, sql.NEW_EVENTS], ids=["all entries", "some", "new events"])
def test_accepted_events_are_found_from_either_side(
    new_events: int, nodes: list[PostgresQuarantine], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After many events, the entries are looked up in the log, and after few, the events among the entries."""
    monkeypatch.setattr(sql, "NEW_EVENTS", new_events)
    for first in range(1, 13, 3):
        # given three events that were refused, before and after others were accepted
        write(nodes[0], *(refused(number) for number in range(first, first + 3)))
        # when two of them are accepted
        ingest_into(database_url, *(registered(f"c{one}", event_id=id_of(one)) for one in (first, first + 1)))
        # then a read finds them, and the other times a write
        if first % 2:
            assert nodes[1].totals().open == {"unknown_compartment": 1 + first // 3}
        else:
            write(nodes[1])
        assert execute(database_url, "SELECT checked_position FROM quarantine_totals") == [(2 + first // 3 * 2,)]
    assert numbers_of(all_entries(nodes[0])) == [3, 6, 9, 12]
    assert execute(database_url, "SELECT count(*) FROM quarantine") == [(4,)]


def test_a_refused_event_that_was_accepted_meanwhile_makes_no_entry(
    nodes: list[PostgresQuarantine], database_url: str
) -> None:
    # given two accepted events, and a log that was compared with the entries since
    ingest_into(database_url, *(registered(f"c{number}", event_id=id_of(number)) for number in (1, 2)))
    write(nodes[0], reused(2))
    # when a node writes that both were refused, as it knows from the time before
    write(nodes[1], refused(1), refused(2), refused(3))
    # then they are not kept, and the duplicate with other content is as before
    assert [(entry.event_id, entry.kind, entry.count) for entry in all_entries(nodes[0])] == [
        (id_of(2), "reused_id", 1),
        (id_of(3), "refused", 1),
    ]
    assert execute(database_url, "SELECT count(*) FROM quarantine") == [(2,)]


@pytest.mark.parametrize("new_events", [0, sql.NEW_EVENTS], ids=["all entries", "new events"])
def test_another_event_that_a_node_accepts_under_an_id_leaves_an_entry_of_a_reused_id(
    new_events: int, nodes: list[PostgresQuarantine], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "NEW_EVENTS", new_events)
    # given three refused events
    write(nodes[0], refused(1), refused(2), refused(3))
    # when another node accepts one of them, and another event under the id of the second one
    ingest_into(database_url, body_of(1), body_of(2, "other"))
    # then a read on any node deletes the first one, and keeps the second one
    expected = [replace(with_reused_id(refused(2), 2), number=2), replace(refused(3), number=3)]
    assert all_entries(nodes[1]) == expected
    assert nodes[0].totals() == QuarantineTotals(open={"event_id_reused": 1, "unknown_compartment": 1})
    # and later writes leave it
    ingest_into(database_url, body_of(9))
    write(nodes[1])
    assert all_entries(nodes[0]) == expected


def test_a_refused_event_arrives_after_another_one_was_accepted_under_its_id(
    nodes: list[PostgresQuarantine], database_url: str
) -> None:
    # given accepted events, compared with the entries since, and an entry of a reused id
    ingest_into(database_url, *(body_of(number, f"other-{number}") for number in (1, 2, 3)))
    write(nodes[0], reused(2))
    # when a node writes that others with their ids were refused, and decided afresh, as it knows from the time before
    write(nodes[1], refused(1), refused(2, 5), refused(3, count=0))
    # then they are kept as reused ids
    assert all_entries(nodes[0]) == [
        replace(with_reused_id(refused(2, 5), 2), first_at=reused(2).first_at, count=2, number=1),
        replace(with_reused_id(refused(1), 1), number=2),
    ]
    # and the next number follows
    write(nodes[0], refused(4))
    assert [entry.number for entry in all_entries(nodes[1])] == [1, 2, 3]


def test_an_event_of_a_damaged_row_is_taken_for_another_one(nodes: list[PostgresQuarantine], database_url: str) -> None:
    """An entry never leaves without proof that its event is in the log."""
    write(nodes[0], refused(1), refused(2))
    ingest_into(database_url, body_of(1), body_of(2))
    execute(database_url, "UPDATE events SET type = 'Unknown' WHERE position = 1")
    write(nodes[0])
    assert all_entries(nodes[0]) == [replace(with_reused_id(refused(1), 1), number=1)]


def test_an_event_that_is_accepted_during_a_write_is_found_by_the_next_one(
    nodes: list[PostgresQuarantine], database_url: str
) -> None:
    class SlowSession(Session):
        """A session during whose transaction another node accepts event 1."""

        def begin(self, statements: Sequence[Statement]) -> Results:
            found = super().begin(statements)
            ingest_into(database_url, registered("c1", event_id=id_of(1)))
            return found

    database, slow = with_session(database_url, SlowSession)
    with closing(database), closing(slow):
        write(slow, refused(1))
        assert nodes[0].entry(id_of(1)) is None
        write(nodes[0])
    assert execute(database_url, "SELECT count(*) FROM quarantine") == [(0,)]


def test_a_write_whose_commit_is_not_answered_is_counted_once(database_url: str) -> None:
    database, quarantine = with_session(database_url, DeafSession)
    with closing(database), closing(quarantine):
        write(quarantine, refused(1), dropped=1)
        write(quarantine, refused(1))
        [entry] = all_entries(quarantine)
        assert (entry.count, quarantine.totals().dropped) == (2, 1)


def test_a_write_whose_connection_is_lost_before_the_commit_changes_nothing(database_url: str) -> None:
    database, quarantine = with_session(database_url, MuteSession)
    with closing(database), closing(quarantine):
        with pytest.raises(StoreUnavailable):
            write(quarantine, refused(1), refused(2), dropped=1, malformed=[malformed("a")])
        assert (all_entries(quarantine), quarantine.malformed(None, 1)) == ([], [])
        assert quarantine.totals() == QuarantineTotals()
        # and the second attempt is counted once
        write(quarantine, refused(1), refused(2), dropped=1, malformed=[malformed("a")])
        assert [entry.count for entry in all_entries(quarantine)] == [1, 1]
        assert quarantine.totals().dropped == 1


def test_a_connection_that_is_lost_between_two_writes_does_not_harm_the_second(
    nodes: list[PostgresQuarantine], database_url: str
) -> None:
    write(nodes[0], refused(1))
    execute(database_url, END_CONNECTIONS)
    write(nodes[0], refused(1))
    execute(database_url, END_CONNECTIONS)
    entry = nodes[0].discard(id_of(1), Discard("a test", "2026"))
    assert entry
    assert entry.count == 2


def test_a_write_that_loses_its_connection_while_it_waits_is_counted_once(
    nodes: list[PostgresQuarantine], database_url: str
) -> None:
    # given a write that waits for that of another node
    with ThreadPoolExecutor() as threads, closing(connect(database_url)) as other:
        other.execute("BEGIN")
        other.execute(sql.TAKE_LOCK.text)
        waiting = threads.submit(write, nodes[0], refused(1))
        wait_until(lambda: execute(database_url, WAITING))

        # when it loses the connection, and the other one ends
        execute(database_url, END_CONNECTIONS)
        wait_until(lambda: execute(database_url, WAITING))
        other.execute("COMMIT")
        waiting.result()

    # then it has counted its arrival
    assert [entry.count for entry in all_entries(nodes[0])] == [1]


def test_a_write_gives_up_after_its_time_limit(database_url: str) -> None:
    with (
        closing(Database(database_url, TimeLimits(write_lock_seconds=0.25))) as database,
        closing(PostgresQuarantine(database, LIMITS)) as quarantine,
        closing(connect(database_url)) as other,
    ):
        other.execute("BEGIN")
        other.execute(sql.TAKE_LOCK.text)
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            write(quarantine, refused(1))
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            quarantine.discard(id_of(1), Discard("a test", "2026"))
        other.execute("COMMIT")
        assert all_entries(quarantine) == []
        write(quarantine, refused(1))


def test_a_read_takes_the_lock_only_if_an_event_of_an_entry_was_accepted(database_url: str) -> None:
    with (
        closing(Database(database_url, TimeLimits(write_lock_seconds=0.25))) as database,
        closing(PostgresQuarantine(database, LIMITS)) as quarantine,
        closing(connect(database_url)) as other,
    ):
        # given an entry, another event that was accepted, and a write of another node that does not end
        write(quarantine, refused(1))
        ingest_into(database_url, body_of(2))
        other.execute("BEGIN")
        other.execute(sql.TAKE_LOCK.text)
        assert numbers_of(all_entries(quarantine)) == [1]
        # when the event of the entry is accepted
        ingest_into(database_url, body_of(1))
        # then a read waits for the lock
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            quarantine.totals()
        other.execute("COMMIT")
        assert quarantine.totals() == QuarantineTotals()


def test_log_and_quarantine_do_not_wait_for_each_other(nodes: list[PostgresQuarantine], database_url: str) -> None:
    with (
        closing(PostgresStore(database_url)) as store,
        closing(connect(database_url)) as log_writer,
        closing(connect(database_url)) as quarantine_writer,
    ):
        quarantine_writer.execute("BEGIN")
        quarantine_writer.execute(sql.TAKE_LOCK.text)
        assert ingest([event(registered())], store.unit_of_work()) == [Accepted(1)]
        assert all_entries(nodes[0]) == []
        quarantine_writer.execute("COMMIT")

        log_writer.execute("BEGIN")
        log_writer.execute(TAKE_WRITE_LOCK.text)
        write(nodes[0], refused(1))
        assert numbers_of(all_entries(nodes[0])) == [1]


def test_a_node_that_stops_within_a_write_loses_the_lock(database_url: str) -> None:
    limits = TimeLimits(idle_seconds=1)
    with (
        closing(Database(database_url, limits)) as database,
        closing(database.connect()) as stopped,
        closing(PostgresStore(database_url, limits=limits)) as store,
        closing(store.quarantine(LIMITS)) as quarantine,
        closing(connect(database_url)) as other,
    ):
        # given a node that has taken the lock, and sends nothing more of its round trip
        holds_lock = (
            f"SELECT 1 FROM pg_locks WHERE granted AND pid = {stopped.info.backend_pid} AND locktype = 'advisory'"
        )
        with suppress(psycopg.OperationalError), stopped.pipeline():
            for statement in (BEGIN, transaction_settings(limits), sql.TAKE_LOCK):
                stopped.execute(statement.text, statement.values or None)
            while not other.execute(holds_lock).fetchall():
                stopped.execute("SELECT 1")

            # when another node writes
            write(quarantine, refused(1))

        # then its arrival is kept, and the first node has lost its connection
        assert numbers_of(all_entries(quarantine)) == [1]
        assert stopped.broken


def test_a_database_that_is_killed_and_started_again_has_counted_each_kept_arrival_once() -> None:
    with (
        PostgresServer() as server,
        closing(PostgresStore(server.url)) as store,
        closing(store.quarantine(LIMITS)) as quarantine,
    ):
        write(quarantine, refused(1))
        server.kill()
        for read in (lambda: all_entries(quarantine), quarantine.totals, lambda: write(quarantine, refused(1))):
            with pytest.raises(StoreUnavailable):
                read()
        server.start()
        write(quarantine, refused(1))
        assert [entry.count for entry in all_entries(quarantine)] == [2]


def test_an_unknown_transaction_was_not_committed(nodes: list[PostgresQuarantine]) -> None:
    """After a crash, the id of a lost transaction may be one that the database has not given to any other yet."""
    assert nodes[0]._was_committed("999999999999") is False


def test_a_value_that_the_database_refuses_is_an_internal_error_and_changes_nothing(
    nodes: list[PostgresQuarantine],
) -> None:
    """A write that is tried again and again would block all later ones."""
    with pytest.raises(psycopg.DataError):
        write(nodes[0], refused(1), refused(2, type="a\0b"))
    assert all_entries(nodes[0]) == []
    write(nodes[0], refused(1))
    assert numbers_of(all_entries(nodes[1])) == [1]


def test_a_rebuild_leaves_the_quarantine_alone(nodes: list[PostgresQuarantine], database_url: str) -> None:
    write(nodes[0], refused(1), malformed=[malformed("a")], dropped=3)
    with closing(Database(database_url)) as database:
        rebuild(database, ignore_progress)
    assert numbers_of(all_entries(nodes[1])) == [1]
    assert [body.body for body in nodes[1].malformed(None, 10)] == ["a"]
    assert nodes[0].totals().dropped == 3


def test_totals_that_an_operator_has_deleted_begin_again(nodes: list[PostgresQuarantine], database_url: str) -> None:
    ingest_into(database_url, registered("c1", event_id=id_of(1)))
    write(nodes[0], refused(2), dropped=3)
    execute(database_url, "TRUNCATE quarantine, quarantine_totals")
    write(nodes[0], refused(1), refused(3), dropped=1)
    assert [(entry.event_id, entry.number) for entry in all_entries(nodes[1])] == [(id_of(3), 1)]
    assert nodes[1].totals() == QuarantineTotals(open={"unknown_compartment": 1}, dropped=1)

"""Totals of the network in PostgreSQL: one row that each batch replaces, whichever node writes the batch."""

import re
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import cycle

import pytest

from lockstream.core.entities.listings import NetworkTotals
from lockstream.core.entities.state import Fault, LockerTotals
from lockstream.core.ports import ignore_progress
from lockstream.core.row_set import RowSet
from lockstream.core.use_cases import catch_up
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres import shadow_tables
from lockstream.infrastructure.postgres.connection import Database, DatabaseRows, Results, Statement
from lockstream.infrastructure.postgres.row_lookup import RowsBefore, change_totals
from lockstream.infrastructure.postgres.shadow_tables import rebuild
from lockstream.infrastructure.postgres.unit_of_work import PostgresUnitOfWork
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.commands.verify_database import verify_database
from lockstream.tests.infrastructure.postgres.plans import blocks_of, explained
from lockstream.tests.support.builders import Body, event, fault_cleared, fault_reported, registered, reserved
from lockstream.tests.support.databases import connect, execute, ingest_into
from lockstream.tests.support.histories import history

BATCHES = 300
"""Batches while a dump goes on. PostgreSQL keeps the rows that each of them deletes."""

MOST_BLOCKS = 60
"""Blocks that a statement may touch: a few for each index entry that it reads or writes, and for the row behind it."""


def totals_of(url: str) -> NetworkTotals:
    with closing(PostgresStore(url)) as store:
        return store.list(lambda lists: lists.network()).value


def assert_verified(url: str) -> None:
    with closing(Database(url)) as database:
        assert verify_database(database, ignore_progress).problems == []


def ingest_each(store: PostgresStore, *bodies: Body) -> None:
    """Ingest each event as a batch of its own."""
    for body in bodies:
        ingest([event(body)], store.unit_of_work())


def test_nodes_that_write_in_turns_count_together(database_url: str) -> None:
    with closing(PostgresStore(database_url)) as one, closing(PostgresStore(database_url)) as other:
        for node, body in zip(cycle([one, other]), history() + history("locker-2"), strict=False):
            ingest_each(node, body)
        assert one.list(lambda lists: lists.network()).value.lockers == 2
    assert_verified(database_url)


def test_a_fault_that_is_cleared_in_its_batch_is_not_open(database_url: str) -> None:
    first, second = fault_reported(4), fault_reported(4)
    ingest_into(database_url, registered(), first, fault_cleared(first), second)
    assert totals_of(database_url).open_faults == {4: 1}
    ingest_into(database_url, fault_cleared(second), fault_reported(0))
    assert totals_of(database_url).open_faults == {0: 1}
    assert_verified(database_url)
    execute(database_url, "DELETE FROM open_fault_totals WHERE count = 0")
    with closing(Database(database_url)) as database:
        assert "the numbers of open faults" in " ".join(verify_database(database, ignore_progress).problems)


def test_a_batch_of_duplicates_and_refused_events_changes_no_totals(database_url: str) -> None:
    bodies = [registered(), fault_reported(1)]
    ingest_into(database_url, *bodies)
    before = totals_of(database_url)
    ingest_into(database_url, *bodies, reserved(compartment="unknown"))
    assert totals_of(database_url) == before


def test_a_batch_that_is_not_committed_changes_no_totals(sample_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = totals_of(sample_url)
    with closing(PostgresStore(sample_url)) as store, monkeypatch.context() as patch:
        patch.setattr(PostgresUnitOfWork, "commit", lambda self, accepted: None)
        ingest_each(store, registered("another"))
    assert totals_of(sample_url) == before
    assert_verified(sample_url)


@pytest.mark.parametrize("last_events", [0, 5_000])
def test_a_rebuild_in_small_chunks_counts_the_same(
    sample_url: str, monkeypatch: pytest.MonkeyPatch, last_events: int
) -> None:
    ingest_into(sample_url, *history("locker-2"))
    before = totals_of(sample_url)
    monkeypatch.setattr(catch_up, "CHUNK_RECORDS", 3)
    monkeypatch.setattr(shadow_tables, "FINAL_BATCH_EVENTS", last_events)
    with closing(Database(sample_url)) as database:
        rebuild(database, ignore_progress)
    assert totals_of(sample_url) == before
    assert_verified(sample_url)


def test_a_start_builds_the_totals_of_a_database_that_has_none(sample_url: str) -> None:
    """A version before kept no totals."""
    before = totals_of(sample_url)
    execute(sample_url, "DROP TABLE network_totals, open_fault_totals; UPDATE progress SET schema = 'a version before'")
    PostgresStore(sample_url, ignore_progress, auto_migrate=True).close()
    assert totals_of(sample_url) == before
    assert_verified(sample_url)


def test_an_old_snapshot_makes_totals_no_dearer(sample_url: str) -> None:
    """PostgreSQL keeps a deleted row for as long as a snapshot may need it, such as the snapshot of a dump."""
    with closing(PostgresStore(sample_url)) as store, closing(connect(sample_url)) as dump:
        # given a dump, and many batches since it began
        dump.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT * FROM network_totals, open_fault_totals")
        ingest_each(store, *(fault_reported(number % 3 + 1) for number in range(BATCHES)))

        # when the totals are read, and when the next batch changes them
        lists = store._listings
        values = {"min_severity": 0, "limit": 9}
        read = lists._statements.totals, lists._statements.open_faults
        statements = [Statement(one.text, one.bind(values)) for one in read]
        reads = [lists._database.read_transaction(lists._beginning, partial(explained, one)) for one in statements]
        writes = lists._database.read_transaction(
            [Statement("BEGIN"), *lists._beginning[3:4]], partial(explained_changes, store.log.end.position)
        )

        # then neither goes through the rows of the batches before
        for plan in [*reads, *writes]:
            assert blocks_of(plan) <= MOST_BLOCKS, plan
            assert not [line for line in plan if re.search("Seq Scan|Bitmap|Sort", line)], plan
        assert store.list(lambda lists: lists.network()).value.open_faults == {1: 101, 2: 100, 3: 100}


def explained_changes(position: int, begun: Results, fetch: Callable[[Statement], DatabaseRows]) -> list[list[str]]:
    """Execute the statements of a batch after `position` that changes all totals, and return their plans."""
    rows = RowSet({}, {}, {}, {})
    rows.save([LockerTotals("new"), *(Fault(f"fault-{severity}", "new", "c", severity) for severity in (1, 2, 3))])
    changes = change_totals(RowsBefore({}, {}), rows, position, position + 1)
    plans = [explained(one, begun, fetch) for one in changes]
    fetch(Statement("ROLLBACK"))
    return plans

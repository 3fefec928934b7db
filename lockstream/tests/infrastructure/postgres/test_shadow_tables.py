"""Rebuilds of the projection: beside readers and other rebuilds, and for nodes of different versions."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from lockstream.core.errors import SchemaMismatch, StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres import shadow_tables
from lockstream.infrastructure.postgres.connection import Database, Session, TimeLimits
from lockstream.infrastructure.postgres.shadow_tables import ShadowTables, is_valid, rebuild
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.databases import connect, execute
from lockstream.tests.support.processes import TIMEOUT_SECONDS

ANOTHER_VERSION = "UPDATE progress SET schema = 'another version'"
"""Turns the projection into that of another version of Lockstream."""


def test_a_rebuild_waits_for_a_reader_of_the_old_tables_and_delays_no_node(
    sample_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = TimeLimits(swap_lock_seconds=0.1, swap_retry_seconds=0.2)
    with (
        closing(PostgresStore(sample_url)) as store,
        closing(Database(sample_url, limits)) as database,
        ThreadPoolExecutor() as threads,
        closing(connect(sample_url)) as reader,
    ):
        # given a program that reads a table, as a dump does
        reader.execute("BEGIN")
        reader.execute("LOCK TABLE faults IN ACCESS SHARE MODE")

        # when the projection is rebuilt meanwhile
        rebuilding = threads.submit(rebuild, database, ignore_progress)
        number = 0
        while caplog.text.count("A long read holds the tables of the projection.") < 3:
            number += 1
            ingest([event(registered(f"c{number}"))], store.unit_of_work())
            assert number < TIMEOUT_SECONDS * 1_000

        # then nodes go on, and the rebuild ends once the program has finished
        assert not rebuilding.done()
        reader.execute("COMMIT")
        rebuilding.result()
        ingest([event(registered("last"))], store.unit_of_work())


def test_a_rebuild_that_another_one_has_overtaken_replaces_nothing(
    sample_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_tables, "FINAL_BATCH_EVENTS", 0)
    with closing(Database(sample_url)) as database, closing(Session(database)) as other:
        overtaken: list[int] = []

        def overtake(reached: int, end: int) -> None:
            if not overtaken:
                overtaken.append(reached)
                ShadowTables(other).create()

        with pytest.raises(StoreUnavailable):
            rebuild(database, overtake)
        assert overtaken
        assert is_valid(other)


def test_a_rebuild_leaves_no_shadow_tables_behind(sample_url: str) -> None:
    with closing(Database(sample_url)) as database, closing(Session(database)) as other:
        ShadowTables(other).create()  # as an interrupted rebuild leaves them
        rebuild(database, ignore_progress)
    schemas = execute(sample_url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'lockstream%'")
    assert schemas == []


def test_a_rebuild_that_finds_a_valid_projection_meanwhile_leaves_it_alone(sample_url: str) -> None:
    tables = "SELECT 'faults'::regclass::oid"
    before = execute(sample_url, tables)
    with closing(Database(sample_url)) as database:
        rebuild(database, ignore_progress, only_if_invalid=True)
        assert execute(sample_url, tables) == before
        rebuild(database, ignore_progress)
        assert execute(sample_url, tables) != before


def test_a_projection_that_nodes_of_another_version_may_use_is_left_to_the_operator(
    sample_url: str, run_command: RunCommand
) -> None:
    execute(sample_url, ANOTHER_VERSION)
    for auto_migrate in (None, False):
        with pytest.raises(SchemaMismatch, match="nodes of that version may use it"):
            PostgresStore(sample_url, ignore_progress, auto_migrate)
    PostgresStore(sample_url, ignore_progress, auto_migrate=True).close()
    execute(sample_url, ANOTHER_VERSION)
    assert run_command("rebuild", DATABASE_URL=sample_url).exit_code == 0
    PostgresStore(sample_url).close()


def test_a_node_accepts_nothing_if_the_projection_belongs_to_another_version(database_url: str) -> None:
    with closing(PostgresStore(database_url)) as store:
        execute(database_url, ANOTHER_VERSION)
        with pytest.raises(StoreUnavailable, match="belongs to another version of Lockstream"):
            ingest([event(registered())], store.unit_of_work())

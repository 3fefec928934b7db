"""Schema versions: an empty database, one of this version, an older or a newer one, and one of another program."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.errors import UndefinedTable
from sqlalchemy import make_url

from lockstream.core.errors import SchemaMismatch, StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import Database
from lockstream.infrastructure.postgres.migrate import SCRIPTS, migrate, newest_version
from lockstream.infrastructure.postgres.statements import TAKE_WRITE_LOCK
from lockstream.infrastructure.rows.tables import PROJECTION_TABLES
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.databases import connect, execute, ingest_into, new_database
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import environment, wait_until

NEWEST = newest_version()
NEWER = NEWEST + 1

QUARANTINE = ["quarantine", "quarantine_malformed", "quarantine_totals"]
ACCESS = ["access_audit", "access_keys", "access_version"]
NODES = ["nodes"]

TO_VERSION_1 = (
    f"DROP TABLE {', '.join([*QUARANTINE, *ACCESS, *NODES])}; ALTER TABLE events DROP COLUMN recorded_by; "
    "UPDATE lockstream_schema SET version = 1"
)
"""Turns tables of the present schema version into those of version 1."""

COLUMNS_OF_EVENTS = (
    "SELECT array_agg(column_name::text || ' ' || data_type ORDER BY ordinal_position) FROM information_schema.columns "
    "WHERE table_name = 'events'"
)

OF_ALEMBIC = "DROP TABLE lockstream_schema; CREATE TABLE alembic_version AS SELECT '0001' AS version_num"
"""Turns tables of schema version 1 into those of development versions, which used Alembic."""


@pytest.fixture(params=["", OF_ALEMBIC], ids=["of version 1", "of Alembic"])
def old_url(empty_database_url: str, request: pytest.FixtureRequest) -> str:
    """The URL of a database of schema version 1, with an event."""
    create_version_1(empty_database_url)
    execute(empty_database_url, request.param or "SELECT 1")
    return empty_database_url


def create_version_1(url: str) -> None:
    """Create the tables of schema version 1, with one event in the log."""
    ingest_into(url, registered("a"))
    execute(url, TO_VERSION_1)
    [(schema,)] = execute(url, COLUMNS_OF_EVENTS)
    with new_database(with_tables=False) as other:
        execute(other, SCRIPTS[1].read_text())
        assert [(schema,)] == execute(other, COLUMNS_OF_EVENTS)


@pytest.fixture
def add_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that adds a newer schema version, whose script it is given, to this version of Lockstream."""

    def add(script: str) -> Path:
        path = tmp_path / f"{NEWER:04}_newer.sql"
        path.write_text(script)
        monkeypatch.setitem(SCRIPTS, NEWER, path)
        return path

    return add


def schema_of(url: str) -> tuple[list[str], list[int]]:
    """Return the names of all tables, and the schema version that the database names, if any."""
    tables = [
        name for (name,) in execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    ]
    versions = execute(url, "SELECT version FROM lockstream_schema") if "lockstream_schema" in tables else []
    return tables, [version for (version,) in versions]


def migrated(url: str, *, only_if_empty: bool = False) -> tuple[int, int]:
    with closing(Database(url)) as database:
        return migrate(database, only_if_empty=only_if_empty)


def test_a_start_creates_the_tables_in_an_empty_database(empty_database_url: str) -> None:
    ingest_into(empty_database_url, registered())
    with closing(PostgresStore(empty_database_url)) as store:
        assert store.log.end.position == 1
    tables = {"events", "lockstream_schema", *QUARANTINE, *ACCESS, *NODES, *(table.name for table in PROJECTION_TABLES)}
    assert schema_of(empty_database_url) == (sorted(tables), [NEWEST])


def test_the_first_start_leaves_no_error_in_the_log_of_the_database() -> None:
    with PostgresServer() as server:
        ingest_into(server.url, registered())
        with closing(server.connect()) as connection, pytest.raises(UndefinedTable):
            connection.execute("SELECT 1 FROM nothing")
        errors = [line for line in server.log.splitlines() if " ERROR: " in line]
        assert len(errors) == 1, errors
        assert '"nothing"' in errors[0]


def test_a_start_without_auto_migrate_creates_no_tables(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"tables do not exist in the database .* Run `lockstream migrate`"):
        PostgresStore(empty_database_url, ignore_progress, auto_migrate=False)
    assert schema_of(empty_database_url) == ([], [])


def test_migrate_reports_what_it_did(empty_database_url: str, run_command: RunCommand) -> None:
    results = [run_command("migrate", DATABASE_URL=empty_database_url) for _ in range(2)]
    assert [(result.exit_code, result.errors) for result in results] == [
        (0, f"The tables now have schema version {NEWEST}.\n"),
        (0, f"The tables already have schema version {NEWEST}.\n"),
    ]


def test_migrate_without_a_database_says_what_to_set(run_command: RunCommand) -> None:
    assert "There is no database to migrate. Set DATABASE_URL" in run_command("migrate").errors


def test_migrate_returns_the_versions_before_and_after(empty_database_url: str) -> None:
    assert [migrated(empty_database_url) for _ in range(2)] == [(0, NEWEST), (NEWEST, NEWEST)]


def test_migrate_upgrades_an_older_version_and_keeps_the_events(
    old_url: str, add_version: Callable[[str], Path]
) -> None:
    # given the tables of an older version, with an event
    add_version("ALTER TABLE events ADD COLUMN note text; CREATE INDEX notes ON events (note)")

    # when they are migrated
    assert [migrated(old_url) for _ in range(2)] == [(1, NEWER), (NEWER, NEWER)]

    # then they have the new version, and nodes go on
    assert schema_of(old_url)[1] == [NEWER]
    assert execute(old_url, "SELECT position, note FROM events") == [(1, None)]
    ingest_into(old_url, registered("b"))


@pytest.mark.parametrize("auto_migrate", [None, False, True], ids=["unset", "false", "true"])
def test_a_start_upgrades_an_older_version_only_with_auto_migrate(auto_migrate: bool | None, old_url: str) -> None:
    before = schema_of(old_url)
    if auto_migrate:
        with closing(PostgresStore(old_url, ignore_progress, auto_migrate)) as store:
            assert store.log.end.position == 1
            assert ingest([event(registered("b"))], store.unit_of_work()) == [Accepted(2)]
        assert schema_of(old_url)[1] == [NEWEST]
        assert set(QUARANTINE) <= set(schema_of(old_url)[0])
    else:
        versions = rf"\(schema version 1; this version needs {NEWEST}\)"
        wanted = rf"older version of Lockstream {versions}\. Run `lockstream migrate`\."
        with pytest.raises(SchemaMismatch, match=wanted):
            PostgresStore(old_url, ignore_progress, auto_migrate)
        assert schema_of(old_url) == before


def test_a_node_of_version_4_goes_on_after_an_upgrade(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a node on tables without the list of nodes
    with monkeypatch.context() as older:
        older.delitem(SCRIPTS, 5)
        store = PostgresStore(empty_database_url)
    with closing(store):
        assert "nodes" not in schema_of(empty_database_url)[0]
        # when they are migrated
        assert migrated(empty_database_url) == (4, NEWEST)
        # then the node goes on, and the list is empty
        assert ingest([event(registered())], store.unit_of_work()) == [Accepted(1)]
    assert execute(empty_database_url, "SELECT count(*) FROM nodes") == [(0,)]


def test_the_command_upgrades_a_database_of_version_1(empty_database_url: str, run_command: RunCommand) -> None:
    create_version_1(empty_database_url)
    result = run_command("migrate", DATABASE_URL=empty_database_url)
    assert (result.exit_code, result.errors) == (0, f"The tables now have schema version {NEWEST}.\n")
    with closing(PostgresStore(empty_database_url, ignore_progress, auto_migrate=False)) as store:
        assert store.log.end.position == 1


@pytest.mark.parametrize("name", [*QUARANTINE, *NODES])
def test_an_upgrade_leaves_tables_of_another_program_alone(name: str, empty_database_url: str) -> None:
    # given a database of version 1, with another program's table
    create_version_1(empty_database_url)
    execute(empty_database_url, f"CREATE TABLE {name} AS SELECT 'a ship in a harbour' AS note")
    before = schema_of(empty_database_url)
    # when it is migrated, then it is refused
    with pytest.raises(SchemaMismatch, match=f"whose names Lockstream needs: {name}\\."):
        migrated(empty_database_url)
    assert schema_of(empty_database_url) == before


def test_tables_of_a_newer_version_are_left_alone(database_url: str, run_command: RunCommand) -> None:
    execute(database_url, "UPDATE lockstream_schema SET version = 9999")
    for auto_migrate in (None, True, False):
        with pytest.raises(SchemaMismatch, match=r"newer version of Lockstream \(schema version 9999; this"):
            PostgresStore(database_url, ignore_progress, auto_migrate)
    result = run_command("migrate", DATABASE_URL=database_url)
    assert (result.exit_code, "newer version" in result.errors) == (1, True)


def test_a_migration_that_a_newer_version_overtakes_is_refused(database_url: str) -> None:
    # given a node that wants to create tables, and waits for another one
    execute(database_url, "UPDATE lockstream_schema SET version = 0")
    with ThreadPoolExecutor() as threads, closing(connect(database_url)) as other:
        other.execute("BEGIN")
        other.execute(TAKE_WRITE_LOCK.text)
        migrating = threads.submit(migrated, database_url)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        wait_until(lambda: execute(database_url, waiting))  # a transaction would see the same activity for ever

        # when the other one is of a newer version
        other.execute("UPDATE lockstream_schema SET version = 9999")
        other.execute("COMMIT")

        # then the tables are not taken for those of this version
        with pytest.raises(SchemaMismatch, match="newer version"):
            migrating.result()


def test_nodes_may_start_at_once_on_an_empty_database(empty_database_url: str) -> None:
    stores: list[PostgresStore] = []
    threads = [threading.Thread(target=lambda: stores.append(PostgresStore(empty_database_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    for number, store in enumerate(stores, 1):
        ingest([event(registered(f"c{number}"))], store.unit_of_work())
        assert store.log.end.position == number
        store.close()


def test_nodes_that_upgrade_at_once_upgrade_once(database_url: str, add_version: Callable[[str], Path]) -> None:
    add_version("ALTER TABLE events ADD COLUMN note text")  # fails if it is executed twice
    with ThreadPoolExecutor(4) as threads:
        versions = list(threads.map(lambda _: migrated(database_url), range(4)))
    assert min(versions) == (NEWEST, NEWER)
    assert set(versions) <= {(NEWEST, NEWER), (NEWER, NEWER)}
    assert schema_of(database_url)[1] == [NEWER]


def test_a_default_isolation_of_the_database_does_not_disturb_nodes_that_start_at_once(empty_database_url: str) -> None:
    """With REPEATABLE READ, the second node would not see the tables that the first one has created meanwhile."""
    [(name,)] = execute(empty_database_url, "SELECT current_database()")
    execute(empty_database_url, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
    with ThreadPoolExecutor(4) as threads:
        versions = list(threads.map(lambda _: migrated(empty_database_url), range(4)))
    assert {after for _, after in versions} == {NEWEST}


def test_a_migration_that_is_killed_half_way_has_changed_nothing(
    empty_database_url: str, tmp_path: Path, add_version: Callable[[str], Path]
) -> None:
    # given a migration that has executed all scripts but the last one, and a part of that
    script = add_version("CREATE TABLE half (id int); SELECT pg_advisory_lock(42)")
    program = (
        "from pathlib import Path\n"
        "from lockstream.infrastructure.postgres.migrate import SCRIPTS\n"
        f"SCRIPTS[{NEWER}] = Path({str(script)!r})\n"
        "from lockstream.presentation.cli.main import main; main(['migrate'])"
    )
    variables = environment(tmp_path / "no-log", DATABASE_URL=empty_database_url)
    with closing(connect(empty_database_url)) as other:
        other.execute("SELECT pg_advisory_lock(42)")
        with subprocess.Popen([sys.executable, "-c", program], env=variables) as process:
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid = 42"
            wait_until(lambda: other.execute(waiting).fetchall())

            # when it is killed
            process.send_signal(signal.SIGKILL)
        other.execute("SELECT pg_advisory_unlock(42)")

    # then nothing has changed, and a later migration does all of it
    assert schema_of(empty_database_url) == ([], [])
    script.write_text("CREATE TABLE half (id int)")
    assert migrated(empty_database_url) == (0, NEWER)
    tables = [*ACCESS, "events", "half", "lockstream_schema", *NODES, *QUARANTINE]
    assert schema_of(empty_database_url) == (tables, [NEWER])


def test_a_migration_whose_script_fails_has_changed_nothing(
    database_url: str, add_version: Callable[[str], Path]
) -> None:
    before = schema_of(database_url)
    add_version("CREATE TABLE half (id int); SELECT 1 / 0")
    with pytest.raises(StoreUnavailable, match="division by zero"):
        migrated(database_url)
    assert schema_of(database_url) == before


@pytest.mark.parametrize(
    "name", ["events", "compartments", "reservations", "faults", "progress", "quarantine", "access_keys", "nodes"]
)
def test_tables_of_another_program_are_left_alone(name: str, empty_database_url: str, run_command: RunCommand) -> None:
    execute(empty_database_url, f"CREATE TABLE {name} AS SELECT 'a table in a restaurant' AS note")
    result = run_command("migrate", DATABASE_URL=empty_database_url)
    assert result.exit_code == 1
    assert f"whose names Lockstream needs: {name}." in result.errors
    with pytest.raises(SchemaMismatch, match=f"whose names Lockstream needs: {name}\\."):
        PostgresStore(empty_database_url)
    assert schema_of(empty_database_url) == ([name], [])
    assert execute(empty_database_url, f"SELECT count(*) FROM {name}") == [(1,)]


def test_tables_of_another_program_that_uses_alembic_are_left_alone(empty_database_url: str) -> None:
    execute(empty_database_url, "CREATE TABLE events (id int); CREATE TABLE alembic_version (version_num text)")
    execute(empty_database_url, "INSERT INTO alembic_version VALUES ('1975ea83b712')")
    with pytest.raises(SchemaMismatch, match=r"whose names Lockstream needs: events\."):
        PostgresStore(empty_database_url)
    assert schema_of(empty_database_url) == (["alembic_version", "events"], [])


def test_a_user_who_may_create_no_tables_is_told_what_to_grant(empty_database_url: str) -> None:
    role = make_url(empty_database_url).database or ""
    execute(empty_database_url, f'CREATE ROLE "{role}" LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC')
    limited = make_url(empty_database_url).set(username=role).render_as_string(hide_password=False)
    try:
        with pytest.raises(StoreUnavailable, match=r"denies Lockstream a permission .* grant that, and start again"):
            PostgresStore(limited)
        execute(empty_database_url, f'GRANT CREATE ON SCHEMA public TO "{role}"')
        with pytest.raises(StoreUnavailable, match="for a rebuild, in the database"):  # it builds the projection
            PostgresStore(limited)
        execute(empty_database_url, f'GRANT CREATE ON DATABASE "{role}" TO "{role}"')
        ingest_into(limited, registered())
    finally:
        execute(empty_database_url, f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_a_database_that_is_not_in_utf8_is_refused() -> None:
    with new_database(with_tables=False) as url:
        name = f"{make_url(url).database}_latin"
        execute(url, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(SchemaMismatch, match="is encoded in LATIN1"):
                PostgresStore(make_url(url).set(database=name).render_as_string(hide_password=False))
        finally:
            execute(url, f"DROP DATABASE {name}")


@pytest.mark.parametrize("damage", ["DROP TABLE faults", "DELETE FROM progress"])
def test_a_start_rebuilds_an_incomplete_projection(damage: str, sample_url: str) -> None:
    execute(sample_url, damage)
    with closing(PostgresStore(sample_url)) as store:
        locker = store.reads.locker("locker-1")
    assert locker
    assert (locker.active_reservations, len(locker.compartments[0].open_faults)) == (1, 1)

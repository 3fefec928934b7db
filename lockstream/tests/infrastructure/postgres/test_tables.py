"""The tables in the database: made, of an older or a newer version, damaged, and made anew beside nodes."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.errors import UndefinedTable

from lockstream.core.errors import SchemaMismatch
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.infrastructure.postgres.tables import execute, take_in
from lockstream.tests.nodes.machine import Machine
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.databases import connect, new_database
from lockstream.tests.support.processes import command


@pytest.fixture
def empty() -> Iterator[str]:
    with new_database(template=False) as url:
        yield url


def test_an_empty_database_is_given_its_tables_by_a_start(empty: str) -> None:
    take_in(empty)
    with closing(PostgresStore(empty)) as store:
        assert store.log.end.position == 3


def test_the_first_start_leaves_no_error_in_the_log_of_the_database() -> None:
    with Machine() as machine:
        take_in(machine.url)
        with closing(machine.connect()) as connection, pytest.raises(UndefinedTable):
            connection.execute("SELECT 1 FROM nothing")
        errors = [line for line in machine.said.splitlines() if " ERROR: " in line]
        assert len(errors) == 1, errors
        assert '"nothing"' in errors[0]


def test_it_is_not_where_a_start_shall_change_nothing(empty: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"are not there\. Run `lockstream migrate`"):
        PostgresStore(empty, ignore_progress, auto_migrate=False)
    with closing(connect(empty)) as connection:
        assert connection.execute("SELECT to_regclass('events')").fetchall() == [(None,)]


def test_tables_of_a_newer_version_are_left_alone(url: str, tmp_path: Path) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for auto_migrate in (None, True, False):
        with pytest.raises(SchemaMismatch, match="of a newer version of Lockstream"):
            PostgresStore(url, ignore_progress, auto_migrate)
    done = command(tmp_path / "no-log", "migrate", DATABASE_URL=url)
    assert (done.returncode, b"newer version" in done.stderr) == (1, True)


def test_tables_of_somebody_else_are_not_taken_for_its_own(empty: str, tmp_path: Path) -> None:
    execute(empty, "CREATE TABLE reservations AS SELECT 'a table in a restaurant' AS what")
    started = command(tmp_path / "no-log", "serve", DATABASE_URL=empty)
    assert (started.returncode, b"names that it would use: reservations." in started.stderr) == (1, True)
    with closing(connect(empty)) as connection:
        assert connection.execute("SELECT count(*) FROM reservations").fetchall() == [(1,)]


def test_migrate_says_what_it_did(empty: str, tmp_path: Path) -> None:
    said = [command(tmp_path / "no-log", "migrate", DATABASE_URL=empty).stderr.decode() for _ in range(2)]
    assert said == ["The tables are of form 0001 now.\n", "The tables were of form 0001 already.\n"]
    without = command(tmp_path / "no-log", "migrate").stderr.decode()
    assert "There is no database to migrate: DATABASE_URL names one." in without


def test_two_nodes_may_start_at_once_on_an_empty_database(empty: str) -> None:
    stores: list[PostgresStore] = []
    threads = [threading.Thread(target=lambda: stores.append(PostgresStore(empty))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    for number, store in enumerate(stores, 1):
        ingest([event(registered(f"c{number}"))], store.unit_of_work())
        assert store.log.end.position == number
        store.close()


def test_a_database_that_is_not_in_utf8_is_refused(tmp_path: Path) -> None:
    with new_database(template=False) as url:
        name = url.split("?")[0].rsplit("/", 1)[1]
        with closing(connect(url)) as connection:
            connection.execute(f"CREATE DATABASE {name}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(SchemaMismatch, match="is in LATIN1"):
                PostgresStore(url.replace(name, f"{name}_latin"))
        finally:
            execute(url, f"DROP DATABASE {name}_latin")


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE faults",
        "DELETE FROM progress",
    ],
)
def test_a_projection_that_is_not_whole_is_made_anew_by_a_start(url: str, damage: str) -> None:
    take_in(url)
    execute(url, damage)
    with closing(PostgresStore(url)) as store:
        locker = store.queries.locker("locker-1")
    assert locker
    assert (locker.active_reservations, len(locker.compartments[0].open_faults)) == (1, 1)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE compartments SET degrading_faults = 7", "differs from the log in 2 places: Compartment"),
        ("DELETE FROM faults", "differs from the log"),
        ('UPDATE events SET payload = \'{"compartment_id":"x"}\' WHERE position = 2', "is damaged at position 2"),
        ("UPDATE events SET recorded_at = 'never' WHERE position = 3", "is damaged at position 3"),
        ("DELETE FROM events WHERE position = 2", "is damaged at position 2"),
        ("DELETE FROM events WHERE position = 3", "differs from the log"),
    ],
)
def test_verify_notices_what_was_changed_by_hand(url: str, damage: str, said: str, tmp_path: Path) -> None:
    take_in(url)
    assert command(tmp_path / "no-log", "verify", DATABASE_URL=url).returncode == 0
    execute(url, damage)
    found = command(tmp_path / "no-log", "verify", DATABASE_URL=url)
    assert found.returncode == 1
    assert said in found.stderr.decode()


@pytest.mark.parametrize("name", ["backup", "repair"])
def test_commands_for_files_say_what_to_do_instead(url: str, name: str, tmp_path: Path) -> None:
    arguments = [name, "copy"] if name == "backup" else [name]
    done = command(tmp_path / "no-log", *arguments, DATABASE_URL=url)
    assert done.returncode == 1
    assert "The log is in a database, as DATABASE_URL says." in done.stderr.decode()


@pytest.mark.parametrize("name", ["verify", "export"])
def test_a_database_without_tables_is_said_to_be_one(empty: str, name: str, tmp_path: Path) -> None:
    done = command(tmp_path / "no-log", name, DATABASE_URL=empty)
    assert done.returncode == 1
    assert "Lockstream's tables are not in the database" in done.stderr.decode()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://somebody:secret@nowhere/x", "postgresql+psycopg://"),
        ("postgresql://somebody:secret@[nowhere/x", "DATABASE_URL is not of the form"),
        ("postgresql://somebody:some@secret@nowhere/x", "are to be percent-encoded"),
        ("postgresql://somebody:5/secret@nowhere/x", "are to be percent-encoded"),
        ("postgresql://somebody:5?x@secret@nowhere/x", "are to be percent-encoded"),
        ("postgresql://somebody:5?x@some/secret@nowhere/x", "are to be percent-encoded"),
        ("postgresql://somebody:5/3?secret@nowhere/x", "are to be percent-encoded"),
        ("postgresql://somebody:secret@127.0.0.1:1/x", "x at 127.0.0.1 cannot be used now"),
        ("postgresql://somebody:some%40%2Fsecret@127.0.0.1:1/x", "x at 127.0.0.1 cannot be used now"),
        ("postgresql:///x?host=127.0.0.1&port=1&password=secret@/", "x at 127.0.0.1 cannot be used now"),
    ],
)
def test_a_password_is_not_shown(url: str, said: str, tmp_path: Path) -> None:
    done = command(tmp_path / "no-log", "verify", DATABASE_URL=url)
    assert done.returncode == 1
    assert said in done.stderr.decode()
    assert b"secret" not in done.stderr

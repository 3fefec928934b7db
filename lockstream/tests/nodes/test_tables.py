"""The tables in the database: made, of an older or a newer version, damaged, and made anew beside nodes."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import StoreUnavailable, WrongSchema
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres import rebuilding
from lockstream.infrastructure.postgres.connecting import Database, Session
from lockstream.infrastructure.postgres.store import PostgresStore
from lockstream.tests.crash.server import PATIENCE_SECONDS, command
from lockstream.tests.given import event, fault_reported, registered, reserved
from lockstream.tests.nodes.fleet import nodes
from lockstream.tests.postgres import connect, new_database, unwatched


@pytest.fixture
def empty() -> Iterator[str]:
    with new_database(template=False) as url:
        yield url


def execute(url: str, statement: str) -> None:
    with closing(connect(url)) as connection:
        connection.execute(statement)


def take_in(url: str) -> None:
    with closing(PostgresStore(url, unwatched)) as store:
        ingest([event(body) for body in (registered(), fault_reported(1), reserved())], store.unit_of_work())


def test_an_empty_database_is_given_its_tables_by_a_start(empty: str) -> None:
    take_in(empty)
    with closing(PostgresStore(empty, unwatched)) as store:
        assert store.log.end.position == 3


def test_it_is_not_where_a_start_shall_change_nothing(empty: str) -> None:
    with pytest.raises(WrongSchema, match=r"are not there\. Run `lockstream migrate`"):
        PostgresStore(empty, unwatched, auto_migrate=False)
    with closing(connect(empty)) as connection:
        assert connection.execute("SELECT to_regclass('events')").fetchall() == [(None,)]


def test_tables_of_a_newer_version_are_left_alone(url: str, tmp_path: Path) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for auto_migrate in (None, True, False):
        with pytest.raises(WrongSchema, match="of a newer version of Lockstream"):
            PostgresStore(url, unwatched, auto_migrate)
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
    threads = [threading.Thread(target=lambda: stores.append(PostgresStore(empty, unwatched))) for _ in range(4)]
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
            with pytest.raises(WrongSchema, match="is in LATIN1"):
                PostgresStore(url.replace(name, f"{name}_latin"), unwatched)
        finally:
            execute(url, f"DROP DATABASE {name}_latin")


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE faults",
        "DELETE FROM progress",
        "UPDATE progress SET schema = 'another version', position = position - 1",
        "UPDATE progress SET position = position - 1",
    ],
)
def test_a_projection_that_is_not_whole_is_made_anew_by_a_start(url: str, damage: str) -> None:
    take_in(url)
    execute(url, damage)
    with closing(PostgresStore(url, unwatched)) as store:
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
        ("DELETE FROM events WHERE position = 3", "does not end where it says"),
    ],
)
def test_verify_notices_what_was_changed_by_hand(url: str, damage: str, said: str, tmp_path: Path) -> None:
    take_in(url)
    assert command(tmp_path / "no-log", "verify", DATABASE_URL=url).returncode == 0
    execute(url, damage)
    found = command(tmp_path / "no-log", "verify", DATABASE_URL=url)
    assert found.returncode == 1
    assert said in found.stderr.decode()


def test_rebuild_mends_rows_beside_nodes_and_says_how_many_lockers_were_wrong(url: str, tmp_path: Path) -> None:
    take_in(url)
    execute(url, "UPDATE compartments SET degrading_faults = 7")
    with nodes(2, tmp_path, url) as [one, other]:
        assert json.loads(one.get("/lockers/locker-1")[1])["degraded_compartments"] == 1
        stopping = threading.Event()
        statuses: list[int] = []

        def post() -> None:
            for number in range(1_000_000):
                if stopping.is_set():
                    return
                statuses.append(one.post(json.dumps(registered(f"c{number}", locker="busy")).encode()))

        posting = threading.Thread(target=post)
        posting.start()
        done = command(tmp_path / "no-log", "rebuild", DATABASE_URL=url)
        stopping.set()
        posting.join()
        assert done.returncode == 0, done.stderr.decode()
        assert "Of the lockers, 1 had another state hash before." in done.stderr.decode()
        assert set(statuses) == {202}
        assert json.loads(other.get("/lockers/locker-1")[1])["degraded_compartments"] == 0
    assert command(tmp_path / "no-log", "verify", DATABASE_URL=url).returncode == 0


def test_a_rebuild_waits_for_whoever_reads_the_old_tables_and_holds_up_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SWITCH_AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(rebuilding, "SWITCH_MILLISECONDS", 100)
    take_in(url)
    with (
        closing(PostgresStore(url, unwatched)) as store,
        closing(Database(url)) as database,
        closing(connect(url)) as copying,
        ThreadPoolExecutor() as threads,
    ):
        copying.execute("BEGIN")
        copying.execute("LOCK TABLE faults IN ACCESS SHARE MODE")
        rebuilt = threads.submit(rebuilding.rebuild, database, unwatched)
        for number in range(20):
            ingest([event(registered(f"c{number}"))], store.unit_of_work())
            time.sleep(0.1)
        assert not rebuilt.done()
        copying.execute("COMMIT")
        assert rebuilt.result() == 0
        ingest([event(registered("last"))], store.unit_of_work())


def test_a_rebuild_that_another_one_has_overtaken_replaces_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "FEW", 0)
    take_in(url)
    with closing(Database(url)) as database, closing(Session(database)) as other:
        overtaken: list[object] = []

        def overtake(reached: object, end: object) -> None:
            if not overtaken:
                overtaken.append(reached)
                rebuilding.TablesBeside(other).make()

        with pytest.raises(StoreUnavailable):
            rebuilding.rebuild(database, overtake)
        assert rebuilding.is_fit(other)


def test_a_projection_that_nodes_of_another_version_may_use_is_left_to_the_operator(url: str, tmp_path: Path) -> None:
    take_in(url)
    execute(url, "UPDATE progress SET schema = 'another version'")
    for auto_migrate in (None, False):
        with pytest.raises(WrongSchema, match="nodes of that version may be at work with it"):
            PostgresStore(url, unwatched, auto_migrate)
    PostgresStore(url, unwatched, auto_migrate=True).close()
    execute(url, "UPDATE progress SET schema = 'another version'")
    assert command(tmp_path / "no-log", "rebuild", DATABASE_URL=url).returncode == 0
    PostgresStore(url, unwatched).close()


def test_a_node_of_another_version_takes_nothing_in(url: str) -> None:
    with closing(PostgresStore(url, unwatched)) as store:
        execute(url, "UPDATE progress SET schema = 'another version'")
        with pytest.raises(StoreUnavailable, match="of another version of Lockstream"):
            ingest([event(registered())], store.unit_of_work())


def test_a_node_of_another_version_is_not_ready_until_the_projection_is_its_own_again(url: str, tmp_path: Path) -> None:
    with nodes(1, tmp_path, url) as [node], closing(connect(url)) as connection:
        [(own,)] = connection.execute("SELECT schema FROM progress").fetchall()
        for schema, status in (("another version", 503), (own, 200)):
            connection.execute("UPDATE progress SET schema = %s", [schema])
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (found := node.get("/health/ready"))[0] != status:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert (b"of another version of Lockstream" in found[1]) == (status == 503)
        assert node.post(json.dumps(registered()).encode()) == 202


@pytest.mark.parametrize("name", ["backup", "repair"])
def test_commands_for_files_say_what_to_do_instead(url: str, name: str, tmp_path: Path) -> None:
    arguments = [name, "copy"] if name == "backup" else [name]
    done = command(tmp_path / "no-log", *arguments, DATABASE_URL=url)
    assert done.returncode == 1
    assert "The log is in a database, as DATABASE_URL says." in done.stderr.decode()


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    wrong = command(tmp_path / "no-log", "serve", DATABASE_URL="mysql://somebody:secret@nowhere/x")
    assert (wrong.returncode, b"postgresql+psycopg://" in wrong.stderr, b"secret" in wrong.stderr) == (1, True, False)
    odd = command(tmp_path / "no-log", "verify", DATABASE_URL="postgresql://somebody:secret@[nowhere/x")
    assert (odd.returncode, b"DATABASE_URL is not of the form" in odd.stderr, b"secret" in odd.stderr) == (
        1,
        True,
        False,
    )
    away = command(tmp_path / "no-log", "verify", DATABASE_URL="postgresql://somebody:secret@127.0.0.1:1/x")
    assert (away.returncode, b"cannot be used now" in away.stderr, b"secret" in away.stderr) == (1, True, False)

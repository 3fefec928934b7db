"""The projection in the database, made anew beside nodes, and nodes of different versions on it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import SchemaMismatch, StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres import shadow_tables as rebuilding
from lockstream.infrastructure.postgres.connection import Database, Session
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.infrastructure.postgres.tables import execute, take_in
from lockstream.tests.nodes.fleet import nodes
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.databases import connect
from lockstream.tests.support.processes import TIMEOUT_SECONDS, command


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
        closing(PostgresStore(url)) as store,
        closing(Database(url)) as database,
        closing(connect(url)) as copying,
        ThreadPoolExecutor() as threads,
    ):
        copying.execute("BEGIN")
        copying.execute("LOCK TABLE faults IN ACCESS SHARE MODE")
        rebuilt = threads.submit(rebuilding.rebuild, database, ignore_progress)
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
                rebuilding.ShadowTables(other).make()

        with pytest.raises(StoreUnavailable):
            rebuilding.rebuild(database, overtake)
        assert rebuilding.is_fit(other)


def test_a_projection_that_nodes_of_another_version_may_use_is_left_to_the_operator(url: str, tmp_path: Path) -> None:
    take_in(url)
    execute(url, "UPDATE progress SET schema = 'another version'")
    for auto_migrate in (None, False):
        with pytest.raises(SchemaMismatch, match="nodes of that version may be at work with it"):
            PostgresStore(url, ignore_progress, auto_migrate)
    PostgresStore(url, ignore_progress, auto_migrate=True).close()
    execute(url, "UPDATE progress SET schema = 'another version'")
    assert command(tmp_path / "no-log", "rebuild", DATABASE_URL=url).returncode == 0
    PostgresStore(url).close()


def test_a_node_of_another_version_takes_nothing_in(url: str) -> None:
    with closing(PostgresStore(url)) as store:
        execute(url, "UPDATE progress SET schema = 'another version'")
        with pytest.raises(StoreUnavailable, match="of another version of Lockstream"):
            ingest([event(registered())], store.unit_of_work())


def test_a_node_of_another_version_is_not_ready_until_the_projection_is_its_own_again(url: str, tmp_path: Path) -> None:
    with nodes(1, tmp_path, url) as [node], closing(connect(url)) as connection:
        [(own,)] = connection.execute("SELECT schema FROM progress").fetchall()
        for schema, status in (("another version", 503), (own, 200)):
            connection.execute("UPDATE progress SET schema = %s", [schema])
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while (found := node.get("/health/ready"))[0] != status:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert (b"of another version of Lockstream" in found[1]) == (status == 503)
        assert node.post(json.dumps(registered()).encode()) == 202

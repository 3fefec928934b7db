"""Two nodes on one database: each counts its own events, and both show the log and the network of all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.presentation.http.routes.telemetry.scrapes import Scrape
from lockstream.tests.support.builders import as_lines, registered
from lockstream.tests.support.databases import execute
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import Server, wait_until


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        yield nodes


def scrape(node: Server) -> Scrape:
    status, body = node.get("/metrics")
    assert status == 200
    return Scrape(body.decode())


def post(node: Server, locker: str, count: int) -> None:
    bodies = [registered(str(number), locker=locker) for number in range(count)]
    assert node.request("POST", "/events/batch", as_lines(*bodies), {"Content-Type": "application/x-ndjson"})[0] == 200


def test_each_node_counts_its_own_events_and_shows_the_log_of_all(nodes: list[Server]) -> None:
    post(nodes[0], "first", 3)
    post(nodes[1], "second", 4)
    found = [scrape(node) for node in nodes]
    accepted = [one.values("lockstream_events_total") for one in found]
    assert accepted == [{("accepted", "CompartmentRegistered"): 3}, {("accepted", "CompartmentRegistered"): 4}]
    for one in found:
        assert one.value("lockstream_log_head_position") == 7
        assert one.value("lockstream_network_lockers") == 2
        assert one.value("lockstream_network_active_lockers") == 2
        assert one.value("lockstream_postgres_lock_seconds_count") == 1
        assert one.value("lockstream_postgres_commit_seconds_count") == 1
        assert (one.value("lockstream_postgres_round_trips_total") or 0) > 2
        assert one.value("lockstream_replica_up") is None


def test_lost_connections_are_counted_and_the_wait_for_the_lock_is_measured(url: str, nodes: list[Server]) -> None:
    before = scrape(nodes[0]).value("lockstream_postgres_connections_total") or 0
    execute(
        url,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    wait_until(lambda: nodes[0].get("/health/ready")[0] == 200)
    post(nodes[0], "third", 1)
    after = scrape(nodes[0])
    assert (after.value("lockstream_postgres_connections_total") or 0) > before
    assert (after.value("lockstream_postgres_lock_seconds_sum") or 0) > 0


def test_a_replica_that_lags_behind_or_is_away_is_told(tmp_path: Path) -> None:
    with (
        PostgresServer() as primary,
        PostgresServer(primary, hot_standby="on") as standby,
        cluster(1, tmp_path, primary.url, LOCKSTREAM_READ_URL=standby.url) as [node],
    ):
        # given a standby that has all events
        post(node, "a", 1)
        wait_until(lambda: scrape(node).value("lockstream_replica_lag_events") == 0)
        assert scrape(node).value("lockstream_replica_up") == 1
        # when it stands still, then the events that it lacks are counted
        standby.execute("SELECT pg_wal_replay_pause()")
        post(node, "b", 2)
        found = scrape(node)
        assert found.value("lockstream_replica_lag_events") == 2
        assert (found.value("lockstream_replica_lag_seconds") or 0) > 0
        # when it is away, then the metrics of the primary are still there
        standby.__exit__()
        found = scrape(node)
        assert found.value("lockstream_replica_up") == 0
        assert found.value("lockstream_replica_lag_events") is None
        assert found.value("lockstream_log_head_position") == 3

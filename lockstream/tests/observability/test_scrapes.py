"""A real Prometheus over three nodes with a database and a server with a file, all under the simulator's load."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from bench.postgres import free_port
from lockstream.core.entities.log import SECOND, START, present_time, recorded_at_of
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.observability.deployed import RECORDED, RULES, dashboard_queries, metrics_in
from lockstream.tests.observability.load import create_key, simulated
from lockstream.tests.observability.prometheus import Prometheus, needs_prometheus
from lockstream.tests.support.builders import event, picked_up, registered
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import Server, wait_until

pytestmark = needs_prometheus

NODES, FILE = "lockstream-nodes", "lockstream-file"
OLD = 2 * 3_600 * SECOND
"""Age of the log in a file, in microseconds. The rate at which a disk fills is known after an hour."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three nodes, which read from the database as from a replica, and a server with a file and a key."""
    folder = tmp_path_factory.mktemp("servers")
    log = folder / "event_log.jsonl"
    lines, _ = encode_lines([event(registered("old"))], recorded_at_of(present_time() - OLD), START)
    log.write_bytes(b"".join(lines))
    with (
        PostgresServer(fsync="off") as database,
        cluster(3, folder, database.url, LOCKSTREAM_READ_URL=database.url) as nodes,
        Server(log, LOCKSTREAM_PORT=str(free_port())).start() as server,
    ):
        for each in (*nodes, server):
            assert each.post(json.dumps(picked_up("unknown")).encode()) == 422
        (folder / "key").write_text(key := create_key(log))
        wait_until(lambda: server.get("/network")[0] == 401)
        with simulated(folder, [nodes[0], nodes[1], server], key):
            yield [*nodes, server]


@pytest.fixture(scope="module")
def prometheus(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    *nodes, server = servers
    jobs = {NODES: [node.port for node in nodes], FILE: [server.port]}
    key = server.log.with_name("key").read_text()
    with Prometheus(tmp_path_factory.mktemp("prometheus") / "home", jobs, key) as prometheus:
        rate = "sum by (job) (rate(lockstream_events_total[30s])) > 0"
        wait_until(lambda: len(prometheus.query(rate)) == 2 and len(prometheus.query("up == 1")) == 4)
        wait_until(lambda: not prometheus.firing())  # without a target yet, all nodes are away
        yield prometheus


def test_each_metric_that_a_rule_or_the_dashboard_names_is_served(prometheus: Prometheus) -> None:
    expressions = [*(rule["expr"] for rule in RULES), *dashboard_queries().values()]
    named = set().union(*map(metrics_in, expressions)) - RECORDED
    served = prometheus.names(NODES) | prometheus.names(FILE)
    assert "lockstream_ready" in named
    assert named - served == set()


def test_each_query_of_the_dashboard_returns_series(prometheus: Prometheus) -> None:
    left = dashboard_queries()
    assert len(left) > 30

    def is_complete() -> bool:
        for panel in [panel for panel, query in left.items() if prometheus.query(query)]:
            del left[panel]
        return not left

    wait_until(is_complete)


def test_a_healthy_network_under_load_raises_no_alert(prometheus: Prometheus) -> None:
    wait_until(lambda: prometheus.query("job:lockstream_failed_requests:ratio5m"))
    assert prometheus.failed_rules() == []
    assert prometheus.firing() == {}


@pytest.mark.parametrize("number", [0, 3], ids=["postgresql", "file"])
def test_promtool_accepts_the_metrics(servers: list[Server], number: int) -> None:
    key = servers[3].log.with_name("key").read_text()
    status, _, scraped = servers[number].request("GET", "/metrics", headers=bearer(key))
    assert status == 200
    done = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")

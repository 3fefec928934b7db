"""The parts of deploy/compose.yaml, started here: PostgreSQL, two nodes, and nginx with deploy/nginx.conf."""

import asyncio
import json
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest

from bench.postgres import free_port
from lockstream.tests.nodes.clients import Clients, post_while
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.daemon import Daemon
from lockstream.tests.nodes.history import assert_legal, read_history
from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server
from lockstream.tests.support.requirements import find_program, requires_program

SHIPPED = (Path(__file__).parents[3] / "deploy/nginx.conf").read_text()
AROUND = """
worker_processes 1;
pid HOME/pid;
events {{ worker_connections 1024; }}
http {{
    log_format upstreams '$status $upstream_addr';
    access_log HOME/requests upstreams;
    client_body_temp_path HOME/body;
    proxy_temp_path HOME/proxy;
    fastcgi_temp_path HOME/fastcgi;
    uwsgi_temp_path HOME/uwsgi;
    scgi_temp_path HOME/scgi;
{shipped}
}}
"""
"""The configuration into which the shipped one is included."""

FORM = "application/x-www-form-urlencoded"

FUTURE = {"Lockstream-Min-Position": "1000000"}
"""A header that demands a position which the log has not reached."""

pytestmark = requires_program("nginx")


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two nodes that all tests here use."""
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def daemon(nodes: list[Server]) -> Iterator[Daemon]:
    """The proxy as a process."""
    with nginx_for([node.port for node in nodes]) as daemon:
        yield daemon


@pytest.fixture
def proxy(daemon: Daemon, tmp_path: Path) -> Server:
    """The proxy as a server that answers as a node does."""
    proxy = Server(tmp_path / "proxy")
    proxy.port = daemon.port
    return proxy


@contextmanager
def nginx_for(ports: list[int], shipped: str = SHIPPED) -> Iterator[Daemon]:
    for number, port in enumerate(ports, 1):
        shipped = replaced(shipped, f"server node-{number}:8000", f"server 127.0.0.1:{port}")
    shipped = replaced(shipped, "listen 8080;", "listen 127.0.0.1:PORT;")
    command = (str(find_program("nginx")), "-e", "stderr", "-p", "HOME", "-c", "HOME/settings", "-g", "daemon off;")
    with Daemon(*command, settings=AROUND.format(shipped=shipped)) as daemon:
        yield daemon


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def answered_by_port(daemon: Daemon) -> Counter[int]:
    """Return how many events each node has answered, by its port."""
    requests = (daemon.home / "requests").read_text()
    return Counter(map(int, re.findall(r"^(?:200|202|409|422) .*?(\d+)$", requests, re.MULTILINE)))


def test_both_nodes_answer_requests_to_the_proxy(url: str, nodes: list[Server], daemon: Daemon, proxy: Server) -> None:
    clients = post_while([proxy], lambda clients: clients.wait_for(200))
    assert_legal(read_history(url), clients.responses)
    assert clients.responses.unavailable <= len(clients.responses.acknowledged) // 100
    assert set(answered_by_port(daemon)) == {node.port for node in nodes}
    summaries = [json.loads(one.get(f"/lockers/{clients.lockers[0]}")[1]) for one in (proxy, *nodes)]
    assert len({summary["state_hash"] for summary in summaries}) == 1
    assert proxy.get("/health/ready")[0] == 200


def test_pages_of_a_history_and_past_states_are_read_through_the_proxy(proxy: Server) -> None:
    # given a locker with five events
    for number in range(5):
        assert proxy.post(json.dumps(registered(f"c{number}", locker="behind")).encode()) == 202
    # when all pages of its history are read by their links, each perhaps from another node
    path, found, query = "/lockers/behind/events", [], "?limit=2"
    while query:
        status, headers, body = proxy.request("GET", path + query)
        assert status == 200
        found += json.loads(body)["items"]
        query = headers.get("link", "").partition(">")[0][1:]
    # then they have each event once
    assert [item["payload"]["compartment_id"] for item in found] == [f"c{number}" for number in range(5)]
    # and each past state is shown, by position and by time with an encoded plus sign
    for count, item in enumerate(found, 1):
        time = quote(item["recorded_at"].replace("Z", "+00:00"), safe="")
        for at in item["position"], time:
            status, headers, body = proxy.request("GET", f"/lockers/behind?at={at}")
            assert (status, headers["lockstream-position"]) == (200, str(item["position"]))
            assert json.loads(body)["compartments"] == count


def test_a_form_of_the_console_comes_from_the_address_that_the_browser_shows(proxy: Server) -> None:
    shown = f"http://127.0.0.1:{proxy.port}"
    for origin, status in ((shown, 303), ("http://evil.example", 403), ("http://nodes", 403)):
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin", "Content-Type": FORM}
        found, answered, body = proxy.request("POST", "/console/quarantine", b"action=none", headers=headers)
        assert found == status, body
        assert answered.get("location") == ("/console/quarantine" if status == 303 else None)


def test_a_request_without_a_host_reaches_a_node(daemon: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), TIMEOUT_SECONDS) as connection:
        connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
        with closing(HTTPResponse(connection)) as response:
            response.begin()
            assert response.status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/keys", "/keys/k/rotate", "/console/keys/new", "/console/quarantine", "/console/sign-in"),
        *("/quarantine/resubmit", "/quarantine/e/resubmit", "/quarantine/e/discard"),
    ],
)
def test_a_form_of_the_console_or_a_change_of_keys_or_quarantine_is_sent_to_one_node_alone(path: str) -> None:
    # given two nodes that answer 503, so that nginx would ask the other one
    with stub_nodes(2) as (ports, asked), nginx_for(ports) as daemon:
        for one, expected in ((path, 1), ("/events", 2)):
            asked.clear()
            proxy = Server(daemon.home)
            proxy.port = daemon.port
            assert proxy.request("POST", one, b"a=1", headers={"Content-Type": FORM})[0] == 503
            assert len(asked) == expected, one


def test_the_proxy_waits_for_a_node_that_decides_many_events_afresh() -> None:
    # given nodes that need longer than the proxy waits for other requests
    impatient = replaced(SHIPPED, "proxy_read_timeout 60s;", "proxy_read_timeout 1s;")
    with stub_nodes(2, seconds=3) as (ports, asked), nginx_for(ports, impatient) as daemon:
        proxy = Server(daemon.home)
        proxy.port = daemon.port
        # when
        _, _, body = proxy.request("POST", "/quarantine/resubmit", b"{}")
        # then the response is that of the one node that was asked
        assert (body, len(asked)) == (b"", 1)
        assert b"No node answers right now" in proxy.request("POST", "/events", b"{}")[2]


def test_the_stream_of_a_page_is_not_held_back(proxy: Server) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT_SECONDS) as connection:
        # given a page that follows the feed through the proxy
        connection.sendall(b"GET /console/api/events/stream?after=head HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        with closing(HTTPResponse(connection)) as response:
            response.begin()
            assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
            # when an event is accepted
            assert proxy.post(json.dumps(registered("streamed", locker="behind")).encode()) == 202
            # then it arrives while the stream goes on
            while b"streamed" not in response.readline():
                pass


@contextmanager
def stub_nodes(count: int, seconds: float = 0) -> Iterator[tuple[list[int], list[str]]]:
    """Give the ports of servers that answer 503 after some seconds, and the list of paths that they were asked for."""
    asked: list[str] = []

    class Unavailable(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            time.sleep(seconds)
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Unavailable) for _ in range(count)]
    for server in servers:
        Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_port for server in servers], asked
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_clients_of_the_proxy_do_not_notice_that_a_node_goes_away_and_comes_back(
    sent: signal.Signals, url: str, nodes: list[Server], daemon: Daemon, proxy: Server
) -> None:
    # when a node goes away while clients post, and comes back
    async def restart(clients: Clients) -> None:
        node = nodes[0]
        await clients.wait_for(200)
        await asyncio.to_thread(node.stop, sent)
        await clients.wait_for(100)
        before = answered_by_port(daemon)[node.port]
        await asyncio.to_thread(node.start)
        while answered_by_port(daemon)[node.port] < before + 10:
            await clients.wait_for(10)

    clients = post_while([proxy], restart)

    # then every request was answered, by the other node if necessary, and every event counts once
    assert clients.responses.unavailable <= len(clients.responses.acknowledged) // 100  # a slow machine may time out
    assert_legal(read_history(url), clients.responses)


def test_responses_with_503_do_not_exclude_a_node_from_other_requests(nodes: list[Server], proxy: Server) -> None:
    # when several concurrent reads demand a position that is not reached, and both nodes answer 503 to each
    with ThreadPoolExecutor() as threads:
        reads = [threads.submit(proxy.request, "GET", "/reservations/R", headers=FUTURE) for _ in range(6)]
    # then each gets the response of a node, and other requests are answered
    assert all(b"the request demands 1,000,000. Send it again in a moment." in read.result()[2] for read in reads)
    assert [proxy.get("/health/ready")[0] for _ in range(6)] == [200] * 6


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (413, b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (17 * 1024 * 1024 + 1)),
        (400, b"GET /lockers/unknown HTTP/1.1\r\nhost: localhost\r\nx: %b\r\n\r\n" % (b"y" * 10_000)),
        (400, b"GET /lockers/%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % (b"y" * 10_000)),
        (400, b"GET / HTTP/1.1\r\nno header\r\n\r\n"),
        (400, b"no HTTP\r\n\r\n"),
        (400, b"TRACE /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"),
        (400, b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ntransfer-encoding: gzip\r\n\r\n"),
        (400, b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n"),
    ],
    ids=["body", "header", "path", "no header", "no HTTP", "method", "encoding", "version"],
)
def test_the_proxy_refuses_a_request_in_the_form_of_a_node(status: int, sent: bytes, daemon: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), TIMEOUT_SECONDS) as connection:
        connection.sendall(sent)
        response = HTTPResponse(connection)
        response.begin()
        assert (response.status, response.headers["content-type"]) == (status, "application/json")
        detail = json.loads(response.read())["detail"]
    assert detail.count("the limit of the proxy") == 1


def test_clients_are_told_to_send_a_request_again_if_no_node_answers(tmp_path: Path) -> None:
    with nginx_for([free_port(), free_port()]) as daemon:
        proxy = Server(tmp_path / "proxy")
        proxy.port = daemon.port
        for _ in range(3):
            status, headers, body = proxy.request("GET", "/health/ready")
            assert (status, headers["retry-after"]) == (503, "1")
            assert "Send the request again" in json.loads(body)["detail"]

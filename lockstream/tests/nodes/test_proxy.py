"""What deploy/compose.yaml starts, started here: PostgreSQL, two nodes, and nginx in front with deploy/nginx.conf."""

import asyncio
import json
import random
import re
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.postgres import free_port
from lockstream.tests.nodes.daemon import Daemon
from lockstream.tests.nodes.fleet import Clients, Heard, assert_legal, history
from lockstream.tests.nodes.machine import Machine
from lockstream.tests.presentation.server.client import RawConnection, get, request
from lockstream.tests.support.processes import Server

SHIPPED = (Path(__file__).parents[3] / "deploy/nginx.conf").read_text()
AROUND = """
worker_processes 1;
pid HOME/pid;
events {{ worker_connections 1024; }}
http {{
    log_format takers '$status $upstream_addr';
    access_log HOME/taken takers;
    client_body_temp_path HOME/body;
    proxy_temp_path HOME/proxy;
    fastcgi_temp_path HOME/fastcgi;
    uwsgi_temp_path HOME/uwsgi;
    scgi_temp_path HOME/scgi;
{shipped}
}}
"""
AHEAD = {"Lockstream-Min-Position": "9"}

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        yield machine


@pytest.fixture
def servers(machine: Machine, tmp_path: Path) -> Iterator[list[Server]]:
    """Two nodes, each at the same port whenever it is started."""
    with ExitStack() as running:
        servers = []
        for number in (1, 2):
            place = tmp_path / f"node-{number}"
            place.mkdir()
            server = Server(place / "no-log", DATABASE_URL=machine.url, LOCKSTREAM_PORT=str(free_port()))
            servers.append(running.enter_context(server))
            server.start()
        yield servers


@contextmanager
def proxy_of(servers: list[Server], folder: Path) -> Iterator[tuple[Server, Daemon]]:
    """The proxy, first as what can be asked something as a node can."""
    shipped = SHIPPED
    for number, server in enumerate(servers, 1):
        shipped = replaced(shipped, f"server node-{number}:8000", f"server 127.0.0.1:{server.port}")
    shipped = replaced(shipped, "listen 8080;", "listen 127.0.0.1:PORT;")
    command = (str(shutil.which("nginx")), "-e", "stderr", "-p", "HOME", "-c", "HOME/settings", "-g", "daemon off;")
    with Daemon(*command, settings=AROUND.format(shipped=shipped)) as daemon:
        proxy = Server(folder / "proxy")
        proxy.port = daemon.port
        yield proxy, daemon


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_both_nodes_take_in_what_comes_through_the_proxy(
    machine: Machine, servers: list[Server], tmp_path: Path
) -> None:
    with proxy_of(servers, tmp_path) as (proxy, daemon):
        heard = asyncio.run(_fight(proxy))
        assert_legal(history(machine.url), heard)
        assert heard.unavailable <= len(heard.acknowledged) // 100
        assert set(_answered(daemon)) == {server.port for server in servers}
        shown = [json.loads(one.get("/lockers/north")[1])["state_hash"] for one in (proxy, *servers)]
        assert len(set(shown)) == 1
        assert proxy.get("/health/ready")[0] == 200


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_node_that_goes_away_and_comes_back_is_not_noticed_behind_the_proxy(
    sent: signal.Signals, machine: Machine, servers: list[Server], tmp_path: Path
) -> None:
    with proxy_of(servers, tmp_path) as (proxy, daemon):

        async def start_again(clients: Clients) -> None:
            away = servers[0]
            await asyncio.to_thread(away.stop, sent)
            await clients.hear(100)
            answered = _answered(daemon)[away.port]
            await asyncio.to_thread(away.start)
            while _answered(daemon)[away.port] < answered + 10:
                await clients.hear(10)

        # when a node goes away while clients post, and comes back
        heard = asyncio.run(_fight(proxy, start_again))
        # then each request was answered, by the other if need be, and each event counts once
        assert heard.unavailable <= len(heard.acknowledged) // 100  # on a slow machine a turn may take too long
        assert_legal(history(machine.url), heard)


def test_what_nodes_answer_with_503_does_not_shut_out_the_other_requests(servers: list[Server], tmp_path: Path) -> None:
    with proxy_of(servers, tmp_path) as (proxy, _):
        # when several reads at once ask for a position that is not there, and both nodes say 503 to each
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(proxy.request, "GET", "/reservations/R", headers=AHEAD) for _ in range(6)]
        # then each hears what a node says, and other requests are answered
        assert all(b"Ask again in a moment" in one.result()[2] for one in asked)
        assert [proxy.get("/health/ready")[0] for _ in range(6)] == [200] * 6


def test_where_no_node_answers_clients_are_told_to_send_it_again(servers: list[Server], tmp_path: Path) -> None:
    with proxy_of(servers, tmp_path) as (proxy, _):
        for server in servers:
            server.stop(signal.SIGTERM)
        for _ in range(3):
            status, headers, said = proxy.request("GET", "/health/ready")
            assert (status, headers["retry-after"]) == (503, "1")
            assert "Send it again." in json.loads(said)["detail"]


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (413, request(content_length=17 * 1024 * 1024 + 1)),
        (400, get(x="y" * 10_000)),
        (400, get("/lockers/" + "y" * 10_000)),
        (400, b"GET / HTTP/1.1\r\nno header\r\n\r\n"),
        (400, b"no HTTP\r\n\r\n"),
        (400, request(method="TRACE")),
        (400, request(transfer_encoding="gzip")),
        (400, b"GET / HTTP/9.9\r\nhost: test\r\n\r\n"),
    ],
    ids=["body", "header", "path", "no header", "no HTTP", "method", "encoding", "version"],
)
def test_what_the_proxy_refuses_is_said_as_a_node_says_it(status: int, sent: bytes, tmp_path: Path) -> None:
    nobody = [Server(tmp_path / f"node-{number}") for number in (1, 2)]
    for server in nobody:
        server.port = free_port()
    with proxy_of(nobody, tmp_path) as (proxy, _), RawConnection(proxy.port) as connection:
        connection.send(sent)
        answer = connection.response()
        assert (answer.status, answer.detail.count("the limit of the proxy")) == (status, 1)


async def _undisturbed(clients: Clients) -> None:
    return


async def _fight(proxy: Server, disturb: Callable[[Clients], Awaitable[None]] = _undisturbed) -> Heard:
    clients = Clients([proxy], random.Random())
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await clients.hear(200)
        await disturb(clients)
        clients.stop()
    return clients.heard


def _answered(daemon: Daemon) -> Counter[int]:
    """How many events each node has given the answer to, by its port."""
    answers = re.findall(r"^(?:200|202|409|422) .*?(\d+)$", (daemon.home / "taken").read_text(), re.MULTILINE)
    return Counter(map(int, answers))

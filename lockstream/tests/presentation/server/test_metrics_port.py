"""LOCKSTREAM_METRICS_PORT serves /metrics alone, without an API key, on the machine itself unless a setting says so."""

import json
import signal
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lockstream.presentation.server.run import _listen_for_metrics
from lockstream.tests.presentation.server.client import event
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command

ADDRESS = r"Metrics are served on http://127\.0\.0\.1:(\d+)/metrics"


class Scraped:
    """A server with a key and a port for its metrics."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = int(server.wait_for_log(ADDRESS)[1])

    def request(self, method: str, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    log = tmp_path_factory.mktemp("scraped") / "event_log.jsonl"
    assert command(log, "keys", "create", "test", "--scope", "read").returncode == 0
    with Server(log, LOCKSTREAM_METRICS_PORT="0") as server:
        yield Scraped(server.listen())


def test_the_port_serves_metrics_without_a_key(scraped: Scraped) -> None:
    assert scraped.server.get("/metrics")[0] == 401
    status, body = scraped.request("GET", "/metrics")
    assert status == 200
    assert "\nlockstream_ready 1.0\n" in body
    assert 'lockstream_http_requests_total{http_response_status_code="4xx",operation="get_metrics"} 1.0' in body
    assert scraped.request("HEAD", "/metrics") == (200, "")


@pytest.mark.parametrize("path", ["/", "/network", "/events", "/docs", "/health/ready", "/metrics/", "//metrics"])
def test_the_port_serves_nothing_else(scraped: Scraped, path: str) -> None:
    assert scraped.request("GET", path)[0] == 404
    assert scraped.request("POST", path)[0] == 404
    assert scraped.request("POST", "/metrics")[0] == 405


def test_without_the_setting_there_is_no_such_port(log_path: Path) -> None:
    with Server(log_path) as server:
        server.start()
        assert "Metrics are served" not in server.stderr
        assert server.get("/metrics")[0] == 200


def test_a_port_in_use_stops_the_start(log_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = command(log_path, "serve", LOCKSTREAM_PORT="0", LOCKSTREAM_METRICS_PORT=str(port))
    assert ended.returncode == 1
    last = ended.stderr.decode().splitlines()[-1]
    assert "running on http://" not in ended.stderr.decode()  # nobody was served
    assert last.startswith(f"lockstream: cannot listen on 127.0.0.1:{port} for metrics: Address already in use. ")
    assert last.endswith("Set LOCKSTREAM_METRICS_HOST and LOCKSTREAM_METRICS_PORT to another address.")


def test_a_port_in_use_is_logged_as_json_if_the_log_is(log_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = command(log_path, "serve", LOCKSTREAM_METRICS_PORT=port, LOCKSTREAM_LOG_FORMAT="json")
    assert ended.returncode == 1
    assert json.loads(ended.stderr.decode().splitlines()[-1])["event_name"] == "start_failed"


def test_a_host_with_several_addresses_is_listened_on_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, found[0]])
    listening = _listen_for_metrics("several", 0)
    assert [one.getsockname()[0] for one in listening] == ["127.0.0.1", "127.0.0.2"]
    for one in listening:
        one.close()


def test_an_open_connection_to_the_port_does_not_hold_up_the_stop(log_path: Path) -> None:
    with Server(log_path, LOCKSTREAM_METRICS_PORT="0") as server:
        scraped = Scraped(server.start())
        assert server.post(event()) == 202
        with socket.create_connection(("127.0.0.1", scraped.port)):
            assert server.stop(signal.SIGTERM) == 0

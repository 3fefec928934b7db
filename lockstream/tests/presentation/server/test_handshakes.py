"""Clients of a server with TLS that never finish the handshake: others are served, and the oldest are disconnected."""

import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from lockstream.presentation.server.protocol import RESERVED_FILES
from lockstream.tests.presentation.server.certificates import Certificate, needs_openssl, new_certificate
from lockstream.tests.presentation.server.client import event
from lockstream.tests.presentation.server.guarded_server import open_sockets
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, wait_until

pytestmark = needs_openssl

FILES = 160
CONNECTIONS = FILES - RESERVED_FILES


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return new_certificate(tmp_path, "server")


@pytest.fixture
def served(certificate: Certificate, log_path: Path) -> Iterator[Server]:
    """A server with TLS that may open few files. At the end it has logged no error, and stops with exit code 0."""
    with_few_files = ["bash", "-c", f'ulimit -n {FILES} && exec "$@"', "with-few-files"]
    with Server(log_path, under=with_few_files, **certificate.settings) as server:
        server.launch()
        server.port = int(server.wait_for_log(r"running on https://127\.0\.0\.1:(\d+) ")[1])
        yield server
        assert server.stop(signal.SIGTERM) == 0
        assert [word for word in ("Traceback", "ERROR", "CRITICAL") if word in server.stderr] == [], server.stderr


def half_open(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS)


def secure(server: Server, certificate: Certificate) -> HTTPSConnection:
    trusting = ssl.create_default_context(cadata=certificate.path.read_text())
    return HTTPSConnection("localhost", server.port, timeout=TIMEOUT_SECONDS, context=trusting)


def status_of_post(connection: HTTPSConnection, number: int) -> int:
    connection.request("POST", "/events", event(f"c{number}"))
    response = connection.getresponse()
    response.read()
    return response.status


def is_disconnected(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_flood_of_handshakes_that_never_finish_takes_no_connection_from_others(
    served: Server, certificate: Certificate
) -> None:
    with ExitStack() as opened, closing(secure(served, certificate)) as kept:
        assert status_of_post(kept, 0) == 202
        for number in range(1, 6):
            # when more clients than the server may have connections never finish their handshakes
            flood = [opened.enter_context(half_open(served)) for _ in range(CONNECTIONS)]
            for client in flood[::2]:
                client.sendall(b"\x16\x03\x01")  # the beginning of a TLS record
            # then open connections go on, and new ones are served
            assert status_of_post(kept, 2 * number) == 202
            with closing(secure(served, certificate)) as new:
                assert status_of_post(new, 2 * number + 1) == 202
            # and a number of files stays free
            wait_until(lambda: open_sockets(served) <= CONNECTIONS + 5)
        assert served.stderr.count("TLS handshake did not finish") == 1


def test_the_oldest_handshake_is_given_up_first(served: Server) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(half_open(served)) for _ in range(CONNECTIONS)]
        newest = [opened.enter_context(half_open(served)) for _ in range(10)]
        wait_until(lambda: all(is_disconnected(client) for client in clients[:10]))
        assert not any(is_disconnected(client) for client in [*clients[10:], *newest])


def test_handshakes_take_no_place_of_connections(served: Server, certificate: Certificate) -> None:
    """If as many connections are open as may be, a handshake gets no place."""
    with ExitStack() as opened:
        connections = [opened.enter_context(closing(secure(served, certificate))) for _ in range(CONNECTIONS)]
        for number, connection in enumerate(connections):
            assert status_of_post(connection, number) == 202
        client = opened.enter_context(half_open(served))
        wait_until(lambda: is_disconnected(client))
        assert {status_of_post(connection, 0) for connection in connections} == {409}

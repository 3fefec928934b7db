"""A real server with TLS: requests, renewed certificates, and clients that do not speak TLS, or not in time."""

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from lockstream.tests.presentation.cli.running_command import running
from lockstream.tests.presentation.server.certificates import Certificate, needs_openssl, new_certificate
from lockstream.tests.presentation.server.client import connected_socket, event, get, request
from lockstream.tests.support.builders import as_lines, registered
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, wait_until

pytestmark = needs_openssl

LISTENS = r"running on https://127\.0\.0\.1:(\d+) "
METRICS = r"Metrics are served on http://127\.0\.0\.1:(\d+)/metrics"
HEADER_SECONDS = 2


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return new_certificate(tmp_path, "server")


@pytest.fixture
def served(certificate: Certificate, log_path: Path) -> Iterator[Server]:
    """A server with TLS. At the end it has logged no error, and stops with exit code 0."""
    seconds = {"LOCKSTREAM_HEADER_SECONDS": str(HEADER_SECONDS), "LOCKSTREAM_BODY_SECONDS": str(TIMEOUT_SECONDS)}
    with Server(log_path, **certificate.settings, **seconds) as server:
        server.launch()
        server.port = int(server.wait_for_log(LISTENS)[1])
        yield server
        assert server.stop(signal.SIGTERM) == 0
        assert [word for word in ("Traceback", "ERROR", "CRITICAL") if word in server.stderr] == [], server.stderr


def trusting(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate.path.read_text())


def connection_to(server: Server, context: ssl.SSLContext) -> HTTPSConnection:
    return HTTPSConnection("localhost", server.port, timeout=TIMEOUT_SECONDS, context=context)


def answer(connection: HTTPSConnection, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
    """Return status and decoded body of the response on an open connection."""
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@contextmanager
def raw_connection(server: Server, context: ssl.SSLContext, receive_buffer: int = 0) -> Iterator[ssl.SSLSocket]:
    plain = connected_socket(server.port, receive_buffer)
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    """Return all that a connection receives until the server closes it."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def shown_certificate(server: Server) -> bytes:
    """Return the certificate that a new connection gets."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS))


def encoded(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.path.read_text())


def test_the_port_of_the_metrics_speaks_plain_http(certificate: Certificate, log_path: Path) -> None:
    with Server(log_path, **certificate.settings, LOCKSTREAM_METRICS_PORT="0") as server:
        server.launch()
        server.port = int(server.wait_for_log(LISTENS)[1])
        port = int(server.wait_for_log(METRICS)[1])
        metrics = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        with closing(metrics), closing(connection_to(server, trusting(certificate))) as connection:
            assert answer(connection, "POST", "/events", event())[0] == 202
            metrics.request("GET", "/metrics")
            response = metrics.getresponse()
            assert (response.status, b"\nlockstream_log_head_position 1.0\n" in response.read()) == (200, True)
        assert server.stop(signal.SIGTERM) == 0


def test_events_batches_and_reads_are_served_on_one_connection(served: Server, certificate: Certificate) -> None:
    with closing(connection_to(served, trusting(certificate))) as connection:
        assert answer(connection, "POST", "/events", event())[0] == 202
        lines = as_lines(*(registered(f"c{number}", note="x" * 200) for number in range(3_000)))
        status, items = answer(connection, "POST", "/events/batch", lines, Content_Type="application/x-ndjson")
        assert (status, {item["status"] for item in items}) == (200, {202})
        assert answer(connection, "GET", "/lockers/locker-1")[1]["compartments"] == 3_001
        assert len(answer(connection, "GET", "/lockers/locker-1/state")[1]["compartments"]) == 3_001


@pytest.mark.parametrize("connection_header", ["close", "keep-alive"])
def test_slow_clients_get_all_of_their_responses(
    served: Server, certificate: Certificate, connection_header: str
) -> None:
    # given unread responses of 2.6 to 4 MB, one of which exceeds the buffers of both kernels by less than 64 KiB
    lines = as_lines(*(registered(f"c{number}", note="x" * 1_000) for number in range(4_000)))
    with ExitStack() as opened:
        connection = opened.enter_context(closing(connection_to(served, trusting(certificate))))
        assert answer(connection, "POST", "/events/batch", lines, Content_Type="application/x-ndjson")[0] == 200
        slow: dict[ssl.SSLSocket, bytes] = {}
        for limit in range(2_000, 3_000, 40):
            client = opened.enter_context(raw_connection(served, trusting(certificate), receive_buffer=4096))
            client.sendall(get(f"/events?after=0&limit={limit}", connection=connection_header))
            slow[client] = client.recv(1_000)
        # when the clients read nothing for a longer time than an idle connection has
        time.sleep(HEADER_SECONDS + 2)
        # then no response lacks its end
        for client in slow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        with ThreadPoolExecutor(len(slow)) as threads:  # kept connections end together, once they were idle
            rests = list(threads.map(received, slow))
        for begun, rest in zip(slow.values(), rests, strict=True):
            head, _, body = (begun + rest).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}\r\n" in f"{head.decode()}\r\n"


def test_a_stream_that_nobody_reads_delays_no_stop(certificate: Certificate, log_path: Path) -> None:
    lines = as_lines(*(registered(f"c{number}", note="x" * 1_000) for number in range(9_000)))
    with Server(log_path, **certificate.settings, LOCKSTREAM_STOP_SECONDS=str(2 * TIMEOUT_SECONDS)) as server:
        # given a stream with more events than the systems of both sides take at once
        server.launch()
        server.port = int(server.wait_for_log(LISTENS)[1])
        with closing(connection_to(server, trusting(certificate))) as connection:
            assert answer(connection, "POST", "/events/batch", lines, Content_Type="application/x-ndjson")[0] == 200
        with raw_connection(server, trusting(certificate), receive_buffer=4096) as unread:
            unread.sendall(get("/events/stream?after=0"))
            assert unread.recv(1_000).startswith(b"HTTP/1.1 200 ")
            time.sleep(1)  # so that the server has sent what it can
            # when the server is stopped, then it does not wait for the client
            assert server.stop(signal.SIGTERM) == 0
        assert [word for word in ("Traceback", "ERROR") if word in server.stderr] == [], server.stderr


def test_the_oldest_version_is_1_2(served: Server, certificate: Certificate) -> None:
    with raw_connection(served, trusting(certificate)) as newest:
        assert newest.version() == "TLSv1.3"
    context = trusting(certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with raw_connection(served, context) as older:
        assert older.version() == "TLSv1.2"


def test_a_stream_is_sent_as_events_come(served: Server, certificate: Certificate) -> None:
    with closing(connection_to(served, trusting(certificate))) as reader:
        reader.request("GET", "/events/stream?after=head")
        stream = reader.getresponse()
        assert stream.status == 200
        with closing(connection_to(served, trusting(certificate))) as writer:
            assert answer(writer, "POST", "/events", event("streamed"))[0] == 202
        while b"streamed" not in (line := stream.readline()):
            assert line


def test_a_renewed_certificate_is_taken_up_while_connections_stay_open(
    served: Server, certificate: Certificate, tmp_path: Path
) -> None:
    # given an open connection
    before, renewed = encoded(certificate), new_certificate(tmp_path, "renewed")
    assert shown_certificate(served) == before
    with closing(connection_to(served, trusting(certificate))) as connection:
        assert answer(connection, "POST", "/events", event("before"))[0] == 202
        first = connection.sock
        # when the certificate is renewed
        certificate.replace_by(renewed)
        os.kill(served.pid, signal.SIGHUP)
        # then new connections get it
        wait_until(lambda: shown_certificate(served) != before)
        assert shown_certificate(served) == encoded(renewed)
        # and the open one goes on
        assert answer(connection, "POST", "/events", event("after"))[0] == 202
        assert connection.sock is first


def test_a_broken_renewal_keeps_the_certificate(certificate: Certificate, log_path: Path) -> None:
    with Server(log_path, **certificate.settings) as server:
        server.launch()
        server.port = int(server.wait_for_log(LISTENS)[1])
        before = shown_certificate(server)
        # when the key is replaced alone
        certificate.key.write_bytes(new_certificate(certificate.path.parent, "another").key.read_bytes())
        os.kill(server.pid, signal.SIGHUP)
        # then an error says so, and connections get the certificate of before
        server.wait_for_log("ERROR .* does not belong to the certificate .* The last certificate stays in use")
        assert shown_certificate(server) == before
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr


def test_a_hangup_does_nothing_to_a_server_without_tls(log_path: Path) -> None:
    with Server(log_path).start() as server:
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_log("SIGHUP does nothing")
        assert server.post(event()) == 202
        assert server.stop(signal.SIGTERM) == 0


def test_plain_http_is_hung_up_on(served: Server, certificate: Certificate) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT_SECONDS) as plain:
        plain.sendall(get())
        with suppress(ConnectionResetError):
            assert b"HTTP" not in received(plain)
    with closing(connection_to(served, trusting(certificate))) as connection:
        assert answer(connection, "POST", "/events", event())[0] == 202


def test_a_handshake_that_stalls_ends_with_the_time_for_headers(served: Server) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT_SECONDS) as silent:
        assert received(silent) == b""


def test_headers_that_stall_get_408(served: Server, certificate: Certificate) -> None:
    with raw_connection(served, trusting(certificate)) as connection:
        connection.sendall(get()[:-2])
        response = connection.recv(65_536)
        assert response.startswith(b"HTTP/1.1 408 ")
        assert b"LOCKSTREAM_HEADER_SECONDS" in response


def test_malformed_http_gets_400(served: Server, certificate: Certificate) -> None:
    with raw_connection(served, trusting(certificate)) as connection:
        connection.sendall(b"NOT HTTP\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_closes_before_its_response_harms_nothing(served: Server, certificate: Certificate) -> None:
    with raw_connection(served, trusting(certificate)) as connection:
        connection.sendall(request(event()))
    with closing(connection_to(served, trusting(certificate))) as connection:
        wait_until(lambda: answer(connection, "GET", "/lockers/locker-1")[0] == 200)


def test_a_client_that_does_not_answer_the_close_does_not_delay_the_stop(
    served: Server, certificate: Certificate
) -> None:
    with raw_connection(served, trusting(certificate)) as connection:
        connection.sendall(get())
        assert connection.recv(65_536)
        assert served.stop(signal.SIGTERM) == 0
        assert "ERROR" not in served.stderr
        served.launch()  # for the fixture, which stops it
        served.wait_for_log(LISTENS)


def test_commands_follow_and_post_over_tls(served: Server, certificate: Certificate, log_path: Path) -> None:
    url, trusted = f"https://localhost:{served.port}", str(certificate.path)
    day = "--lockers", "1", "--days", "1", "--start", "2026-01-05"  # some days have no event
    ended = command(log_path, "simulate", *day, "--post", url, SSL_CERT_FILE=trusted)
    assert ended.returncode == 0, ended.stderr
    assert log_path.read_bytes()
    with running(log_path, "follow", url, "--after", "0", SSL_CERT_FILE=trusted) as following:
        wait_until(lambda: following.output == log_path.read_bytes())
        assert following.stop(signal.SIGINT) == 0
    listed = command(log_path, "quarantine", "list", url, SSL_CERT_FILE=trusted)
    assert listed.returncode == 0, listed.stderr


def test_a_command_that_does_not_trust_the_certificate_says_how_to(served: Server, log_path: Path) -> None:
    ended = command(log_path, "follow", f"https://localhost:{served.port}")
    assert ended.returncode == 1
    assert "its certificate is not trusted: self-signed certificate; SSL_CERT_FILE names an authority" in (
        ended.stderr.decode()
    )

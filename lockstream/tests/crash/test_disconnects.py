"""Clients that disconnect or stall within a request: no other client notices, and the server logs no error."""

import json
import signal
import socket
import struct
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from lockstream.tests.support.builders import registered
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

HEAD = b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"

STALLED_BODIES = HEAD, HEAD + b"{", HEAD + b'{"event_id":', HEAD + b"{" * 999


def wait_until_read(server: Server) -> None:
    """Wait until the server has read all that was sent before: the event loop reads connections in that order."""
    assert server.get("/health/live")[0] == 200


def test_a_client_that_disconnects_within_a_request_disturbs_nobody(log_path: Path) -> None:
    acknowledged = 0
    with Server(log_path).start() as server:
        for sent, reset in product((HEAD[:30], *STALLED_BODIES), (False, True)):
            for _ in range(5):
                # given a client that has sent a part of a request
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.sendall(sent)
                    wait_until_read(server)
                    # when it closes or resets the connection
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # then other clients are served
                assert server.post(json.dumps(registered(f"c{acknowledged}")).encode()) == 202
                acknowledged += 1
        # then the server has logged no error
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        assert "ERROR" not in server.stderr
        assert "Traceback" not in server.stderr
    assert len(audited(log_path)) == acknowledged


def test_idle_and_stalled_connections_do_not_keep_a_server_from_stopping(log_path: Path) -> None:
    with Server(log_path, LOCKSTREAM_STOP_SECONDS="1").start() as server, ExitStack() as stack:

        def connected() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS))

        # given an idle client, and clients that have each sent a part of a request
        assert server.post(json.dumps(registered()).encode()) == 202
        idle = connected()
        idle.sendall(b"GET /lockers/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert idle.recv(1)
        stalled = [connected() for _ in STALLED_BODIES]
        for client, sent in zip(stalled, STALLED_BODIES, strict=True):
            client.sendall(sent)
        wait_until_read(server)
        # when the server is stopped, then it exits with success, and no client gets a response that claims success
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        assert "Traceback" not in server.stderr, server.stderr
        for client in stalled:
            response = client.recv(1000)
            assert response == b"" or response.startswith(b"HTTP/1.1 503 ")
    assert len(audited(log_path)) == 1

"""Clients that hang up, or stall, in the middle of a request: nobody else notices, and nobody is told of a fault."""

import json
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

from lockstream.tests.support.builders import registered
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

HEAD = b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
GRACE_SECONDS = 1


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("sent", [HEAD[:30], HEAD, HEAD + b'{"event_id":', HEAD + b"{" * 999], ids=len)
def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(
    log_path: Path, sent: bytes, reset: bool
) -> None:
    with Server(log_path).start() as server:
        for number in range(5):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(sent)
                time.sleep(0.05)  # so that the server has begun to wait for the rest
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert server.post(json.dumps(registered(f"c{number}")).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        assert "ERROR" not in server.stderr
        assert "Traceback" not in server.stderr
    assert len(audited(log_path)) == 5


@pytest.mark.parametrize("sent", [HEAD, HEAD + b'{"event_id":', HEAD + b"{" * 999], ids=len)
def test_a_request_that_never_comes_to_its_end_neither_keeps_a_server_from_stopping_nor_is_a_fault(
    log_path: Path, sent: bytes
) -> None:
    with (
        Server(log_path, LOCKSTREAM_STOP_SECONDS=str(GRACE_SECONDS)).start() as server,
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS) as half,
    ):
        assert server.post(json.dumps(registered()).encode()) == 202
        half.sendall(sent)
        time.sleep(0.1)
        code = server.stop(signal.SIGTERM)
        assert code == 0, server.stderr
        assert "Traceback" not in server.stderr, server.stderr
        answer = half.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ")
    assert len(audited(log_path)) == 1

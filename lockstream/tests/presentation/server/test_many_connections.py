"""Very many connections, most of which are idle: other clients are served."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lockstream.presentation.server.protocol import RESERVED_FILES
from lockstream.tests.presentation.server.client import RawConnection, event, get, request
from lockstream.tests.presentation.server.guarded_server import (
    BODY_SECONDS,
    SHORT_LIMITS,
    bounded_memory,
    guarded,
    open_sockets,
    wait_for_closed_sockets,
)
from lockstream.tests.presentation.server.manual_clock import pass_seconds
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server
from lockstream.tests.support.requirements import requires_program

CONNECTIONS = 2000
BEGINNINGS = [b"", b"POST /events HTT", request(b"{", content_length=60_000), get()]
"""Bytes that clients send before they become idle."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process, and the server that it starts, open enough files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may not open more than {hard} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_idle_connections_disturb_no_other_client(log_path: Path, many_files: None) -> None:
    with guarded(log_path, SHORT_LIMITS) as served, bounded_memory(served), ExitStack() as opened:
        connections = [opened.enter_context(served.connect()) for _ in range(CONNECTIONS)]
        for number, connection in enumerate(connections):
            connection.send(BEGINNINGS[number % len(BEGINNINGS)])
        served.assert_serves_others()
        # the clients never close: the server refuses incomplete requests, and disconnects after the same time again
        pass_seconds(2 * (BODY_SECONDS + 1), *connections)
        wait_for_closed_sockets(served.process, 10)


@requires_program("prlimit")
def test_a_server_that_may_open_no_more_files_goes_on_serving(log_path: Path) -> None:
    with Server(log_path, under=["prlimit", "--nofile=128:128"]).start() as server:
        with ExitStack() as opened, RawConnection(server.port) as first:
            for _ in range(300):
                opened.enter_context(RawConnection(server.port))
            for number in range(500):
                first.send(request(event(f"c{number}")))
                assert first.response().status == 202
        wait_for_closed_sockets(server, 10)
        assert server.post(event()) == 202
        assert server.get("/lockers/locker-1")[0] == 200
        assert "Traceback" not in server.stderr


def test_connections_leave_open_files_for_requests(log_path: Path) -> None:
    """Connections beyond the limit of open files are closed, which is logged once."""
    files = 160
    with_few_files = ["bash", "-c", f'ulimit -n {files} && exec "$@"', "with-few-files"]
    with Server(log_path, under=with_few_files).start() as server, ExitStack() as opened:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)) as good:
            for number in range(3):
                good.request("POST", "/events", event(f"c{number}", locker="good"))
                assert good.getresponse().read()
                for _ in range(60):
                    opened.enter_context(RawConnection(server.port))
                good.request("GET", "/lockers/good")
                response = good.getresponse()
                assert (response.status, json.loads(response.read())["compartments"]) == (200, number + 1)
        assert open_sockets(server) < files - RESERVED_FILES + 10
        assert server.stop(signal.SIGTERM) == 0
        assert server.stderr.count("ulimit -n") == 1
        assert "Traceback" not in server.stderr

"""Very many connections, most of which want nothing: whoever wants something is served."""

import json
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lockstream.tests.presentation.server.client import Wire, event, get, guarded, request, wait_for_sockets
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

CROWD = 2000
BEGINNINGS = [b"", b"POST /events HTT", request(b"{", content_length=60_000), get()]
"""What they say before they fall silent."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Have this process, and the server that it starts, be allowed enough open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no more than {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_idle_connections_keep_nobody_from_being_served(log_path: Path, many_files: None) -> None:
    with (
        guarded(log_path, LOCKSTREAM_HEADER_SECONDS="8", LOCKSTREAM_BODY_SECONDS="8") as served,
        ExitStack() as crowd,
    ):
        for number in range(CROWD):
            wire = crowd.enter_context(served.wire())
            wire.send(BEGINNINGS[number % len(BEGINNINGS)])
        served.regulars.go_on()
        # their clients never close them: the server does
        wait_for_sockets(served.server, 10)


def test_connections_beyond_what_the_system_allows_break_nothing(log_path: Path) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("prlimit is not installed")
    with Server(log_path, under=["prlimit", "--nofile=128:128"]).start() as server:
        with ExitStack() as crowd, Wire(server.port) as first:
            for _ in range(300):
                crowd.enter_context(Wire(server.port))
            for number in range(500):
                first.send(request(event(f"c{number}")))
                assert first.answer().status == 202
        wait_for_sockets(server, 10)
        assert server.post(event()) == 202
        assert server.get("/lockers/locker-1")[0] == 200
        assert "Traceback" not in server.stderr


def test_connections_leave_files_for_whoever_is_served(log_path: Path) -> None:
    few = ["bash", "-c", 'ulimit -n 160 && exec "$@"', "few"]
    with Server(log_path, under=few).start() as server, ExitStack() as crowd:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)) as good:
            for number in range(3):
                good.request("POST", "/events", event(f"c{number}", locker="good"))
                assert good.getresponse().read()
                for _ in range(60):
                    crowd.enter_context(Wire(server.port))
                good.request("GET", "/lockers/good")
                answer = good.getresponse()
                assert (answer.status, json.loads(answer.read())["compartments"]) == (200, number + 1)
        assert server.stop(signal.SIGTERM) == 0
        assert server.stderr.count("ulimit -n") == 1
        assert "Traceback" not in server.stderr

"""Addresses that a server can listen on: a Unix socket, and IPv6."""

import signal
import socket
import subprocess
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from lockstream.tests.presentation.server.client import event
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command

SOCKET = "lockstream.sock"
"""The socket's path, relative to the working directory of server and tests: an absolute one may be too long."""

LISTENS_ON_SOCKET = rf"running on unix socket {SOCKET} "
LISTENS_ON_IPV6 = r"running on http://\[::1\]:(\d+) "


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def socket_client() -> httpx.Client:
    transport = httpx.HTTPTransport(uds=SOCKET)
    return httpx.Client(transport=transport, base_url="http://lockstream", timeout=TIMEOUT_SECONDS)


def last_line(ended: subprocess.CompletedProcess[bytes]) -> str:
    """Return the last line of standard error, after checking that it contains no traceback."""
    stderr = ended.stderr.decode()
    assert "Traceback" not in stderr
    return stderr.splitlines()[-1]


def test_a_server_listens_on_a_unix_socket_and_replaces_that_of_a_killed_server(log_path: Path) -> None:
    with Server(log_path, LOCKSTREAM_UNIX_SOCKET=SOCKET) as server:
        # given the socket of a server that was killed, with permissions of its own
        server.launch()
        server.wait_for_log(LISTENS_ON_SOCKET)
        with socket_client() as client:
            assert client.post("/events", content=event()).status_code == 202
            Path(SOCKET).chmod(0o600)
            server.kill()
        assert Path(SOCKET).is_socket()
        # when another server is started
        server.launch()
        server.wait_for_log(LISTENS_ON_SOCKET)
        # then it listens there, with the same permissions
        with socket_client() as client:
            assert client.get("/lockers/locker-1").json()["compartments"] == 1
        assert Path(SOCKET).stat().st_mode & 0o777 == 0o600
        # and a signal stops it
        assert server.stop(signal.SIGTERM) == 0
        assert [word for word in ("http://", "Traceback", "ERROR") if word in server.stderr] == []


def test_a_server_does_not_take_the_socket_of_a_running_process(log_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(SOCKET)
        other.listen()
        ended = command(log_path, "serve", LOCKSTREAM_UNIX_SOCKET=SOCKET)
        client.connect(SOCKET)
    assert ended.returncode == 1
    assert last_line(ended) == (
        f"lockstream: another process already listens on {SOCKET}. Stop it, or set LOCKSTREAM_UNIX_SOCKET to another "
        "path."
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/lockstream.sock", "No such file or directory"),
        ("a file", "Address 'a file' is already in use"),
    ],
    ids=["in a missing folder", "of another file"],
)
def test_a_server_that_cannot_create_its_socket_says_why(log_path: Path, path: str, reason: str) -> None:
    (log_path.parent / "a file").write_text("content")
    ended = command(log_path, "serve", LOCKSTREAM_UNIX_SOCKET=path)
    assert ended.returncode == 1
    assert last_line(ended) == (
        f"lockstream: cannot listen on {path}: {reason}. Set LOCKSTREAM_UNIX_SOCKET to another path, in an existing "
        "folder."
    )
    assert b"Application shutdown complete" in ended.stderr
    assert (log_path.parent / "a file").read_text() == "content"


@needs_ipv6
def test_a_server_listens_on_ipv6_and_logs_its_address(log_path: Path) -> None:
    with Server(log_path, LOCKSTREAM_HOST="::1") as server:
        server.launch()
        port = int(server.wait_for_log(LISTENS_ON_IPV6)[1])
        with closing(HTTPConnection("::1", port, timeout=TIMEOUT_SECONDS)) as client:
            client.request("POST", "/events", event())
            assert client.getresponse().status == 202
        assert server.stop(signal.SIGTERM) == 0


@needs_ipv6
def test_a_server_that_cannot_listen_on_an_ipv6_address_names_it(log_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        ended = command(log_path, "serve", LOCKSTREAM_HOST="::1", LOCKSTREAM_PORT=str(port))
    assert ended.returncode == 1
    assert last_line(ended) == (
        f"lockstream: cannot listen on [::1]:{port}: Address already in use. Set LOCKSTREAM_HOST and LOCKSTREAM_PORT "
        "to another address."
    )

"""A server that any bytes may be sent to, while a well-behaved client checks that it goes on serving others."""

import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple, Self

from lockstream.tests.presentation.server.client import RawConnection
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, wait_until

MEBIBYTE = 1024 * 1024

SPARE_MEMORY_BYTES = 40 * MEBIBYTE
"""Bytes by which a server may exceed its memory after its first requests."""

HAS_PROC = Path("/proc/self/fd").exists()

MANUAL_CLOCK = ("-m", "lockstream.tests.presentation.server.manual_clock")
"""Arguments of Python that start a server whose connections measure time by a clock that tests move."""

HEADER_SECONDS, BODY_SECONDS = 3, 5
SHORT_LIMITS = {
    "LOCKSTREAM_HEADER_SECONDS": str(HEADER_SECONDS),
    "LOCKSTREAM_BODY_SECONDS": str(BODY_SECONDS),
}
"""Time limits that differ, so that a test tells one from the other."""

_LOCKER = "well-behaved"

_PAUSE_SECONDS = 0.1
"""Time between two events of the well-behaved client, if no test waits for them."""

_IDLE_SECONDS = 1
"""Time for which a connection may always be idle."""


class WellBehavedClient:
    """A client in a thread. It posts events on one connection, and reads each of them on a new connection."""

    def __init__(self, server: Server) -> None:
        self.served = 0
        self._server = server
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
        self._last_request_at = time.monotonic()
        self._stopped, self._is_awaited = Event(), Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for_responses()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._is_awaited.set()
        self._thread.join()
        self._connection.close()
        if self._error and not error:
            raise self._error

    def wait_for_responses(self) -> None:
        """Wait until three more events were posted and read."""
        wanted = self.served + 3
        self._is_awaited.set()
        wait_until(lambda: self.served >= wanted or not self._thread.is_alive())
        self._is_awaited.clear()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._post_and_read(registered(f"c{self.served}", locker=_LOCKER))
                self.served += 1
                self._is_awaited.wait(_PAUSE_SECONDS)
        except (AssertionError, OSError, ValueError) as error:
            self._error = error

    def _post_and_read(self, body: Body) -> None:
        response = self._posted(json.dumps(body))
        assert (response.status, json.loads(response.read())["outcome"]) == (202, "accepted")
        status, locker = self._server.get(f"/lockers/{_LOCKER}")
        assert (status, json.loads(locker)["compartments"]) == (200, self.served + 1)

    def _posted(self, body: str) -> HTTPResponse:
        """Return the response. On a busy machine, this client may be slow and its idle connection be closed."""
        idle_seconds = time.monotonic() - self._last_request_at
        try:
            return self._exchanged(body)
        except ConnectionError:
            if idle_seconds < _IDLE_SECONDS:
                raise
            self._connection.close()
            return self._exchanged(body)

    def _exchanged(self, body: str) -> HTTPResponse:
        self._last_request_at = time.monotonic()
        self._connection.request("POST", "/events", body)
        return self._connection.getresponse()


class GuardedServer(NamedTuple):
    process: Server
    others: WellBehavedClient

    def connect(self, receive_buffer: int = 0) -> RawConnection:
        return RawConnection(self.process.port, receive_buffer)

    def assert_serves_others(self) -> None:
        self.others.wait_for_responses()

    def has_open(self, connection: RawConnection) -> bool:
        """Return whether the server has this connection open. The system may keep one that the server has closed."""
        ends = [f":{port:04X}" for port in (self.process.port, connection.port)]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any([row[1][-5:], row[2][-5:]] == ends and row[9] != "0" for row in rows)


@contextmanager
def guarded(
    log: Path, settings: Mapping[str, str], *, program: tuple[str, ...] = MANUAL_CLOCK
) -> Iterator[GuardedServer]:
    """Start a server, and check at the end that nothing that was sent to it has done harm.

    A well-behaved client was served all the time, no connection is left open, no error was logged, and the log is
    intact.
    """
    with Server(log, program=program, **settings).start() as server:
        with WellBehavedClient(server) as others:
            sockets = open_sockets(server)
            yield GuardedServer(server, others)
            others.wait_for_responses()
            wait_for_closed_sockets(server, sockets)
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        assert [word for word in ("Traceback", "ERROR", "CRITICAL") if word in server.stderr] == [], server.stderr
    records = audited(log)
    assert len([record for record in records if record["locker_id"] == _LOCKER]) == others.served


@contextmanager
def bounded_memory(served: GuardedServer) -> Iterator[None]:
    """Check that a server never takes more than `SPARE_MEMORY_BYTES` of additional memory."""
    with suppress(OSError):  # without the right to forget the peak so far, only a larger one is noticed
        Path(f"/proc/{served.process.pid}/clear_refs").write_text("5")
    before = peak_memory(served.process)
    yield
    served.assert_serves_others()
    assert peak_memory(served.process) - before < SPARE_MEMORY_BYTES


def open_sockets(server: Server) -> int:
    """Return the number of open sockets of a server, if the system tells it."""
    if not HAS_PROC:
        return 0
    links = []
    for file in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(file.readlink()))
    return sum(link.startswith("socket:") for link in links)


def wait_for_closed_sockets(server: Server, most: int) -> None:
    """Wait until a server has at most `most` sockets open, and perhaps one of the well-behaved client."""
    wait_until(lambda: open_sockets(server) <= most + 1)


def peak_memory(server: Server) -> int:
    """Return the largest number of bytes that a server has had in memory so far, if the system tells it."""
    if not HAS_PROC:
        return 0
    status = Path(f"/proc/{server.pid}/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024

"""A client that may send anything, and others that behave and are to be served meanwhile."""

import json
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

from lockstream.tests.presentation.http.test_gzip_bombs import peak_memory
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

MEBIBYTE = 1024 * 1024
ROOM = 40 * MEBIBYTE
"""How much more memory a server may ever take than it did at its first requests."""

REGULAR = "regular"
"""The locker of those who behave."""

HAS_PROC = Path("/proc/self/fd").exists()


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def detail(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)["detail"]


class Wire:
    """A connection to a server, byte by byte."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._incoming = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.close()
        self.socket.close()

    def send(self, *parts: bytes, pause: float = 0) -> None:
        """Raises OSError where the server has closed the connection."""
        for part in parts:
            self.socket.sendall(part)
            time.sleep(pause)

    def send_while_open(self, parts: Iterator[bytes], pause: float = 0) -> int:
        """Send until the server closes the connection; returns how many bytes went out."""
        sent = 0
        with suppress(OSError):
            for part in parts:
                self.send(part, pause=pause)
                sent += len(part)
        return sent

    def send_until_answered(self, part: bytes, pause: float) -> None:
        """Send it again and again until something can be read."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not select.select([self.socket], [], [], pause)[0]:
            assert time.monotonic() < deadline, "it is listened to for ever"
            self.send(part)

    def end(self) -> None:
        """Have no more to say."""
        self.socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Answer:
        status = self._incoming.readline()
        assert status.startswith(b"HTTP/1.1 "), f"no answer: {status!r}"
        headers: dict[str, str] = {}
        while (line := self._incoming.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._incoming.read(int(headers["content-length"]))
        assert len(body) == int(headers["content-length"])
        return Answer(int(status.split()[1]), headers, body)

    def ended(self) -> bool:
        """Wait for the server to close the connection; whether it said nothing more."""
        try:
            return self._incoming.read(1) == b""
        except ConnectionError:
            return True


def request(
    body: bytes = b"", path: str = "/events", media_type: str = "application/json", method: str = "POST", **headers: Any
) -> bytes:
    """A request; a header's value of None leaves it out."""
    given = {"host": "test", "content-type": media_type, "content-length": len(body)}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


def get(path: str = "/lockers/nobody", **headers: Any) -> bytes:
    return request(path=path, method="GET", content_type=None, content_length=None, **headers)


def event(compartment: str = "c", **more: Any) -> bytes:
    return json.dumps(registered(compartment, **more)).encode()


class Regulars:
    """Somebody who behaves, in a thread: posts an event on a lasting connection, and reads it on a new one."""

    def __init__(self, server: Server) -> None:
        self.served = 0
        self._server = server
        self._lasting = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
        self._served_at = time.monotonic()
        self._stopped = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self.go_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._lasting.close()
        if self._error and not error:
            raise self._error

    def go_on(self) -> None:
        """Wait until they were served some more."""
        before, deadline = self.served, time.monotonic() + TIMEOUT_SECONDS
        while self.served < before + 3 and self._thread.is_alive():
            assert time.monotonic() < deadline, "nobody is served any more"
            time.sleep(0.01)
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stopped.wait(0.02):
                self._report(registered(f"c{self.served}", locker=REGULAR))
                self.served += 1
        except (AssertionError, OSError, ValueError) as error:
            self._error = error

    def _report(self, body: Body) -> None:
        answer = self._posted(json.dumps(body))
        assert (answer.status, json.loads(answer.read())["outcome"]) == (202, "accepted")
        self._served_at = time.monotonic()
        status, shown = self._server.get(f"/lockers/{REGULAR}")
        assert (status, json.loads(shown)["compartments"]) == (200, self.served + 1)

    def _posted(self, body: str) -> HTTPResponse:
        """The answer to it. Who was silent for long, on a machine with too much to do, may have been hung up on."""
        silent = time.monotonic() - self._served_at
        try:
            self._lasting.request("POST", "/events", body)
            return self._lasting.getresponse()
        except ConnectionError:
            if silent < 1:
                raise
            self._lasting.close()
            self._lasting.request("POST", "/events", body)
            return self._lasting.getresponse()


class Guarded(NamedTuple):
    """A server, and those who are served by it meanwhile."""

    server: Server
    regulars: Regulars

    def wire(self, receive_buffer: int = 0) -> Wire:
        return Wire(self.server.port, receive_buffer)


@contextmanager
def guarded(log: Path, **settings: str) -> Iterator[Guarded]:
    """A server to which anything may be sent.

    Whoever behaves is served all the time. In the end no more memory was ever taken than `ROOM`, no connection is left,
    nothing was told of faults, and the log is whole.
    """
    with Server(log, **settings).start() as server:
        with Regulars(server) as regulars:
            sockets, memory = open_sockets(server), peak_memory(server) if HAS_PROC else 0
            yield Guarded(server, regulars)
            regulars.go_on()
            assert not HAS_PROC or peak_memory(server) - memory < ROOM
            wait_for_sockets(server, sockets)
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        assert [word for word in ("Traceback", "ERROR", "CRITICAL") if word in server.stderr] == [], server.stderr
    records = audited(log)
    assert len([record for record in records if record["locker_id"] == REGULAR]) == regulars.served


def open_sockets(server: Server) -> int:
    """How many a server has open."""
    if not HAS_PROC:
        return 0
    links = []
    for file in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(file.readlink()))
    return sum(link.startswith("socket:") for link in links)


def wait_for_sockets(server: Server, count: int) -> None:
    """Wait until it has no more of them open than `count`, give or take a connection of those who behave."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while open_sockets(server) > count + 1:
        assert time.monotonic() < deadline, f"{open_sockets(server)} sockets are open, {count} were"
        time.sleep(0.05)


def holds(server: Server, wire: Wire) -> bool:
    """Whether a server has this connection open. One that it has closed may go on in the system, as nobody's."""
    ends = [f":{port:04X}" for port in (server.port, wire.socket.getsockname()[1])]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any([row[1][-5:], row[2][-5:]] == ends and row[9] != "0" for row in rows)

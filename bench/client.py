"""The load generator's sockets: one epoll loop over many connections, each with a script of requests.

Requests are bytes before the clock starts, and of an answer only status and length are read, so that a request costs
the client some 15 µs, most of it in the kernel.
"""

import select
import socket
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle
from time import perf_counter

from bench.errors import BenchFailure
from bench.wire import Answer, AnswerReader, Check

_PATIENCE_SECONDS = 120
"""How long no answer may come at all; a disk can be slow, and a rebuild of the projection too."""

_CHUNK = 256 * 1024
_SHORTEST_SLEEP_SECONDS = 50e-6
"""The kernel wakes us no sooner (timer slack)."""


class Connection:
    """One client: it sends its script's next request when it is told to, and waits for the answer."""

    __slots__ = ("_answer", "_reader", "_received", "_script", "_socket", "fd", "since", "unsent")

    def __init__(self, port: int, script: Iterator[bytes], reader: AnswerReader) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self._socket.setblocking(False)
        self._script = script
        self._reader = reader
        self._received = bytearray()
        self._answer: Answer | None = None
        self.fd = self._socket.fileno()
        self.since = 0.0
        """When the request that is under way was due."""
        self.unsent = memoryview(b"")

    def send_next(self, since: float) -> bool:
        """Send the next request; returns whether there was one."""
        request = next(self._script, None)
        if request is None:
            return False
        self.since = since
        sent = self._send(request)
        if sent < len(request):
            self.unsent = memoryview(request)[sent:]
        return True

    def send_rest(self) -> None:
        self.unsent = self.unsent[self._send(self.unsent) :]

    def receive(self, check: Check) -> bool:
        """Read what has come; returns whether the answer is complete.

        Raises:
            BenchFailure: it is not as `check` wants it, or the server hung up.
        """
        data: bytes | bytearray = self._socket.recv(_CHUNK)
        if not data:
            raise BenchFailure("the server closed a connection")
        if self._received:
            self._received += data
            data = self._received
        answer = self._answer or self._reader.read(data)
        if answer is None or len(data) < answer.end:
            self._answer = answer
            if data is not self._received:
                self._received += data
            return False
        if len(data) > answer.end:
            raise BenchFailure(f"more than one answer came for a request: {bytes(data[answer.end :][:100])!r}")
        if wrong := check(answer.status, data[answer.start :]):
            raise BenchFailure(f"an unexpected answer: {wrong}")
        if self._received:
            self._received = bytearray()
        self._answer = None
        return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


class Client:
    """Connections under load. `finished` and `latencies` (seconds) say when each answer came and how long it took."""

    def __init__(self, ports: Sequence[int], scripts: Sequence[Iterator[bytes]], check: Check) -> None:
        """One connection for each script; they are dealt out to the servers at `ports`."""
        self.finished, self.latencies = array("d"), array("d")
        self._check = check
        self._connections = {}
        self._epoll = select.epoll()
        reader = AnswerReader()
        for port, script in zip(cycle(ports), scripts, strict=False):
            connection = Connection(port, script, reader)
            self._connections[connection.fd] = connection
            self._epoll.register(connection.fd, select.EPOLLIN)

    def close(self) -> None:
        self._epoll.close()
        for connection in self._connections.values():
            connection.close()

    def run_closed(self, seconds: float | None = None) -> float:
        """Send whenever an answer has come, for so long, or to the end of all scripts; returns when sending ended.

        What is under way then is waited for.
        """
        began = perf_counter()
        until, busy = began + (seconds or float("inf")), 0
        for connection in self._connections.values():
            busy += self._begin(connection, began)
        while busy:
            for connection in self._answered(_PATIENCE_SECONDS):
                now = perf_counter()
                self._note(connection, now)
                if now < until and self._begin(connection, now):
                    continue
                if seconds:
                    until = min(now, until)  # a script has ended too soon; fewer connections would be another load
                busy -= 1
        return until if seconds else perf_counter()

    def run_open(self, due: Sequence[float]) -> float:
        """Send at the times that are `due` (seconds after now), each as soon as a connection is free.

        A latency counts from the time when the request was due, however long it waited for its turn: what a stalled
        server keeps from being sent is not left out.
        """
        began = perf_counter()
        idle, waiting = deque(self._connections.values()), deque[float]()
        to_come, answers = deque(due), 0
        while answers < len(due):
            now = perf_counter() - began
            while to_come and to_come[0] <= now:
                waiting.append(to_come.popleft())
            while waiting and idle:
                if not self._begin(idle.popleft(), began + waiting.popleft()):
                    raise BenchFailure("the load generator has run out of requests")
            pause = to_come[0] - (perf_counter() - began) if to_come else _PATIENCE_SECONDS
            for connection in self._answered(pause):
                self._note(connection, perf_counter())
                idle.append(connection)
                answers += 1
        return perf_counter()

    def _begin(self, connection: Connection, since: float) -> bool:
        begun = connection.send_next(since)
        if connection.unsent:
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        return begun

    def _note(self, connection: Connection, now: float) -> None:
        self.finished.append(now)
        self.latencies.append(now - connection.since)

    def _answered(self, patience: float) -> Iterator[Connection]:
        """Wait for so many seconds at most; the connections whose answer is complete."""
        for fd, what in self._wait(patience):
            connection = self._connections[fd]
            if what & select.EPOLLOUT:
                connection.send_rest()
                if not connection.unsent:
                    self._epoll.modify(fd, select.EPOLLIN)
            if what & ~select.EPOLLOUT and connection.receive(self._check):
                yield connection

    def _wait(self, patience: float) -> list[tuple[int, int]]:
        if patience >= _PATIENCE_SECONDS:
            ready = self._epoll.poll(patience)
            if not ready:
                raise BenchFailure(f"no answer came for {patience} seconds")
            return ready
        # epoll's own timeout is in milliseconds, select's in microseconds.
        if patience > _SHORTEST_SLEEP_SECONDS:
            select.select([self._epoll], [], [], patience)
        return self._epoll.poll(0)

"""The load generator's client: one epoll loop over many connections, each with requests of its own.

Requests are encoded before the clock starts, and only status and length of a response are parsed. So a request costs
the client some 15 µs, mostly in the kernel ("load generator alone" in docs/performance.md).
"""

import select
import socket
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle
from time import perf_counter

from bench.errors import BenchFailure
from bench.load.http import Check, ResponseHead, ResponseReader

_TIMEOUT_SECONDS = 120
"""Longest time that the load generator waits for any response. A slow disk, or a rebuild at start, takes minutes."""

_CHUNK = 256 * 1024
_TIMER_SLACK_SECONDS = 50e-6
"""Longest delay of a wake-up by the kernel (prctl(2), PR_SET_TIMERSLACK). A shorter sleep is not begun."""


class Connection:
    """A connection that sends one request after the other."""

    __slots__ = ("_head", "_reader", "_received", "_request", "_requests", "_socket", "due", "fd", "number", "unsent")

    def __init__(self, number: int, port: int, requests: Iterator[bytes], reader: ResponseReader) -> None:
        self.number = number
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self._socket.setblocking(False)
        self._requests = requests
        self._request = b""
        self._reader = reader
        self._received = bytearray()
        self._head: ResponseHead | None = None
        self.fd = self._socket.fileno()
        self.due = 0.0
        """Time at which the open request was due."""
        self.unsent = memoryview(b"")

    def send_next(self, due: float) -> bool:
        """Send the next request, and return whether there was one."""
        request = next(self._requests, None)
        if request is None:
            return False
        self.due = due
        self._request = request
        sent = self._send(request)
        if sent < len(request):
            self.unsent = memoryview(request)[sent:]
        return True

    def send_rest(self) -> None:
        self.unsent = self.unsent[self._send(self.unsent) :]

    def receive(self, check: Check) -> bool:
        """Read the received bytes, and return whether the response is complete.

        Raises:
            BenchFailure: the response does not pass `check`, or the server has closed the connection.
        """
        data: bytes | bytearray = self._socket.recv(_CHUNK)
        if not data:
            raise BenchFailure("The server has closed a connection.")
        if self._received:
            self._received += data
            data = self._received
        head = self._head or self._reader.read(data)
        if head is None or len(data) < head.end:
            self._head = head
            if data is not self._received:
                self._received += data
            return False
        if len(data) > head.end:
            raise BenchFailure(f"A request got more than one response: {bytes(data[head.end :][:100])!r}.")
        if wrong := check(head.status, data[head.body_start :]):
            request_line = self._request.partition(b"\r\n")[0].decode()
            raise BenchFailure(f"A response to {request_line} was unexpected: {wrong}.")
        if self._received:
            self._received = bytearray()
        self._head = None
        return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


class Client:
    """Connections under load.

    Each response has an item in `finished`, its time, in `latencies`, its latency in seconds, and in `numbers`, the
    number of its connection.
    """

    def __init__(self, ports: Sequence[int], scripts: Sequence[Iterator[bytes]], check: Check) -> None:
        """Open one connection per script. The connections are dealt out evenly to the servers at `ports`."""
        self.finished, self.latencies, self.numbers = array("d"), array("d"), array("H")
        self._check = check
        self._connections = {}
        self._epoll = select.epoll()
        reader = ResponseReader()
        for number, (port, script) in enumerate(zip(cycle(ports), scripts, strict=False)):
            connection = Connection(number, port, script, reader)
            self._connections[connection.fd] = connection
            self._epoll.register(connection.fd, select.EPOLLIN)

    def close(self) -> None:
        self._epoll.close()
        for connection in self._connections.values():
            connection.close()

    def run_closed(self, seconds: float | None = None) -> float:
        """Send each request when the response before it has arrived; return when sending ended.

        Sending ends after `seconds`, or else with the end of all scripts. The method waits for open requests.
        """
        started = perf_counter()
        end, open_requests = started + (seconds or float("inf")), 0
        for connection in self._connections.values():
            open_requests += self._send(connection, started)
        while open_requests:
            for connection in self._completed(_TIMEOUT_SECONDS):
                now = perf_counter()
                self._note(connection, now)
                if now < end and self._send(connection, now):
                    continue
                if seconds:
                    end = min(now, end)  # a script ended too soon; with fewer connections, the load would differ
                open_requests -= 1
        return end if seconds else perf_counter()

    def run_open(self, due: Sequence[float]) -> float:
        """Send a request at each time in `due` (seconds from now), or as soon as a connection is free.

        A latency counts from the time when the request was due, so the wait for a free connection is part of it. A
        server that stalls cannot hide the requests which it has held up.
        """
        started = perf_counter()
        idle, waiting = deque(self._connections.values()), deque[float]()
        upcoming, responses = deque(due), 0
        while responses < len(due):
            now = perf_counter() - started
            while upcoming and upcoming[0] <= now:
                waiting.append(upcoming.popleft())
            while waiting and idle:
                if not self._send(idle.popleft(), started + waiting.popleft()):
                    raise BenchFailure("The load generator has run out of requests.")
            pause = upcoming[0] - (perf_counter() - started) if upcoming else _TIMEOUT_SECONDS
            for connection in self._completed(pause):
                self._note(connection, perf_counter())
                idle.append(connection)
                responses += 1
        return perf_counter()

    def _send(self, connection: Connection, due: float) -> bool:
        is_sent = connection.send_next(due)
        if connection.unsent:
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        return is_sent

    def _note(self, connection: Connection, now: float) -> None:
        self.finished.append(now)
        self.latencies.append(now - connection.due)
        self.numbers.append(connection.number)

    def _completed(self, timeout: float) -> Iterator[Connection]:
        """Wait for at most `timeout` seconds, and yield the connections whose response is complete."""
        for fd, ready in self._wait(timeout):
            connection = self._connections[fd]
            if ready & select.EPOLLOUT:
                connection.send_rest()
                if not connection.unsent:
                    self._epoll.modify(fd, select.EPOLLIN)
            if ready & ~select.EPOLLOUT and connection.receive(self._check):
                yield connection

    def _wait(self, timeout: float) -> list[tuple[int, int]]:
        if timeout >= _TIMEOUT_SECONDS:
            ready = self._epoll.poll(timeout)
            if not ready:
                raise BenchFailure(f"No response came for {timeout} seconds.")
            return ready
        # epoll counts its timeout in milliseconds, select in microseconds.
        if timeout > _TIMER_SLACK_SECONDS:
            select.select([self._epoll], [], [], timeout)
        return self._epoll.poll(0)

"""Clients that read the feed in the benchmark: one that reads a whole log, and many that wait for new events.

Each kind runs as a process of its own. `catch_up` and `Streams` start one, and `main` is its program.
"""

import resource
import select
import socket
import sys
import time
from contextlib import closing
from http.client import OK, HTTPConnection
from math import inf
from typing import Self

import msgspec
from msgspec import Struct

from bench.processes import LineProcess, ServerProcess, run

PAGE_EVENTS = 10_000
"""Events on each page of the reader that catches up."""

_TIMEOUT_SECONDS = 60
_BUFFER_BYTES = 1024 * 1024
_LAST_CHUNK = b"0\r\n\r\n"
_MODULE = "bench.load.followers"


class Received(Struct, frozen=True):
    """An amount that readers have received, and the time until then."""

    amount: int
    """Events of a reader that catches up, or bytes of all streams."""
    seconds: float

    @property
    def rate(self) -> float:
        """Amount per second."""
        return self.amount / self.seconds


def catch_up(server: ServerProcess, seconds: float) -> float:
    """Read a log from its beginning in pages of NDJSON, in a process of its own; return events per second.

    At the end of the log, the reader begins again.

    Raises:
        BenchFailure: a response was unexpected.
    """
    output = run("-m", _MODULE, "catch-up", f"{server.port}", f"{seconds}")
    return msgspec.json.decode(output, type=Received).rate


class Streams:
    """A process with many open streams at the head of the feed, which counts their bytes and drops them."""

    def __init__(self, server: ServerProcess, count: int) -> None:
        """Open the streams, and wait until each has begun.

        Raises:
            BenchFailure: a stream was refused.
        """
        self._process = LineProcess("-m", _MODULE, "streams", f"{server.port}", f"{count}")
        self._process.read_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    def result(self, at_least: int = 0) -> Received:
        """Wait until the streams have received a number of bytes, and return the received amount.

        Raises:
            BenchFailure: a stream has ended too early.
        """
        self._process.write_line(b"%d" % at_least)
        return msgspec.json.decode(self._process.read_line(), type=Received)


def main() -> None:
    kind, port, number = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if kind == "catch-up":
        _print(_caught_up(port, float(number)))
    else:
        _follow(port, int(number))


def _caught_up(port: int, seconds: float) -> Received:
    started, read, after = time.perf_counter(), 0, 0
    with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)) as connection:
        while (elapsed := time.perf_counter() - started) < seconds:
            path = f"/events?after={after}&limit={PAGE_EVENTS}"
            connection.request("GET", path, headers={"Accept": "application/x-ndjson"})
            response = connection.getresponse()
            content = response.read()
            found = content.count(b"\n")
            if response.status != OK or (not found and not after):
                sys.exit(f"GET {path}: {response.status} with {found} events: {content[:300]!r}")
            read, after = read + found, int(response.headers["Lockstream-Through"]) if found else 0
    return Received(read, elapsed)


def _follow(port: int, count: int) -> None:
    """Open the streams, print a line, count until a line with a number of bytes comes in, and print the result."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    request = f"GET /events/stream?after=head HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    epoll, streams, buffer = select.epoll(), dict[int, socket.socket](), bytearray(_BUFFER_BYTES)
    for _ in range(count):
        stream = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
        stream.sendall(request)
        begun = b""
        while b"\nid: " not in begun:
            received = stream.recv(_BUFFER_BYTES)
            begun += received
            if not received or not begun.startswith(b"HTTP/1.1 200"):
                sys.exit(f"A stream did not begin: {begun[:300]!r}")
        streams[stream.fileno()] = stream
        epoll.register(stream, select.EPOLLIN)
    epoll.register(sys.stdin, select.EPOLLIN)
    _print_line(b"ready")
    started, total, wanted = time.perf_counter(), 0, inf
    while total < wanted:
        for number, _ in epoll.poll():
            if number not in streams:
                epoll.unregister(number)
                wanted = int(sys.stdin.buffer.readline())
                continue
            size = streams[number].recv_into(buffer)
            total += size
            if not size or buffer[:size].endswith(_LAST_CHUNK):
                sys.exit("A stream has ended.")
    _print(Received(total, time.perf_counter() - started))


def _print(received: Received) -> None:
    _print_line(msgspec.json.encode(received))


def _print_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

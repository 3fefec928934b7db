"""A raw HTTP/1.1 client, which can send any bytes, and builders of requests for it."""

import json
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import TIMEOUT_SECONDS


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def detail(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)["detail"]


def connected_socket(port: int, receive_buffer: int = 0) -> socket.socket:
    """Connect to a server on this machine.

    `receive_buffer` is the size in bytes of the system's buffer for unread data; 0 keeps its default.
    """
    connected = socket.socket()
    connected.settimeout(TIMEOUT_SECONDS)
    if receive_buffer:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connected.connect(("127.0.0.1", port))
    return connected


class RawConnection:
    """A connection to a server on this machine, byte by byte."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        """`receive_buffer` is that of `connected_socket`."""
        self.opened_at = time.monotonic()
        self.socket = connected_socket(port, receive_buffer)
        self.server_port = port
        self.sent_bytes = 0
        self._incoming = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._incoming.close()
        self.socket.close()

    @property
    def port(self) -> int:
        """The port of this end."""
        return int(self.socket.getsockname()[1])

    def send(self, *parts: bytes) -> None:
        """Raises OSError if the server has closed the connection."""
        for part in parts:
            self.socket.sendall(part)
            self.sent_bytes += len(part)

    def send_while_open(self, parts: Iterator[bytes]) -> int:
        """Send until the server closes the connection; return the number of bytes sent."""
        before = self.sent_bytes
        with suppress(OSError):
            for part in parts:
                self.send(part)
        return self.sent_bytes - before

    def end_sending(self) -> None:
        """Close this side of the connection. The other one stays open."""
        self.socket.shutdown(socket.SHUT_WR)

    def has_data(self) -> bool:
        """Return whether something can be read now, be it the end of the stream."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def response(self) -> Response:
        """Read the next response."""
        status = self._incoming.readline()
        assert status.startswith(b"HTTP/1.1 "), f"not a response: {status!r}"
        headers: dict[str, str] = {}
        while (line := self._incoming.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._incoming.read(int(headers["content-length"]))
        assert len(body) == int(headers["content-length"])
        return Response(int(status.split()[1]), headers, body)

    def is_at_end(self) -> bool:
        """Wait until the server sends something or closes the connection; return whether it closed it."""
        try:
            return self._incoming.read(1) == b""
        except ConnectionError:
            return True


def request(
    body: bytes = b"", path: str = "/events", media_type: str = "application/json", method: str = "POST", **headers: Any
) -> bytes:
    """Return a request. A header with the value None is left out."""
    given = {"host": "localhost", "content-type": media_type, "content-length": len(body)}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


def chunked(body: bytes = b"", path: str = "/events", **headers: Any) -> bytes:
    """Return a request whose body, already in chunks, does not announce its length."""
    return request(body, path, content_length=None, transfer_encoding="chunked", **headers)


def get(path: str = "/lockers/unknown", **headers: Any) -> bytes:
    """Return a GET request, by default one that gets 404."""
    return request(path=path, method="GET", content_type=None, content_length=None, **headers)


def event(compartment: str = "c", **more: Any) -> bytes:
    """Return the JSON of an event that registers a compartment."""
    return json.dumps(registered(compartment, **more)).encode()

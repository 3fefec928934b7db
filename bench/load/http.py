"""The part of HTTP/1.1 that the load generator needs: requests as bytes, and responses with a Content-Length."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.errors import BenchFailure

_LENGTH = b"content-length: "


class ResponseHead(NamedTuple):
    status: int
    body_start: int
    """Offset of the body."""
    end: int
    """Offset of the end of the response, which may not have arrived yet."""


type Check = Callable[[int, bytes | bytearray], str]
"""Returns an error text about a status or a body, or "" if both are as expected."""


def post(path: str, body: bytes, media_type: str = "application/json", key: str = "") -> bytes:
    """Return a POST request. `key` is its API key, or empty."""
    authorization = b"Authorization: Bearer %b\r\n" % key.encode() if key else b""
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        authorization,
        media_type.encode(),
        len(body),
        body,
    )


def post_batch(events: Iterable[bytes], key: str = "") -> bytes:
    """Return the POST request of a batch, as NDJSON."""
    return post("/events/batch", b"\n".join(events), "application/x-ndjson", key)


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()


class ResponseReader:
    """Reads the heads of responses. A head that equals the one before is not parsed again."""

    def __init__(self) -> None:
        self._bytes = b"no response begins with this"
        self._head = ResponseHead(0, 0, 0)

    def read(self, received: bytes | bytearray) -> ResponseHead | None:
        """Return the head that `received` begins with, or None if it is incomplete.

        Raises:
            BenchFailure: the head has no Content-Length.
        """
        if received.startswith(self._bytes):
            return self._head
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = received.find(_LENGTH, 0, end)
        if length < 0:
            raise BenchFailure(f"A response came without content-length: {bytes(received[: end + 4])!r}.")
        body_size = int(received[length + len(_LENGTH) : received.find(b"\r", length)])
        start = end + 4
        self._bytes = bytes(received[:start])
        self._head = ResponseHead(int(received[9:12]), start, start + body_size)
        return self._head


def expect(expected: int) -> Check:
    """Return a check for a status."""

    def check(status: int, body: bytes | bytearray) -> str:
        return "" if status == expected else f"{status} instead of {expected}: {bytes(body[:300])!r}"

    return check


def expect_items(events: int, expected: int = 202) -> Check:
    """Return a check for status 200, with one item of the `expected` status for each event of a batch."""

    def check(status: int, body: bytes | bytearray) -> str:
        found = body.count(b'"status":%d' % expected)
        if status == 200 and found == events == body.count(b'"status":'):
            return ""
        return f"{status}, {found} of {events} events got {expected}: {bytes(body[:300])!r}"

    return check

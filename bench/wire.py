"""As much of HTTP/1.1 as the load generator needs: requests as bytes, and answers that say their length."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.errors import BenchFailure

_LENGTH = b"content-length: "


class Answer(NamedTuple):
    status: int
    start: int
    """Where the body begins."""
    end: int
    """Where the answer ends, be it there yet or not."""


type Check = Callable[[int, bytes | bytearray], str]
"""Says of a status and a body what is wrong with them; nothing if they are as expected."""


def post(path: str, body: bytes, media_type: str = "application/json") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        media_type.encode(),
        len(body),
        body,
    )


def post_events(events: Iterable[bytes]) -> bytes:
    return post("/events/batch", b"\n".join(events), "application/x-ndjson")


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % path.encode()


class AnswerReader:
    """Reads the heads of answers. They are alike but for the date, so a head that was seen last is not read again."""

    def __init__(self) -> None:
        self._head = b"no answer begins with this"
        self._answer = Answer(0, 0, 0)

    def read(self, received: bytes | bytearray) -> Answer | None:
        """The answer that `received` begins with, or None as long as its head is not complete.

        Raises:
            BenchFailure: the head is none that this client understands.
        """
        if received.startswith(self._head):
            return self._answer
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = received.find(_LENGTH, 0, head)
        if length < 0:
            raise BenchFailure(f"an answer without content-length: {bytes(received[: head + 4])!r}")
        body_size = int(received[length + len(_LENGTH) : received.find(b"\r", length)])
        start = head + 4
        self._head = bytes(received[:start])
        self._answer = Answer(int(received[9:12]), start, start + body_size)
        return self._answer


def expect(status: int) -> Check:
    def check(answered: int, body: bytes | bytearray) -> str:
        return "" if answered == status else f"{answered} instead of {status}: {bytes(body[:300])!r}"

    return check


def expect_items(events: int) -> Check:
    """A batch is answered with 200 and one item for each event, of which each was accepted."""

    def check(answered: int, body: bytes | bytearray) -> str:
        accepted = body.count(b'"status":202')
        if answered == 200 and accepted == events == body.count(b'"status":'):
            return ""
        return f"{answered}, {accepted} of {events} events accepted: {bytes(body[:300])!r}"

    return check

"""One client's connection: HTTP/1.1 as uvicorn speaks it, with better manners towards clients that do not behave.

Whatever comes in is answered, in its turn and in a sentence; a client that is still sending comes to read the answer;
one that has ended its side of the connection gets its answer all the same; and what it may send ahead is bounded.
"""

import asyncio
import logging
from collections.abc import Sized
from functools import cache
from math import inf
from typing import Any, ClassVar, cast

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

logger = logging.getLogger(__name__)

PIPELINED = 1000
"""Requests that one connection may send ahead of their answers; each of them takes some 2 KB."""


_CONTINUE = b"HTTP/1.1 100 "
"""Begins what invites a client to send its body: no answer yet."""


class Stop(Exception):
    """Tells the parser that nothing more is listened to."""


class Connection(HttpToolsProtocol):
    """What uvicorn calls for each connection. Most names that do not begin with `_` are uvicorn's."""

    most: ClassVar[float] = inf
    """Connections at a time; one more is closed."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._in_body = False
        self._half_closed = False
        self.hung_up = False
        self._last_word: bytes | None = None  # once it is known, nothing more is listened to
        self._offer: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        if len(self.connections) > self.most:
            transport.abort()
            _tell_of_too_many(self.most)

    def data_received(self, data: bytes) -> None:
        if self._last_word is not None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_unreadable(error)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio has it: whether the connection stays
        """A client that has no more to say may still wait for its answer."""
        self._half_closed = True
        due = self._answering and not self._in_body
        if due:
            self.cycle.keep_alive = False
        return due

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offer = self._head_without_offer()
            return
        if len(self.pipeline) >= PIPELINED:
            self._answer_no_more()
            raise Stop
        super().on_headers_complete()
        self.headers = []  # what may come behind the body is not to be taken for them (RFC 9110, 6.5.1)
        self._in_body = True
        self._answer_through(_Answer(self, patient=not self.cycle.keep_alive))

    def on_message_complete(self) -> None:
        if self._offer is not None:
            return
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        last = not self.pipeline
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the limits have a clock of their own
        if last and self._last_word is not None:
            self._hang_up()

    def close_after_answer(self) -> None:
        """Close as an answer has said, once a client that is still sending has had the time to read it."""
        if self._in_body or self._last_word is not None:
            self._last_word = self._last_word or b""
            self._hang_up()
        else:
            self.transport.close()

    @property
    def _answering(self) -> bool:
        """Whether a request has come in that is not answered yet."""
        newest = cast(RequestResponseCycle | None, self.cycle)
        return newest is not None and not newest.response_complete

    def _refuse(self, status: int, detail: str) -> None:
        """Answer so to what is coming in, once all requests before it are answered, and hang up."""
        if self._last_word is not None:
            return
        self._last_word = _answer(status, detail)
        others_first = self._answering
        if self._in_body and self.pipeline:
            self.pipeline.popleft()
        elif self._in_body:
            others_first = False
            if self.cycle.response_started and not cast(_Answer, self.cycle.transport).held:
                self._last_word = b""
            if not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        if not others_first:
            self._hang_up()

    def _hang_up(self) -> None:
        """Say the last word, and let go of the connection when the client does: closed at once, it would lose that."""
        if self.hung_up or self.transport.is_closing():
            return
        self.hung_up = True
        self.cycle = None  # type: ignore[assignment]  # as at the beginning: a server that stops waits for nothing here
        if self._last_word:
            self.transport.write(self._last_word)
        if self._half_closed:
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()

    def _answer_no_more(self) -> None:
        """Say in the newest request's answer that it is the last; what comes after it has to be sent again."""
        self._last_word = b""
        self.cycle.keep_alive = False
        self._answer_through(_Answer(self, patient=True))

    def _answer_through(self, answer: "_Answer") -> None:
        self.cycle.transport = cast(asyncio.Transport, answer)

    def _refuse_unreadable(self, error: httptools.HttpParserError) -> None:
        ours = isinstance(error, httptools.HttpParserCallbackError)
        self._refuse(400, f"This is no HTTP/1.1 request: {'its target is no path' if ours else error}.")

    def _head_without_offer(self) -> bytes:
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join([head, *kept, b"\r\n"])

    def _decline(self, rest: memoryview) -> None:
        """Go on with HTTP/1.1 where a client offers to speak something else, as Java's does with its first request.

        The parser takes what follows such a request's headers for that other language, even the request's own body. So
        it is given the request once more, without the offer.
        """
        while self._offer is not None:
            head, self._offer = self._offer, None
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as another:
                rest = rest[another.args[0] :]
            except httptools.HttpParserError as error:
                self._refuse_unreadable(error)


@cache
def _tell_of_too_many(most: float) -> None:
    """Once is enough."""
    logger.warning(
        "More than %d connections came at a time, and were closed: the process may open no more files (ulimit -n).",
        most,
    )


class _Flow(FlowControl):
    """Nothing is read while requests wait for the answer to one before them: they would become ever more."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if self.read_paused and not self._waiting:
            super().resume_reading()


class _Answer:
    """The transport of one request, as far as uvicorn uses it: an answer's head goes with the beginning of its body.

    Alone, it takes a system call and a packet of its own: a tenth of all that a single event costs. One that fails
    between the two is none.
    """

    __slots__ = ("_connection", "_head", "_patient")

    def __init__(self, connection: Connection, *, patient: bool) -> None:
        """A `patient` one ends its connection, and may be given before the end of the request's body."""
        self._connection = connection
        self._patient = patient
        self._head = b"" if connection.parser.get_method() == b"HEAD" else None  # an answer to HEAD has nothing else

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif self._head is None and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._connection.transport.write(data)

    @property
    def held(self) -> bool:
        """Whether it has begun, and nothing of it has gone out."""
        return bool(self._head)

    def is_closing(self) -> bool:
        return self._connection.hung_up or self._connection.transport.is_closing()

    def close(self) -> None:
        if self._patient:
            self._connection.close_after_answer()
        else:
            self._connection.transport.close()


def _answer(status: int, detail: str) -> bytes:
    body = msgspec.json.encode({"detail": detail})
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return STATUS_LINE[status] + head + body

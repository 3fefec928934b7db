"""One client's HTTP/1.1 connection: uvicorn's protocol, with limits on size and time and with readable refusals.

uvicorn leaves such limits to a proxy, and Lockstream is often started without one (docs/decisions/0017). Every request
gets a response, in the order of the requests, and a refusal is a sentence. A client that is still sending gets time to
read its response. A client that has closed its side of the connection still gets its response, unless that is a stream
without an end. The number of pipelined requests is bounded.

Only this module uses private parts of uvicorn (tested with 0.54; `pyproject.toml` caps the version). Most names
that do not begin with `_` are uvicorn's. Bytes are counted once per read and time once per tick, so limits cost a
request nearly nothing.
"""

import asyncio
import fcntl
import logging
import resource
import sys
import termios
from collections import deque
from collections.abc import Sized
from functools import cache
from itertools import islice
from typing import Any, ClassVar, cast

import httptools
import msgspec
import uvicorn.protocols.http.flow_control as uvicorn_flow
import uvicorn.protocols.http.httptools_impl as uvicorn_http

from lockstream.compatibility import require_parts
from lockstream.core.wording import counted
from lockstream.settings import Settings

require_parts("uvicorn", uvicorn_flow, "FlowControl")
require_parts("uvicorn", uvicorn_http, "STATUS_LINE", "HttpToolsProtocol", "RequestResponseCycle")
require_parts("uvicorn", uvicorn_http.HttpToolsProtocol, "_unset_keepalive_if_required", "on_response_complete")

BODY_PIECE_BYTES = 16 * 1024
"""Bytes of a body that a client must send within LOCKSTREAM_BODY_SECONDS, again and again until the body ends."""

RESERVED_FILES = 100
"""Open files that are reserved for the log, the projection and reads, and that connections may not take."""

PIPELINED_REQUESTS = 1000
"""Requests that a client may send ahead of their responses; each takes some 2 KB."""

STREAM_SECONDS = 60
"""Shortest time for which a stream waits for a client that reads nothing, such as a suspended laptop's."""

TLS_BUFFER_BYTES = 64 * 1024
"""Bytes of responses over TLS for which a connection waits before it takes more, as without TLS. uvloop's default is
eight times as much, and encrypted pages of a stream are not shared.
"""

_CONTINUE = b"HTTP/1.1 100 "
"""First bytes of an interim "100 Continue" response, which does not answer the request."""

_SECURITY_HEADERS = (
    b"x-content-type-options: nosniff\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
)
"""Headers of a response by this module, which keep a browser from rendering it."""

logger = logging.getLogger(__name__)


def connection_class(settings: Settings, tick_seconds: float = 1.0) -> type["Connection"]:
    """Return a class of connections with the limits of `settings`, whose clocks count `tick_seconds` as a second."""

    class Limited(Connection):
        limits = settings
        max_connections = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_FILES)
        tick = tick_seconds

    return Limited


class _StopParsing(Exception):
    """Raised inside a callback of the parser, so that it parses nothing more."""


class Connection(uvicorn_http.HttpToolsProtocol):
    """A connection with a clock. The clock ticks only while the server waits for the client. It counts ticks instead of
    reading the time, so a suspended machine disconnects no client.
    """

    limits: ClassVar[Settings]
    max_connections: ClassVar[int]
    tick: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_body = False
        self._is_half_closed = self._has_tls = False
        self._closes_when_sent = False
        self.is_lingering = False
        self._final_response: bytes | None = None  # once it is set, nothing more is parsed
        self._upgrade_head: bytes | None = None
        self._unanswered = deque[uvicorn_http.RequestResponseCycle]()
        """The requests that have no complete response yet. The oldest, which is the first, is being answered."""

        self._read_bytes = 0  # bytes of the last read
        self._shared_bytes = 0  # bytes of the read in which the last request ended, and the next one may have begun
        self._unparsed_bytes = 0  # bytes since the last body byte, or since headers or a request were complete
        self._piece_bytes = 0  # bytes since the clock was reset
        self._clock = 0
        self._written_bytes = self._taken_bytes = self._unread_clock = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._has_tls = not transport.can_write_eof()  # TLS has no connections that are closed on one side
        if self._has_tls:
            transport.set_write_buffer_limits(high=TLS_BUFFER_BYTES)
        self._next_tick = self.loop.call_later(self.tick, self._tick)
        if self.room < 0:
            transport.abort()
            _log_too_many_connections(self.max_connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_tick.cancel()
        for cycle in self._unanswered:  # uvicorn tells the newest request alone, which may not have been begun
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._unparsed_bytes and not self._is_in_body:
            self._clock = 0
        self._read_bytes = len(data)
        self._unparsed_bytes += self._read_bytes
        self._piece_bytes += self._read_bytes
        if self._final_response is None:
            self._parse(data)
        if self._unparsed_bytes > self.limits.max_header_bytes:
            self._refuse_headers()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio: whether the connection stays open
        """Return whether the connection stays open after the client has closed its side: while it awaits a response."""
        if self._has_tls:
            return False
        self._is_half_closed = True
        has_response_due = self._is_answering and not self._is_in_body and not self._is_streaming
        if has_response_due:
            self.cycle.keep_alive = False
        return has_response_due

    def on_headers_complete(self) -> None:
        self._check_headers()
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrade_head = self._head_without_upgrade()
            return
        self._unparsed_bytes = self._shared_bytes = self._piece_bytes = self._clock = 0
        if len(self.pipeline) >= PIPELINED_REQUESTS:  # the response to the request before is the last one
            self._final_response = b""
            self.cycle.keep_alive = False
            cast(_ResponseTransport, self.cycle.transport).lingers = True
            raise _StopParsing
        super().on_headers_complete()
        self.cycle.__class__ = _Cycle  # uvicorn has no setting for the class of its requests
        self.cycle.transport = cast(asyncio.Transport, _ResponseTransport(self, lingers=not self.cycle.keep_alive))
        self._unanswered.append(self.cycle)
        self.headers = []  # trailers after the body must not count as headers (RFC 9110, section 6.5.1)
        self._is_in_body = True

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = self._clock = 0
        self._shared_bytes = self._read_bytes
        if self._upgrade_head is None:
            self._is_in_body = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._clock = 0
        self._unanswered.popleft()
        is_last = not self.pipeline
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the clock of this class replaces uvicorn's
        if is_last and self._final_response is not None:
            self._linger_and_close()

    def close_after_response(self) -> None:
        """Close the connection; a client that is still sending first gets time to read the response."""
        if self._is_in_body or self._final_response is not None:
            self._final_response = self._final_response or b""
            self._linger_and_close()
        else:
            self.close()

    def close(self) -> None:
        """Close the connection once its responses are sent, and parse nothing more.

        A closed transport sends what is left. With TLS, it gives up after 30 seconds, even if the client reads on. So
        it is closed when nothing is left.
        """
        if self._has_tls and self._unsent():
            self._closes_when_sent = True
            self._final_response = self._final_response or b""
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close the connection after its response, or now if it is idle or its client does not read a stream."""
        if self._is_streaming and self.flow.write_paused:
            self.transport.abort()
        else:
            super().shutdown()

    def write(self, data: bytes) -> None:
        """Send a part of a response."""
        self._written_bytes += len(data)
        self.transport.write(data)

    def writelines(self, pieces: list[bytes]) -> None:
        """Send parts of a response, without a copy of them."""
        self._written_bytes += sum(map(len, pieces))
        self.transport.writelines(pieces)

    @property
    def room(self) -> int:
        """Number of further connections that may be opened."""
        return self.max_connections - len(self.connections)

    @property
    def _is_answering(self) -> bool:
        """Whether a request was received that has no complete response yet."""
        newest = cast(uvicorn_http.RequestResponseCycle | None, self.cycle)
        return newest is not None and not newest.response_complete

    @property
    def _is_streaming(self) -> bool:
        """Whether a stream of the feed is being sent. Every other response has a length."""
        return any(cycle.response_started and cycle.chunked_encoding for cycle in islice(self._unanswered, 1))

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_malformed(error)

    def _check_headers(self) -> None:
        """Refuse headers that are too large, and a request that does not name one host (RFC 9112, section 3.2)."""
        largest = self.limits.max_header_bytes
        if self._unparsed_bytes + self._shared_bytes > largest and self._header_bytes() > largest:
            self._refuse_headers()
            raise _StopParsing
        hosts = [name for name, _ in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refuse(400, f"Malformed HTTP request: it has {len(hosts)} Host headers. Send exactly one.")
            raise _StopParsing

    def _header_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _refuse_headers(self) -> None:
        self._refuse(
            431,
            f"The path and headers are larger than {self.limits.max_header_bytes} bytes. Send less, or raise "
            "LOCKSTREAM_MAX_HEADER_BYTES.",
        )

    def _refuse_malformed(self, error: httptools.HttpParserError) -> None:
        is_ours = isinstance(error, httptools.HttpParserCallbackError)
        self._refuse(
            400, f"Malformed HTTP request: {'the request target must be a path' if is_ours else error}. Send HTTP/1.1."
        )

    def _refuse(self, status: int, detail: str) -> None:
        """Refuse the request that is arriving, once all requests before it have their responses, and disconnect."""
        if self._final_response is not None:
            return
        self._final_response = _response(status, detail)
        must_wait = self._is_answering
        if self._is_in_body and self.pipeline:
            self.pipeline.popleft()
            self._unanswered.pop()
        elif self._is_in_body:
            must_wait = False
            if self.cycle.response_started and not cast(_ResponseTransport, self.cycle.transport).holds_head:
                self._final_response = b""
            if not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        if not must_wait:
            self._linger_and_close()

    def _linger_and_close(self) -> None:
        """Send the final response, and close when the client does.

        Closing at once would discard unread bytes of the client, and so reset the connection before the client has
        read the response (RFC 9112, section 9.6).
        """
        self._clock = 0
        if self.is_lingering or self.transport.is_closing():
            return
        self.is_lingering = True
        self.cycle = None  # type: ignore[assignment]  # as in a new connection, so that a stopping server does not wait
        if self._final_response:
            self.write(self._final_response)
        if self._is_half_closed:
            self.transport.close()
            return
        if not self._has_tls:  # with TLS, the client closes after its response
            self.transport.write_eof()
        self.flow.resume_reading()

    def _head_without_upgrade(self) -> bytes:
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join([head, *kept, b"\r\n"])

    def _decline_upgrade(self, rest: memoryview) -> None:
        """Go on with HTTP/1.1 on a connection whose client has asked to upgrade to another protocol, such as HTTP/2.

        Java's client asks so with its first request. The parser takes all bytes after the headers of such a request for
        the other protocol, even the request's own body. So the request is parsed again, without the offer.
        """
        while self._upgrade_head is not None:
            head, self._upgrade_head = self._upgrade_head, None
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as another:
                rest = rest[another.args[0] :]
            except httptools.HttpParserError as error:
                self._refuse_malformed(error)

    def _tick(self) -> None:
        self._next_tick = self.loop.call_later(self.tick, self._tick)
        if self._reads_no_response():
            self._log_stalled_client()
            self.transport.abort()
        elif (self._is_half_closed and self._is_streaming) or self._awaits_close():
            self.transport.abort()
        elif self._closes_when_sent:
            self.close()
        elif self.is_lingering or self._is_in_body:
            self._tick_in_body()
        elif not self._is_answering:
            self._tick_in_headers()

    def _awaits_close(self) -> bool:
        """Return whether a closing connection has sent all bytes. With TLS, a client may never answer the close."""
        return self.transport.is_closing() and not self._unsent()

    def _unsent(self) -> int:
        """Return the bytes of responses that wait to be sent.

        With TLS, uvloop encrypts a whole response at once, and hands it to a transport below, whose buffer cannot be
        seen. While that holds bytes, the system's own buffer is full, so its bytes count, too. Only Linux tells their
        number.
        """
        size = self.transport.get_write_buffer_size()
        return size + _unsent_by_system(self.transport) if self._has_tls else size

    def _reads_no_response(self) -> bool:
        """Return whether bytes wait for the client, and it has read nothing for the time that it has."""
        unsent = self._unsent()
        taken = self._written_bytes - unsent
        is_reading = not unsent or taken > self._taken_bytes  # with TLS, `unsent` is larger by the bytes of encryption
        self._unread_clock = 0 if is_reading else self._unread_clock + 1
        self._taken_bytes = max(self._taken_bytes, taken)
        return self._unread_clock > self._unread_seconds

    @property
    def _unread_seconds(self) -> int:
        seconds = self.limits.body_seconds
        return max(seconds, STREAM_SECONDS) if self._is_streaming else seconds

    def _log_stalled_client(self) -> None:
        logger.info(
            "A client%s has read nothing of its response for %s, so its connection was closed. The limit is "
            "LOCKSTREAM_BODY_SECONDS, and for a stream at least %s.",
            " at {}:{}".format(*self.client) if self.client else "",
            counted(self._unread_seconds, "second"),
            counted(STREAM_SECONDS, "second"),
            extra={"event_name": "stalled_client_closed"},
        )

    def _tick_in_body(self) -> None:
        has_response = self.is_lingering or self.cycle.response_complete
        if not has_response and (self.flow.read_paused or self._piece_bytes >= BODY_PIECE_BYTES):
            self._piece_bytes = self._clock = 0
            return
        self._clock += 1
        seconds = self.limits.body_seconds
        if self._clock <= seconds:
            return
        if has_response:
            self.transport.abort()
        else:
            self._refuse(
                408,
                f"Less than {BODY_PIECE_BYTES} bytes of the body arrived within {counted(seconds, 'second')}, the "
                "limit of LOCKSTREAM_BODY_SECONDS. Send all of it again; accepted events count once.",
            )

    def _tick_in_headers(self) -> None:
        if not self._unparsed_bytes and self._unsent():
            self._clock = 0  # it is not idle before its responses are sent
            return
        self._clock += 1
        seconds = self.limits.header_seconds
        if self._clock <= seconds:
            return
        if self._unparsed_bytes:
            self._refuse(
                408,
                f"The headers did not end within {counted(seconds, 'second')}, the limit of LOCKSTREAM_HEADER_SECONDS. "
                "Send the request again.",
            )
        else:
            self.transport.close()


class _Flow(uvicorn_flow.FlowControl):
    """Flow control that reads nothing while requests wait behind another one, so that their number is bounded."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if self.read_paused and not self._waiting:
            super().resume_reading()


class _Cycle(uvicorn_http.RequestResponseCycle):
    """A request with its response. A part of a response without a length is sent without a copy.

    Streams of the feed share their parts, and a thousand of them may send several hundred megabytes a second. This
    needs uvloop, which `server.run` uses: in Python 3.12.1, asyncio's own `writelines` does not pause for slow clients.
    """

    async def send(self, message: Any) -> None:
        body = message.get("body") if self.chunked_encoding and message.get("more_body") else None
        if not body or not self.response_started or self.response_complete:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self.transport.writelines([b"%x\r\n" % len(body), body, b"\r\n"])


class _ResponseTransport:
    """The transport of one response: it sends the head together with the first part of the body.

    Sent alone, the head would take a system call and a packet of its own. If the application fails before the first
    part of the body, nothing has been sent.
    """

    __slots__ = ("_connection", "_head", "lingers")

    def __init__(self, connection: Connection, *, lingers: bool) -> None:
        self._connection = connection
        self.lingers = lingers
        """Whether the connection closes after the response, perhaps with bytes of the client that are not read."""

        self._head = b"" if connection.parser.get_method() == b"HEAD" else None  # a response to HEAD has no body

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif self._head is None and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._connection.write(data)

    def writelines(self, pieces: list[bytes]) -> None:
        if self._head:
            self.write(b"".join(pieces))
        else:
            self._connection.writelines(pieces)

    @property
    def holds_head(self) -> bool:
        """Whether the response head is held back until the first part of the body."""
        return bool(self._head)

    def is_closing(self) -> bool:
        return self._connection.is_lingering or self._connection.transport.is_closing()

    def close(self) -> None:
        if self.lingers:
            self._connection.close_after_response()
        else:
            self._connection.close()


def _unsent_by_system(transport: asyncio.Transport) -> int:
    """Return the bytes of a connection that the other machine has not confirmed, or 0 if this system does not tell."""
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # the connection is closed, or has no such number
        return 0
    return int.from_bytes(answer, sys.byteorder)


@cache
def _log_too_many_connections(limit: int) -> None:
    """Log once that connections were closed."""
    logger.warning(
        "Connections beyond %d were closed: the process may not open more files. Raise its limit (ulimit -n).",
        limit,
        extra={"event_name": "connections_exhausted"},
    )


def _response(status: int, detail: str) -> bytes:
    body = msgspec.json.encode({"detail": detail})
    head = b"content-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
    head %= len(body), _SECURITY_HEADERS
    return uvicorn_http.STATUS_LINE[status] + head + body

"""How much a client may send before it makes sense, and how long it may take: limits that uvicorn leaves to a proxy.

Bytes are counted once for each read and time once a second, whatever they are made of, so that a request costs as much
as before (docs/decisions/0017).
"""

import asyncio
import resource
from typing import Any, ClassVar

from lockstream.presentation.connections import Connection, Stop
from lockstream.services.wiring import Settings

PIECE = 16 * 1024
"""Bytes of a body that a client has LOCKSTREAM_BODY_SECONDS for; then it has as long again for the next ones."""


SPARED = 100
"""Files that the process may open and connections may not take: the log's, the projection's, pages that are read."""


def limited(settings: Settings) -> type[Connection]:
    """The class of connections that keep the limits that `settings` name, and leave files for others to open."""

    class Limited(_Limited):
        limits = settings
        most = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARED)

    return Limited


class _Limited(Connection):
    """Its clock ticks while it is the client that is waited for: not while a request is being answered, nor while we
    read no further. What is counted in ticks needs no care for a machine that was asleep.
    """

    limits: ClassVar[Settings]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._largest = self.limits.max_header_bytes
        self._read = 0  # bytes of the latest read
        self._shared = 0  # bytes of the read that the latest request ended in; the next may have begun in it, too
        self._barren = 0  # bytes since the latest that belonged to a body, or since headers or a request were complete
        self._piece = 0  # bytes since the clock was set to 0
        self._clock = 0
        self._unsent = self._unsent_clock = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._next_tick = self.loop.call_later(1, self._tick)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_tick.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._barren and not self._in_body:
            self._clock = 0
        self._read = len(data)
        self._barren += self._read
        self._piece += self._read
        super().data_received(data)
        if self._barren > self._largest:
            self._refuse_headers()

    def on_headers_complete(self) -> None:
        if self._barren + self._shared > self._largest and self._header_bytes() > self._largest:
            self._refuse_headers()
            raise Stop
        super().on_headers_complete()
        self._barren = self._shared = self._piece = self._clock = 0

    def on_body(self, body: bytes) -> None:
        self._barren = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._barren = self._clock = 0
        self._shared = self._read
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._clock = 0
        super().on_response_complete()

    def _hang_up(self) -> None:
        self._clock = 0
        super()._hang_up()

    def _header_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _refuse_headers(self) -> None:
        self._refuse(
            431, f"The headers are larger than {self._largest} bytes. LOCKSTREAM_MAX_HEADER_BYTES sets the limit."
        )

    def _tick(self) -> None:
        """What is due each second."""
        self._next_tick = self.loop.call_later(1, self._tick)
        if self._takes_no_answer():
            self.transport.abort()
        elif self.hung_up or self._in_body:
            self._tick_in_body()
        elif not self._answering:
            self._tick_in_headers()

    def _takes_no_answer(self) -> bool:
        unsent = self.transport.get_write_buffer_size()
        self._unsent_clock = self._unsent_clock + 1 if unsent and unsent == self._unsent else 0
        self._unsent = unsent
        return self._unsent_clock > self.limits.body_seconds

    def _tick_in_body(self) -> None:
        answered = self.hung_up or self.cycle.response_complete
        if not answered and (self.flow.read_paused or self._piece >= PIECE):
            self._piece = self._clock = 0
            return
        self._clock += 1
        seconds = self.limits.body_seconds
        if self._clock <= seconds:
            return
        if answered:
            self.transport.abort()
        else:
            self._refuse(
                408,
                f"Less than {PIECE} bytes of the body came within {seconds} seconds. LOCKSTREAM_BODY_SECONDS sets the "
                "limit. Send all of it again: what was accepted counts once.",
            )

    def _tick_in_headers(self) -> None:
        self._clock += 1
        seconds = self.limits.header_seconds
        if self._clock <= seconds:
            return
        if self._barren:
            self._refuse(
                408, f"The headers did not end within {seconds} seconds. LOCKSTREAM_HEADER_SECONDS sets the limit."
            )
        else:
            self.transport.close()

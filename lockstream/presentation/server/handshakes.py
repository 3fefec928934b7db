"""TLS handshakes: each is a connection from its beginning, and the number of those that are not finished is bounded.

uvloop tells a protocol of a TLS connection once its handshake is finished. Clients that never finish one would take
open files that no limit counts. So the server accepts plain connections, counts them, and begins the handshakes.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import cast

from lockstream.presentation.server.protocol import Connection

MAX_HANDSHAKES = 1_000
"""Most handshakes that are not finished. Beyond, the oldest one is disconnected: a good client takes part of a second,
so it is rarely the oldest.
"""

HANDSHAKE_SECONDS = 10
"""Longest time of a handshake, unless LOCKSTREAM_HEADER_SECONDS is shorter: it needs 3 packets of a client at most."""

logger = logging.getLogger(__name__)


class Handshakes:
    """The handshakes of a server that are not finished, the oldest first. For one event loop."""

    def __init__(self, context: ssl.SSLContext, seconds: int, limit: int = MAX_HANDSHAKES) -> None:
        self.context, self.seconds = context, seconds
        self._limit = limit
        self._unfinished: dict[Handshake, None] = {}

    def __len__(self) -> int:
        return len(self._unfinished)

    def add(self, handshake: "Handshake", room: int) -> None:
        """Add a handshake, and disconnect the oldest ones beyond the limit.

        `room` is the number of connections that may be open beside those whose handshake is finished.
        """
        self._unfinished[handshake] = None
        while len(self._unfinished) > min(self._limit, room):
            oldest = next(iter(self._unfinished))
            self.remove(oldest)
            oldest.abort()
            _log_too_many_handshakes(self._limit)

    def remove(self, handshake: "Handshake") -> None:
        """Remove a handshake that has finished or failed, if it was not removed before."""
        self._unfinished.pop(handshake, None)


class Handshake(asyncio.Protocol):
    """A connection that was accepted, and whose TLS handshake is not finished. Then a `Connection` takes its place."""

    def __init__(self, handshakes: Handshakes, new_connection: Callable[[], Connection]) -> None:
        self._handshakes, self._connection = handshakes, new_connection()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket from a transport, which has not read anything yet, and give it to one with TLS."""
        plain = cast(asyncio.Transport, transport)
        try:
            self._socket = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError:  # the process may open no more files
            return
        finally:
            plain.abort()
        self._task = asyncio.get_running_loop().create_task(self._finish())
        self._handshakes.add(self, self._connection.room)

    def abort(self) -> None:
        """Disconnect the client. The handshake then ends as if the client had gone."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    async def _finish(self) -> None:
        self._socket.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._connection,
                self._socket,
                ssl=self._handshakes.context,
                ssl_handshake_timeout=self._handshakes.seconds,
            )
        except OSError:  # the client has gone, does not speak TLS, or takes too long
            pass
        finally:
            self._handshakes.remove(self)


@cache
def _log_too_many_handshakes(limit: int) -> None:
    """Log once that handshakes were not finished."""
    logger.warning(
        "Connections were closed whose TLS handshake did not finish: %d may wait for it at a time, or fewer if the "
        "process may not open more files. If this is no attack, look for clients that connect without speaking TLS.",
        limit,
        extra={"event_name": "handshakes_closed"},
    )

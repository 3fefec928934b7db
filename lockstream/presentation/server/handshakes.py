"""TLS handshakes: each counts as a connection from its beginning, and the number of unfinished ones is limited.

uvloop creates the protocol of a TLS connection only once the handshake is finished. Clients that never finish a
handshake would take open files that no limit counts. So the server accepts plain connections, counts them, and begins
the handshakes by itself.
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
"""Most unfinished handshakes. Beyond this limit, the oldest one is disconnected: a good client takes part of a second,
and so is rarely the oldest.
"""

HANDSHAKE_SECONDS = 10
"""Longest time of a handshake, unless LOCKSTREAM_HEADER_SECONDS is shorter. A client sends 3 packets at most."""

logger = logging.getLogger(__name__)


class Handshakes:
    """The unfinished handshakes of a server, the oldest first. For one event loop."""

    def __init__(self, context: ssl.SSLContext, seconds: int, limit: int = MAX_HANDSHAKES) -> None:
        self.context, self.seconds = context, seconds
        self._limit = limit
        self._unfinished: dict[Handshake, None] = {}

    def __len__(self) -> int:
        return len(self._unfinished)

    def add(self, handshake: "Handshake", room: int) -> None:
        """Add a handshake, and disconnect the oldest ones beyond the limit.

        `room` is the number of connections that may be open beside the connections whose handshake is finished.
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
    """An accepted connection whose TLS handshake is not finished. A `Connection` takes its place afterwards."""

    def __init__(self, handshakes: Handshakes, new_connection: Callable[[], Connection]) -> None:
        self._handshakes, self._connection = handshakes, new_connection()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Move the socket from a transport, which has read nothing yet, to a transport with TLS."""
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
        extra={"event_name": "handshakes_unfinished"},
    )

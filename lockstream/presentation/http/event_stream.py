"""A response of server-sent events (HTML, section 9.2), and the last event that a client has received."""

import asyncio
import random
import re
from collections.abc import Mapping

from fastapi import Response
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from lockstream.core.errors import StoreUnavailable
from lockstream.core.wording import quoted
from lockstream.presentation.http.json_response import encoded_headers
from lockstream.presentation.http.media_types import EVENT_STREAM
from lockstream.services.running.feed_streams import FeedStream
from lockstream.services.running.lockstream import Lockstream

LAST_EVENT_ID = "Last-Event-ID"

RETRY_MILLISECONDS = 2_000, 15_000
"""Bounds of the random time after which a client connects again, so that not all clients connect at once."""

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx then forwards each event at once
}
_POSITION = re.compile("[0-9]{1,18}")


class InvalidLastEventId(Exception):
    """Raised when the header is present and is not a position."""

    def __init__(self, value: str) -> None:
        super().__init__(
            f"{LAST_EVENT_ID} is {quoted(value)}, which is not a position. Send the `id` of the last event, or omit it."
        )


def last_event_id_of(request: Request) -> int | None:
    """Return the position that the client has received last, or None if it names none.

    Raises:
        InvalidLastEventId: the header is present and is not a position.
    """
    given = request.headers.get(LAST_EVENT_ID)
    if not given:  # before the first event, a browser sends no id, or an empty one
        return None
    if not _POSITION.fullmatch(given):
        raise InvalidLastEventId(given)
    return int(given)


class EventStream(Response):
    """Sends a stream of the feed until the client disconnects or the server stops."""

    media_type = EVENT_STREAM

    def __init__(self, lockstream: Lockstream, stream: FeedStream, headers: Mapping[str, str]) -> None:
        self.background = None
        self.status_code = 200
        self.raw_headers = [
            (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
            *encoded_headers({**_HEADERS, **headers}),
        ]
        self._lockstream, self._stream = lockstream, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        disconnected = asyncio.ensure_future(wait_for_disconnect(receive))
        disconnected.add_done_callback(lambda _: self._lockstream.close_stream(self._stream))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            retry = random.randint(*RETRY_MILLISECONDS)  # noqa: S311  # spreads the load, which needs no secrecy
            await _send_part(send, b"retry: %d\nid: %d\n\n" % (retry, self._stream.start))
            if not scope.get(IS_HEAD):
                await self._send_parts(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            disconnected.cancel()

    async def _send_parts(self, send: Send) -> None:
        try:
            async for part in self._lockstream.parts(self._stream):
                await _send_part(send, part)
                del part
        except StoreUnavailable as error:  # the next connection of the client gets 503 with this text
            await _send_part(send, b": %b\n\n" % str(error).encode())


IS_HEAD = "lockstream.is_head"
"""Key in the ASGI scope of a HEAD request, whose stream ends at once because the response has no body."""


async def _send_part(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": True})


async def wait_for_disconnect(receive: Receive) -> None:
    """Return once the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass

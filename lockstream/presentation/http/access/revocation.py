"""The early end of a request whose key is revoked or expires while its response is awaited or streamed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import Message, Scope, Send

from lockstream.core.errors import NotAuthenticated
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.media_types import EVENT_STREAM
from lockstream.services.running.access.access import Access

_STREAM = EVENT_STREAM.encode()
_REFUSAL = "lockstream.refusal"


async def serve_while_key_is_accepted(
    access: Access, scope: Scope, serve: Callable[[Send], Awaitable[None]], send: Send
) -> None:
    """Serve a request until its key is no longer accepted.

    Once the key has ended, `serve` is cancelled if it has sent nothing yet, or sends a stream. `refusal_of` then
    returns the error for the response. Any other response that has begun is completed, because its length was sent.
    """
    progress, caller = _Progress(send), caller_of(scope)
    loop = asyncio.get_running_loop()

    async def run() -> None:
        await serve(progress.send)

    task = loop.create_task(run())

    def cancel() -> None:
        if not progress.must_complete:
            try:
                access.require_accepted(caller)
            except NotAuthenticated as refusal:
                scope[_REFUSAL] = refusal
                task.cancel()

    with access.open_requests.added(caller.key_id, lambda: loop.call_soon_threadsafe(cancel)):
        try:
            await task
        except asyncio.CancelledError:
            if not (refusal_of(scope) and task.cancelled()):
                raise
            with suppress(OSError):
                await send({"type": "http.response.body", "body": b""})


def refusal_of(scope: Scope) -> NotAuthenticated | None:
    """Return why a request was ended, or None if its key is still accepted."""
    refusal: NotAuthenticated | None = scope.get(_REFUSAL)
    return refusal


class _Progress:
    """Forwards the messages of a response, and notes whether a response with a length has begun."""

    def __init__(self, send: Send) -> None:
        self.must_complete = False
        """Whether a response with a length has begun, which must be sent to its end."""

        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            types = (value for name, value in message["headers"] if name == b"content-type")
            self.must_complete = not next(types, b"").startswith(_STREAM)
        await self._send(message)

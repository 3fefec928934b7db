"""The early end of a request whose key is revoked or expires while its response is awaited or streamed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import Message, Send

from lockstream.core.entities.access import Caller
from lockstream.presentation.http.media_types import EVENT_STREAM
from lockstream.services.running.access.access import Access

_STREAM = EVENT_STREAM.encode()


class Ending:
    """Whether a request was ended early."""

    def __init__(self) -> None:
        self.is_ended = False


async def serve_until_ended(
    access: Access, caller: Caller, ending: Ending, serve: Callable[[Send], Awaitable[None]], send: Send
) -> None:
    """Serve a request until its key is no longer accepted.

    `serve` is cancelled then, if it has not sent anything yet or sends a stream. `ending` tells it why, so that it can
    send a refusal. A response of another kind that has begun is completed, because its length was already sent.
    """
    progress = _Progress(send)
    loop = asyncio.get_running_loop()

    async def run() -> None:
        await serve(progress.send)

    task = loop.create_task(run())

    def cancel() -> None:
        if not progress.is_page:
            ending.is_ended = True
            task.cancel()

    with access.open_requests.added(caller.key_id, lambda: loop.call_soon_threadsafe(cancel)):
        try:
            await task
        except asyncio.CancelledError:
            if not (ending.is_ended and task.cancelled()):
                raise
            with suppress(OSError):
                await send({"type": "http.response.body", "body": b""})


class _Progress:
    """Forwards the messages of a response, and tells what was begun."""

    def __init__(self, send: Send) -> None:
        self.is_page = False
        """Whether a response that is not a stream has begun."""

        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            types = (value for name, value in message["headers"] if name == b"content-type")
            self.is_page = not next(types, b"").startswith(_STREAM)
        await self._send(message)

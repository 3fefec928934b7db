"""POST /events/batch."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from lockstream.core.entities.events import Event
from lockstream.core.errors import QueueFull, StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.presentation.bodies import JSON, NDJSON, Body
from lockstream.presentation.events import send_json
from lockstream.presentation.problems import (
    FAULT,
    HEADERS_TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED,
    BodyTooLarge,
    Handed,
    UnsupportedMediaType,
    answer_problem,
)
from lockstream.presentation.running import Running
from lockstream.schemas.answers import BatchAnswer, MalformedAnswer, Problem
from lockstream.schemas.batches import Lines, MalformedItem, read_items, split_array, split_by_brackets
from lockstream.schemas.outcomes import item_of
from lockstream.services.lockstream import Lockstream

MAX_BATCH_EVENTS = 10_000

CHUNK = 100
"""Events that are read, and then decided, in one go: some 3 ms. Other requests are served before the next ones."""

CHUNK_BYTES = 128 * 1024
"""Large ones are read in smaller chunks."""

LARGE_ARRAY = 512 * 1024
"""Bytes of an array beyond which it is cut into its items beside the event loop."""

AHEAD = 2
"""Chunks of one batch that may wait to be decided or flushed while the next one is read."""

router = APIRouter(tags=["events"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": BatchAnswer, "description": "What became of each event, in order."},
    408: TOO_SLOW,
    413: {
        "model": Problem,
        "description": "The batch is too large: send it in parts. Of NDJSON the first lines may have been decided.",
    },
    415: UNSUPPORTED,
    422: {
        "model": MalformedAnswer,
        "description": "The body is no list, or not what gzip writes. Nothing of an array was taken in; of NDJSON, the "
        "lines before that may have been.",
    },
    431: HEADERS_TOO_LARGE,
    500: FAULT,
    503: UNAVAILABLE | {"description": "Some or all was not acknowledged: send the whole batch again later."},
}

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Event"},
                    "maxItems": MAX_BATCH_EVENTS,
                }
            },
            NDJSON: {"schema": {"type": "string", "description": "One event a line."}},
        },
    }
}


@router.post("/events/batch", response_model=None, responses=_RESPONSES, openapi_extra=_BODY)
async def post_batch() -> Response:
    """Report up to 10,000 events.

    Each is decided in order, as if it had come alone: it may build on those before it, and what is wrong with it harms
    no other. The whole batch may be sent again at any time; what was accepted is a duplicate then. NDJSON is decided
    as it comes in. The body may be compressed by gzip.
    """
    return Handed(answer_batch)


async def answer_batch(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request of this operation."""
    try:
        running: Running = scope["app"].state.running
        lockstream = running.get()
        body = Body(scope, receive, lockstream.settings.max_batch_bytes, "LOCKSTREAM_MAX_BATCH_BYTES")
        answer = await _take_in(body, lockstream)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # FastAPI, which would catch it, is not there
        response = await answer_problem(Request(scope), error)
        await response(scope, receive, send)
        return
    await send_json(send, 200, answer)


async def _take_in(body: Body, lockstream: Lockstream) -> bytes:
    batch = _Batch(lockstream)
    try:
        if body.media_type == NDJSON:
            await batch.take_in_lines(body.pieces())
        elif body.media_type == JSON:
            await batch.take_in_array(await body.read())
        else:
            raise UnsupportedMediaType(body.media_type, JSON, NDJSON)
        return await batch.answer()
    finally:
        batch.give_up()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def _turn() -> asyncio.Lock:
    """Held by the batch that may have a chunk read: a round of the loop takes as long as one chunk, not many."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def _aside[**ArgumentsT, AnswerT](
    large: bool, function: Callable[ArgumentsT, AnswerT], *args: ArgumentsT.args, **kwargs: ArgumentsT.kwargs
) -> AnswerT:
    """What `function` answers, called in a thread where there is much to do."""
    return await asyncio.to_thread(function, *args, **kwargs) if large else function(*args, **kwargs)


def _chunks(texts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut a part of a batch into what is read in one go; the last chunk may be empty."""
    start = size = 0
    for at, text in enumerate(texts):
        if at - start == CHUNK or (size and size + len(text) > CHUNK_BYTES):
            yield texts[start:at]
            start, size = at, 0
        size += len(text)
    yield texts[start:]


class _Batch:
    """A batch on its way through: chunks are decided in turn, a few of them at a time."""

    def __init__(self, lockstream: Lockstream) -> None:
        self._lockstream = lockstream
        self._limit = lockstream.settings.max_event_bytes
        self._count = 0
        self._answers: list[bytes] = []
        self._under_way: deque[tuple[list[Event | MalformedItem], asyncio.Task[Sequence[Outcome | Exception]]]] = (
            deque()
        )

    async def take_in_array(self, body: bytes) -> None:
        texts = await _aside(len(body) > LARGE_ARRAY, split_array, body, MAX_BATCH_EVENTS)
        if texts is None:
            texts = await _aside(True, split_by_brackets, body, MAX_BATCH_EVENTS, self._limit)
        if len(texts) > MAX_BATCH_EVENTS:
            raise BodyTooLarge(
                f"The batch has more than {MAX_BATCH_EVENTS} events. Nothing of it was taken in: send it in parts."
            )
        for chunk in _chunks(texts):
            await self._take_in(chunk)

    async def take_in_lines(self, pieces: AsyncIterator[bytes]) -> None:
        lines = Lines(self._limit)
        waiting: Sequence[bytes] = ()
        async for piece in pieces:
            *chunks, waiting = _chunks([*waiting, *lines.feed(piece)])
            for chunk in chunks:
                await self._take_in(chunk)
        for chunk in _chunks([*waiting, *lines.finish()]):
            await self._take_in(chunk)

    async def answer(self) -> bytes:
        """What became of each event, once all is durable."""
        await self._hear_all()
        return b"[%b]" % b",".join(self._answers)

    def give_up(self) -> None:
        """Wait for nothing any more. What was handed in is decided all the same."""
        for _, deciding in self._under_way:
            deciding.cancel()

    async def _take_in(self, texts: Sequence[bytes]) -> None:
        if not texts:
            return
        if self._count + len(texts) > MAX_BATCH_EVENTS:
            await self._hear_all()
            raise BodyTooLarge(
                f"The batch has more than {MAX_BATCH_EVENTS} events. The first {self._count} were decided; send all of "
                "it again in parts, what was accepted counts once."
            )
        async with _turn():
            items = read_items(texts, self._count, self._limit)
            self._count += len(items)
            events = [item for item in items if not isinstance(item, MalformedItem)]
            deciding = None
            with suppress(QueueFull):
                deciding = self._lockstream.ingest(events)
            await asyncio.sleep(0)
        if deciding is None:
            await self._hear_all()  # what fills the queue may be this batch itself
            deciding = self._lockstream.ingest(events)
        self._under_way.append((items, asyncio.ensure_future(deciding)))
        while len(self._under_way) > AHEAD:
            await self._hear()

    async def _hear_all(self) -> None:
        while self._under_way:
            await self._hear()

    async def _hear(self) -> None:
        items, deciding = self._under_way.popleft()
        outcomes = iter(await deciding)
        for item in items:
            if isinstance(item, MalformedItem):
                self._answers.append(item.answer())
                continue
            outcome = next(outcomes)
            if isinstance(outcome, StoreUnavailable):
                raise outcome
            self._answers.append(item_of(item, outcome))

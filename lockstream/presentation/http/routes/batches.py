"""Report many events in one request."""

import asyncio
from codecs import BOM_UTF8
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from lockstream.core.entities.access import Caller
from lockstream.core.entities.events import Event
from lockstream.core.errors import NotAuthenticated, QueueFull, StoreUnavailable
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.access.rate_limits import take_events
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.bodies import Body, note_malformed_body
from lockstream.presentation.http.errors import (
    HEADERS_TOO_LARGE,
    INTERNAL,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED,
    BodyTooLarge,
    UnsupportedMediaType,
)
from lockstream.presentation.http.json_response import EncodedJson
from lockstream.presentation.http.media_types import JSON, NDJSON
from lockstream.presentation.http.proxies import remote_address
from lockstream.schemas.batches import MalformedEntry, NdjsonReader, parse_items, split_array
from lockstream.schemas.events import MalformedBody
from lockstream.schemas.outcomes import batch_item
from lockstream.schemas.responses import BatchResponse, ErrorBody, MalformedBodyErrors
from lockstream.services.running.access.rate_limits import TooManyRequests
from lockstream.services.running.group_commit import Origin, Outcomes

MAX_BATCH_EVENTS = 10_000

CHUNK_EVENTS = 250
"""Events that are parsed, and then decided, together. Other requests are served before the next chunk."""

CHUNK_BYTES = 128 * 1024
"""Most bytes of a chunk, unless its first event is larger."""

LARGE_ARRAY_BYTES = 512 * 1024
"""Size of an array from which it is split in a thread instead of on the event loop."""

CHUNKS_AHEAD = 2
"""Chunks of one batch that may wait for their outcomes while the next one is parsed."""

router = APIRouter(tags=["events"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": BatchResponse, "description": "The outcome of each event, in order."},
    408: TOO_SLOW,
    413: {
        "model": ErrorBody,
        "description": "The batch is too large: send it in parts. The first lines of NDJSON may have been decided.",
    },
    415: UNSUPPORTED,
    422: {
        "model": MalformedBodyErrors,
        "description": "The body is not a list, or not in the gzip format. Nothing of an array was decided; the lines "
        "before the error may have been.",
    },
    431: HEADERS_TOO_LARGE,
    500: INTERNAL,
    503: UNAVAILABLE | {"description": "Some or all events were not acknowledged: send the whole batch again later."},
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
async def post_batch(request: Request) -> Response:
    """Report up to 10,000 events.

    Each event is decided in order, as if it had come alone: it may build on earlier ones, and a malformed event harms
    no other. The whole batch may be sent again at any time; accepted events are duplicates then. NDJSON is decided as
    it arrives. The body may be compressed by gzip.
    """
    lockstream = lockstream_of(request)
    body = Body(request, lockstream.settings.max_batch_bytes, "LOCKSTREAM_MAX_BATCH_BYTES")
    caller = caller_of(request.scope)
    take_events(request, caller, 0)
    batch, text = _Batch(request, caller), b""
    try:
        if body.media_type == NDJSON:
            await batch.decide_lines(body.pieces())
        elif body.media_type == JSON:
            text = (await body.read()).removeprefix(BOM_UTF8)
            await batch.decide_array(text)
        else:
            raise UnsupportedMediaType(request, JSON, NDJSON)
        return EncodedJson(await batch.response())
    except MalformedBody as error:
        raise note_malformed_body(request, error, text) from error.__cause__
    finally:
        batch.abandon()


def _chunks(texts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Split a part of a batch into chunks. The last chunk may be empty."""
    start = size = 0
    for index, text in enumerate(texts):
        if index - start == CHUNK_EVENTS or (size and size + len(text) > CHUNK_BYTES):
            yield texts[start:index]
            start, size = index, 0
        size += len(text)
    yield texts[start:]


class _Batch:
    """A batch while it is decided, chunk by chunk."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._request, self._caller = request, caller
        self._lockstream = lockstream_of(request)
        self._address = remote_address(request.scope)
        self._max_event_bytes = self._lockstream.settings.max_event_bytes
        self._count = 0
        self._items: list[str] = []
        self._pending: deque[tuple[list[Event | MalformedEntry], asyncio.Task[Outcomes]]] = deque()

    async def decide_array(self, body: bytes) -> None:
        """Decide a JSON array. No event is decided if the body is not an array, or has too many items."""
        if len(body) > LARGE_ARRAY_BYTES:
            texts = await asyncio.to_thread(split_array, body, MAX_BATCH_EVENTS, self._max_event_bytes)
        else:
            texts = split_array(body, MAX_BATCH_EVENTS, self._max_event_bytes)
        if len(texts) > MAX_BATCH_EVENTS:
            raise BodyTooLarge(
                f"The batch has more than {MAX_BATCH_EVENTS:,} events, and none was decided. Send the batch in parts."
            )
        take_events(self._request, self._caller, len(texts))
        for chunk in _chunks(texts):
            await self._decide(chunk)

    async def decide_lines(self, pieces: AsyncIterator[bytes]) -> None:
        """Decide NDJSON as it arrives. One batch exceeds no rate limit: the key owes the events beyond the limit."""
        lines = NdjsonReader(self._max_event_bytes)
        waiting: Sequence[bytes] = ()
        async for piece in pieces:
            *chunks, waiting = _chunks([*waiting, *lines.feed(piece)])
            for chunk in chunks:
                await self._decide_within_limit(chunk)
        for chunk in _chunks([*waiting, *lines.finish()]):
            await self._decide_within_limit(chunk)

    async def response(self) -> bytes:
        """Return the outcomes as a JSON array, once all accepted events are durable."""
        await self._collect(0)
        return f"[{','.join(self._items)}]".encode()

    def abandon(self) -> None:
        """Stop waiting for outcomes. Submitted events are decided nevertheless."""
        for _, deciding in self._pending:
            deciding.cancel()

    async def _decide_within_limit(self, texts: Sequence[bytes]) -> None:
        """Decide a chunk of NDJSON. With concurrent batches, the key may owe up to `MAX_BATCH_EVENTS` events."""
        try:
            take_events(self._request, self._caller, len(texts), debt=MAX_BATCH_EVENTS, decided=self._count)
        except TooManyRequests:
            await self._collect(0)
            raise
        await self._decide(texts)

    async def _require_accepted(self) -> None:
        """Require that the key is still accepted, because NDJSON may arrive for hours."""
        try:
            self._lockstream.access.require_accepted(self._caller)
        except NotAuthenticated:
            await self._collect(0)
            raise

    async def _decide(self, texts: Sequence[bytes]) -> None:
        if not texts:
            return
        if self._count + len(texts) > MAX_BATCH_EVENTS:
            await self._collect(0)
            raise BodyTooLarge(
                f"The batch has more than {MAX_BATCH_EVENTS:,} events. The first {self._count:,} were decided. Send "
                "the whole batch again in parts; accepted events count once."
            )
        await self._require_accepted()
        async with self._lockstream.parsing_lock(self._caller):
            items = parse_items(texts, self._count, self._max_event_bytes)
            await asyncio.sleep(0)  # other requests are served before the next chunk of any batch
        self._count += len(items)
        events = [item for item in items if not isinstance(item, MalformedEntry)]
        if len(events) < len(items):
            texts = self._note_malformed(items, texts)
        origin = Origin(self._address, texts, caller=self._caller)
        try:
            deciding = self._lockstream.ingest(events, origin)
        except QueueFull:
            await self._collect(0)  # the pending chunks of this batch may fill the queue
            deciding = self._lockstream.ingest(events, origin)
        self._pending.append((items, asyncio.ensure_future(deciding)))
        await self._collect(CHUNKS_AHEAD)

    def _note_malformed(self, items: Sequence[Event | MalformedEntry], texts: Sequence[bytes]) -> Sequence[bytes]:
        """Note items that are not events in the quarantine, and return the texts of all other items."""
        for item, text in zip(items, texts, strict=True):
            if isinstance(item, MalformedEntry):
                first = item.errors[0]
                self._lockstream.note_malformed(first["type"], first["msg"], text, self._address)
        return [text for item, text in zip(items, texts, strict=True) if not isinstance(item, MalformedEntry)]

    async def _collect(self, pending: int) -> None:
        """Wait for outcomes, in order, until at most `pending` chunks have none."""
        while len(self._pending) > pending:
            items, deciding = self._pending.popleft()
            outcomes = await deciding
            for outcome in outcomes:
                if isinstance(outcome, StoreUnavailable):
                    raise outcome
            decided = iter(outcomes)
            self._items += [
                item.encode() if isinstance(item, MalformedEntry) else batch_item(item, next(decided)) for item in items
            ]

"""The feed: all accepted events in the order of the log, for other systems."""

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.feed import FeedFilter, FeedPage
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import NOT_ACCEPTABLE
from lockstream.presentation.http.event_stream import LAST_EVENT_ID, EventStream, last_event_id_of
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.log_id import LOG, PARAMETER, SCHEMA, log_id_of
from lockstream.presentation.http.media_types import (
    CLOUD_EVENT,
    CLOUD_EVENT_BATCH,
    CSV,
    EVENT_STREAM,
    JSON,
    NDJSON,
    accepts_by_name,
    negotiate,
)
from lockstream.presentation.http.min_position import MAX_POSITION, POSITION, min_position_of
from lockstream.presentation.http.query_parameters import (
    Head,
    InvalidQuery,
    QueryParameters,
    Values,
    identifier,
    instant,
    partition,
    position_or_head,
    whole_number,
    word,
)
from lockstream.presentation.http.routes.histories import EXAMPLE
from lockstream.presentation.http.routes.shared.pages import CONTENT_DISPOSITION, csv_response
from lockstream.presentation.http.routes.shared.reads import parameters_of, responses_of
from lockstream.schemas.cloud_events import cloud_event, cloud_event_batch, cloud_event_stream
from lockstream.schemas.listings import encode_json
from lockstream.schemas.records import FeedBody, feed_csv, feed_event_stream, feed_json
from lockstream.services.running.lockstream import Lockstream

router = APIRouter(tags=["events"])

THROUGH = "Lockstream-Through"

MAX_ITEMS = 10_000
MAX_WAIT_SECONDS = 30

_AFTER = position_or_head(
    "after",
    "Events after this position: 0 begins with the first event, the `through` of a page goes on with the next one, and "
    "`head` begins with the next event that is accepted.",
)
_FROM = instant("from", "Events that were accepted at this time or later. For the first page, instead of `after`.")
_LIMIT = whole_number("limit", 1, MAX_ITEMS, 100, "Maximum number of events on a page.")
_TYPE = word("type", EVENT_TYPES, "Events of this type.")
_LOCKER_ID = identifier("locker_id", "Events of this locker.")
_PARTITION = partition(
    "partition",
    "Events of the lockers in part `i` of `n`, counted from 0. So `n` readers share the feed, and each sees the events "
    "of its lockers in order. docs/feed.md says how a locker's part is computed.",
)
_WAIT = whole_number(
    "wait", 0, MAX_WAIT_SECONDS, 0, "Seconds to wait for an event, if there is none yet that the request asks for."
)
_STREAM_PARAMETERS = QueryParameters(_AFTER, _FROM, _TYPE, _LOCKER_ID, _PARTITION)
_PARAMETERS = QueryParameters(_AFTER, _FROM, _LIMIT, _TYPE, _LOCKER_ID, _PARTITION, _WAIT)

_EXAMPLE = FeedBody([EXAMPLE], EXAMPLE.position, 81_500, "9f86d081884c7d659a2feaa0c55ad015")
_EXAMPLE_LINE = encode_json(EXAMPLE) + b"\n"
_LAST_EVENT_ID = {
    "name": LAST_EVENT_ID,
    "in": "header",
    "required": False,
    "description": "The last `id` that the client has received, as browsers send it. It replaces `after`.",
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_POSITION},
}
_VARY = {
    "description": "`Accept`, which chooses the form of the events.",
    "required": True,
    "schema": {"type": "string"},
}
_STREAM_EXAMPLE = FeedPage([_EXAMPLE_LINE], EXAMPLE.position + 40, 81_500, _EXAMPLE.log)


def _responses() -> dict[int | str, dict[str, Any]]:
    position = {"required": True, "schema": {"type": "integer", "minimum": 0}}
    log = {"required": True, "schema": SCHEMA}
    conflict = {
        "description": "The reader has read another log, or beyond the end of this one, as after a restore.",
        "headers": {
            LOG: log | {"description": "The log that the server has."},
            POSITION: position | {"description": "The position of its newest event."},
        },
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/CursorRefusedBody"}}},
    }
    declared = responses_of(_EXAMPLE, "A page of the feed.", {406: NOT_ACCEPTABLE, 409: conflict})
    declared[422] = declared[422] | {
        "description": "The request has no start or two, or a parameter is wrong. `detail` names the allowed values."
    }
    declared[200]["content"][NDJSON] = {
        "schema": {"type": "string", "description": "One line an event, as the log has it."}
    }
    declared[200]["content"][CLOUD_EVENT_BATCH] = {
        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/CloudEvent"}},
        "example": [json.loads(cloud_event(_EXAMPLE_LINE))],
    }
    declared[200]["content"][CSV] = {
        "schema": {"type": "string"},
        "example": feed_csv(_STREAM_EXAMPLE).decode(),
    }
    declared[200]["headers"] |= {
        THROUGH: position | {"description": "The `through` of the page."},
        LOG: log | {"description": "The `log` of the page."},
        "Vary": _VARY,
        "Content-Disposition": CONTENT_DISPOSITION,
    }
    return declared


def _stream_responses() -> dict[int | str, dict[str, Any]]:
    declared = _responses()
    del declared[406]
    text = {"schema": {"type": "string"}, "example": feed_event_stream(_STREAM_EXAMPLE).decode()}
    declared[503] = declared[503] | {
        "description": "The log cannot be read now, or the limit of open streams is reached; try again later."
    }
    return declared | {
        200: {
            "description": "Events as they are accepted, until the client disconnects. `data` is an accepted event: a "
            f"`RecordedEvent`, or a `CloudEvent` if `Accept` names `{CLOUD_EVENT}`. `id` is a position up to which "
            "everything was sent; without data, it only moves the cursor of the client.",
            "headers": {
                LOG: {"description": "The log that the events are from.", "required": True, "schema": SCHEMA},
                "Vary": _VARY,
                "Cache-Control": {"description": "`no-store`.", "required": True, "schema": {"type": "string"}},
            },
            "content": {EVENT_STREAM: text},
        }
    }


@router.get(
    "/events",
    response_model=None,
    responses=_responses(),
    openapi_extra=parameters_of(_PARAMETERS, PARAMETER),
)
async def get_events(request: Request) -> Response:
    """The feed: accepted events in the order of the log, without a gap.

    A page also tells how far the log was searched. A reader keeps this position, `through`, and sends the position as
    `after` of the next page.
    """
    values = _PARAMETERS.parse(request)
    media_type = negotiate(request, (JSON, NDJSON, CLOUD_EVENT_BATCH, CSV))
    lockstream = lockstream_of(request)
    min_position = min_position_of(request)
    after = await _start(lockstream, values, min_position)
    wanted = FeedFilter(values[_TYPE], values[_LOCKER_ID], values[_PARTITION])
    page = await lockstream.feed_page(wanted, after, values[_LIMIT], values[_WAIT], log_id_of(request), min_position)
    headers = {POSITION: str(page.head), THROUGH: str(page.through), LOG: page.log_id, "Vary": "Accept"}
    if media_type == NDJSON:
        return Response(b"".join(page.items), media_type=NDJSON, headers=headers)
    if media_type == CLOUD_EVENT_BATCH:
        batch = await asyncio.to_thread(cloud_event_batch, page)  # so that a long page delays no other request
        return Response(batch, media_type=CLOUD_EVENT_BATCH, headers=headers)
    if media_type == CSV:
        return csv_response("events", await asyncio.to_thread(feed_csv, page), headers)
    return EncodedJson(feed_json(page), headers=encoded_headers(headers))


@router.get(
    "/events/stream",
    response_model=None,
    response_class=Response,  # else the contract would declare JSON
    responses=_stream_responses(),
    openapi_extra=parameters_of(_STREAM_PARAMETERS, PARAMETER, _LAST_EVENT_ID),
)
async def get_event_stream(request: Request) -> Response:
    """The feed as server-sent events: accepted events as they come.

    A browser connects again after a lost connection, and goes on behind the last event that it has received.
    """
    values = _STREAM_PARAMETERS.parse(request)
    lockstream = lockstream_of(request)
    min_position = min_position_of(request)
    after = last_event_id_of(request)
    if after is None:
        after = await _start(lockstream, values, min_position)
    wanted = FeedFilter(values[_TYPE], values[_LOCKER_ID], values[_PARTITION])
    encode = cloud_event_stream if accepts_by_name(request, CLOUD_EVENT) else feed_event_stream
    caller = caller_of(request.scope)
    stream = await lockstream.open_stream(wanted, after, log_id_of(request), encode, min_position, caller)
    return EventStream(lockstream, stream, {LOG: stream.log_id, "Vary": "Accept"})


async def _start(lockstream: Lockstream, values: Values, min_position: int) -> int | None:
    """Return the position after which the page begins, or None for the head.

    Raises:
        InvalidQuery: the request has no start, or two.
    """
    after, time = values[_AFTER], values[_FROM]
    if (after is None) == (time is None):
        raise InvalidQuery(
            "The feed needs one start. Send after=0 for the first event, after=head for the next one that is accepted, "
            "after= with the `through` of the page before, or from= with a time."
        )
    if time is not None:
        before = time.last_before
        return (await lockstream.list(lambda listings: listings.position_at(before), min_position)).value
    return None if isinstance(after, Head) else after

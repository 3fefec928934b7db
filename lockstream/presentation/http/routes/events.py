"""Report one event."""

from codecs import BOM_UTF8
from typing import Any

from fastapi import APIRouter, Request, Response

from lockstream.core.errors import MalformedEvent
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
    UnsupportedMediaType,
)
from lockstream.presentation.http.json_response import EncodedJson
from lockstream.presentation.http.media_types import CLOUD_EVENT, JSON
from lockstream.presentation.http.proxies import remote_address
from lockstream.schemas.cloud_events import REPORTED_CLOUD_EVENT, reported_event
from lockstream.schemas.events import EVENT, MalformedBody
from lockstream.schemas.outcomes import event_response
from lockstream.schemas.responses import ConflictBody, ErrorBody, EventResponse, MalformedBodyErrors, UnresolvedBody

router = APIRouter(tags=["events"])

_LOCKER = {"locker_id": "$request.body#/locker_id"}
_LINKS = {
    "locker": {
        "operationId": "get_locker",
        "parameters": _LOCKER,
        "description": "If the body is an `Event`, not a CloudEvent.",
    },
    "compartment": {
        "operationId": "get_compartment",
        "parameters": _LOCKER | {"compartment_id": "$request.body#/payload/compartment_id"},
        "description": "If the body is an `Event`, and its payload names a compartment.",
    },
    "reservation": {
        "operationId": "get_reservation",
        "parameters": {"reservation_id": "$request.body#/payload/reservation_id"},
        "description": "If the body is an `Event`, and its payload names a reservation.",
    },
    "again": {
        "operationId": "post_event",
        "requestBody": "$request.body",
        "description": "The same event again is a duplicate.",
    },
}

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": EventResponse, "description": "Duplicate: the event was accepted before. Nothing changed."},
    202: {"model": EventResponse, "description": "Accepted: the event is in the log, on disk.", "links": _LINKS},
    409: {"model": ConflictBody, "description": "Refused: the state or history of the event's subject forbids it."},
    408: TOO_SLOW,
    413: {"model": ErrorBody, "description": "The body is too large."},
    415: UNSUPPORTED,
    422: {
        "model": MalformedBodyErrors | UnresolvedBody,
        "description": "Malformed (`detail` is a list), or refused: the event's subject cannot be resolved.",
    },
    431: HEADERS_TOO_LARGE,
    500: INTERNAL,
    503: UNAVAILABLE,
}

_MEDIA_TYPES = JSON, CLOUD_EVENT

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/Event"}},
            CLOUD_EVENT: {"schema": {"$ref": "#/components/schemas/ReportedCloudEvent"}},
        },
    }
}


@router.post("/events", status_code=202, response_model=None, responses=_RESPONSES, openapi_extra=_BODY)
async def post_event(request: Request) -> Response:
    """Report one event.

    An event may be sent any number of times; it counts once. After a 503, or without a response, send it again. The
    body may be compressed by gzip. It may be a CloudEvent, and then counts as the event that it reports.
    """
    lockstream = lockstream_of(request)
    body = Body(request, lockstream.settings.max_event_bytes, "LOCKSTREAM_MAX_EVENT_BYTES")
    if body.media_type not in _MEDIA_TYPES:
        raise UnsupportedMediaType(request, *_MEDIA_TYPES)
    caller = caller_of(request.scope)
    take_events(request, caller, 1)
    is_cloud_event, text, address = body.media_type == CLOUD_EVENT, b"", remote_address(request.scope)
    try:
        text = (await body.read()).removeprefix(BOM_UTF8)
        lockstream.access.require_accepted(caller)  # the body may have taken long
        reported = reported_event(text) if is_cloud_event else text
        event, outcome = await lockstream.ingest_text(reported, address, caller)
    except MalformedEvent as error:
        form = REPORTED_CLOUD_EVENT if is_cloud_event else EVENT
        raise note_malformed_body(request, MalformedBody(form.explain(text, error)), text) from error
    except MalformedBody as error:
        raise note_malformed_body(request, error, text) from error.__cause__
    if isinstance(outcome, Exception):
        raise outcome
    status, content = event_response(event, outcome)
    return EncodedJson(content, status)

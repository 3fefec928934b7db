"""POST /events."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from lockstream.presentation.bodies import JSON, Body
from lockstream.presentation.problems import (
    FAULT,
    HEADERS_TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED,
    Handed,
    UnsupportedMediaType,
    answer_problem,
)
from lockstream.presentation.running import Running
from lockstream.schemas.answers import ConflictAnswer, EventAnswer, MalformedAnswer, Problem, UnresolvedAnswer
from lockstream.schemas.events import parse_event
from lockstream.schemas.outcomes import answer_of

router = APIRouter(tags=["events"])

_LOCKER = {"locker_id": "$request.body#/locker_id"}
_LINKS = {
    "locker": {"operationId": "get_locker_lockers__locker_id__get", "parameters": _LOCKER},
    "compartment": {
        "operationId": "get_compartment_lockers__locker_id__compartments__compartment_id__get",
        "parameters": _LOCKER | {"compartment_id": "$request.body#/payload/compartment_id"},
        "description": "Where the payload names one.",
    },
    "reservation": {
        "operationId": "get_reservation_reservations__reservation_id__get",
        "parameters": {"reservation_id": "$request.body#/payload/reservation_id"},
        "description": "Where the payload names one.",
    },
    "again": {
        "operationId": "post_event_events_post",
        "requestBody": "$request.body",
        "description": "The same event again is a duplicate.",
    },
}

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": EventAnswer, "description": "A duplicate: the event was accepted before. Nothing changed."},
    202: {"model": EventAnswer, "description": "Accepted: the event is in the log, on the disk.", "links": _LINKS},
    409: {"model": ConflictAnswer, "description": "Refused: the state or history of what it names forbids the event."},
    408: TOO_SLOW,
    413: {"model": Problem, "description": "The body is too large."},
    415: UNSUPPORTED,
    422: {
        "model": MalformedAnswer | UnresolvedAnswer,
        "description": "Malformed (`detail` is a list), or refused: what the event names cannot be resolved.",
    },
    431: HEADERS_TOO_LARGE,
    500: FAULT,
    503: UNAVAILABLE,
}

_BODY = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Event"}}},
    }
}


@router.post("/events", status_code=202, response_model=None, responses=_RESPONSES, openapi_extra=_BODY)
async def post_event() -> Response:
    """Report what happened.

    An event may be sent any number of times; it counts once. After a 503, or no answer at all, send it again. The body
    may be compressed by gzip.
    """
    return Handed(answer_event)


async def answer_event(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request of this operation."""
    try:
        running: Running = scope["app"].state.running
        lockstream = running.get()
        body = Body(scope, receive, lockstream.settings.max_event_bytes, "LOCKSTREAM_MAX_EVENT_BYTES")
        if body.media_type != JSON:
            raise UnsupportedMediaType(body.media_type, JSON)
        event = parse_event(await body.read())
        [outcome] = await lockstream.ingest([event])
        if isinstance(outcome, Exception):
            raise outcome
        status, answer = answer_of(event, outcome)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # FastAPI, which would catch it, is not there
        response = await answer_problem(Request(scope), error)
        await response(scope, receive, send)
        return
    await send_json(send, status, answer)


async def send_json(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

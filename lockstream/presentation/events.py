"""POST /events."""

import asyncio
from typing import Any, assert_never

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.entities.events import Event
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Ground, Outcome, Refusal
from lockstream.presentation.problems import FAULT, UNAVAILABLE, BodyTooLarge, UnsupportedMediaType, answer_problem
from lockstream.presentation.running import CurrentLockstream, Running
from lockstream.schemas.answers import ConflictAnswer, EventAnswer, MalformedAnswer, Problem, UnresolvedAnswer
from lockstream.schemas.events import parse_event

router = APIRouter(tags=["events"])

_REFUSALS: dict[Ground, tuple[int, type[ConflictAnswer | UnresolvedAnswer]]] = {
    Ground.CONFLICT: (409, ConflictAnswer),
    Ground.UNRESOLVED: (422, UnresolvedAnswer),
}

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": EventAnswer, "description": "A duplicate: the event was accepted before. Nothing changed."},
    202: {"model": EventAnswer, "description": "Accepted: the event is in the log, on the disk."},
    409: {"model": ConflictAnswer, "description": "Refused: the state or history of what it names forbids the event."},
    413: {"model": Problem, "description": "The body is too large."},
    415: {"model": Problem, "description": "The body is not JSON."},
    422: {
        "model": MalformedAnswer | UnresolvedAnswer,
        "description": "Malformed (`detail` is a list), or refused: what the event names cannot be resolved.",
    },
    500: FAULT,
    503: UNAVAILABLE,
}

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}},
    }
}


@router.post("/events", status_code=202, response_model=None, responses=_RESPONSES, openapi_extra=_BODY)
async def post_event(request: Request, lockstream: CurrentLockstream) -> Response:
    """Report what happened.

    An event may be sent any number of times; it counts once. After a 503, or no answer at all, send it again.
    """
    event = parse_event(await _body(request, lockstream.max_event_bytes))
    return _answer(event, await lockstream.ingest(event))


class EventsInFront:
    """POST /events, in front of FastAPI.

    FastAPI's middleware, routing and dependencies cost more than all that Lockstream does with an event, the flush
    included: without them, 32 clients are served 1.7 times as many events a second (docs/decisions/0010). It is the
    route's own function that answers here; the route documents it, and serves it where a proxy's prefix stands before
    the path.
    """

    def __init__(self, app: ASGIApp, running: Running) -> None:
        self._app = app
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/events" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await post_event(request, self._running.get())
        except asyncio.CancelledError:  # the server stops, and has waited for as long as it may
            response = await answer_problem(request, StoreUnavailable("Lockstream is stopping. Send the event again."))
        except Exception as error:  # noqa: BLE001  # FastAPI, which would catch it, is not there
            response = await answer_problem(request, error)
        await response(scope, receive, send)


async def _body(request: Request, limit: int) -> bytes:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(media_type)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return bytes(body)


def _answer(event: Event, outcome: Outcome) -> Response:
    match outcome:
        case Accepted(position):
            return _json(202, EventAnswer(event_id=event.event_id, position=position, outcome="accepted"))
        case Duplicate(position):
            return _json(200, EventAnswer(event_id=event.event_id, position=position, outcome="duplicate"))
        case Refusal(code, ground):
            status, answer = _REFUSALS[ground]
            return _json(status, answer(detail=outcome.explain(event), code=code))
        case _:
            assert_never(outcome)


def _json(status: int, answer: EventAnswer | ConflictAnswer | UnresolvedAnswer) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")

"""The quarantine: operations that list, resubmit and discard events that were not accepted."""

from collections.abc import Collection

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from msgspec import Raw

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.fields import IDENTIFIER_FORM, is_identifier, is_uuid
from lockstream.core.entities.quarantine import (
    EntryKind,
    EntryStatus,
    QuarantineQuery,
)
from lockstream.core.errors import MalformedEvent
from lockstream.core.wording import quoted
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import (
    HEADERS_TOO_LARGE,
    INTERNAL,
    UNAVAILABLE,
)
from lockstream.presentation.http.json_response import EncodedJson
from lockstream.presentation.http.media_types import JSON
from lockstream.presentation.http.query_parameters import (
    QueryParameters,
    choice,
    identifier,
    instant,
    word,
)
from lockstream.presentation.http.routes.shared.json_bodies import decoded_body, responses_with_body
from lockstream.presentation.http.routes.shared.pages import Order, PageForm
from lockstream.presentation.http.routes.shared.reads import (
    WRONG_QUERY,
    responses_of,
    responses_without_position,
)
from lockstream.schemas.events import EVENT, malformed
from lockstream.schemas.events import MalformedBody as MalformedRequest
from lockstream.schemas.instants import Instant, instant_of, recorded_text
from lockstream.schemas.listings import encode_json
from lockstream.schemas.outcomes import event_response
from lockstream.schemas.quarantine import (
    CODES,
    DiscardRequest,
    MalformedBodyItem,
    MalformedBodyPage,
    QuarantineCounts,
    QuarantineEntry,
    QuarantinePage,
    ResubmitRequest,
    encode_report,
)
from lockstream.schemas.responses import (
    ConflictBody,
    ErrorBody,
    EventResponse,
    MalformedBodyErrors,
    ResubmitReport,
    UnresolvedBody,
)

router = APIRouter(prefix="/quarantine", tags=["quarantine"])

_STATUS = choice("status", EntryStatus, EntryStatus.OPEN, "`discarded`: entries that an operator has discarded.")
_KIND = choice("kind", EntryKind, None, "Entries of this kind.")
_CODE = word("code", CODES, "Entries with this code.")
_LOCKER_ID = identifier("locker_id", "Events of this locker.")
_TYPE = word("type", EVENT_TYPES, "Events of this type.")
_SINCE = instant("since", "Events that last arrived at this time or later.")
_ORDER = choice("order", Order, Order.DESC, "By the first arrival: `desc` has the newest first.")

_EXAMPLE = QuarantineEntry(
    event_id="0190a5e0-0000-4000-8000-000000000004",
    kind=EntryKind.REFUSED,
    status=EntryStatus.DISCARDED,
    code="reservation_not_awaiting_pickup",
    detail="Reservation 'parcel-77' does not await a pick-up: no parcel lies in its compartment.",
    locker_id="station-7",
    type="ParcelPickedUp",
    occurred_at="2026-11-23T18:40:11+01:00",
    first_at="2026-11-23T17:40:12.250000Z",
    last_at="2026-11-23T17:45:12.812000Z",
    count=2,
    address="10.2.0.17",
    discarded_at="2026-11-24T08:02:41.000000Z",
    discard_reason="The parcel was handed over at the counter.",
    body=Raw(
        b'{"event_id":"0190a5e0-0000-4000-8000-000000000004","occurred_at":"2026-11-23T18:40:11+01:00",'
        b'"locker_id":"station-7","type":"ParcelPickedUp","payload":{"reservation_id":"parcel-77"}}'
    ),
)
_MALFORMED_EXAMPLE = MalformedBodyItem(
    "missing",
    "Field required",
    "2026-11-23T17:40:12.250000Z",
    "2026-11-23T17:40:12.250000Z",
    1,
    "10.2.0.17",
    '{"event_id":"0190a5e0-0000-4000-8000-000000000005"}',
)
_TOTALS = QuarantineCounts({"unknown_reservation": 3}, 1, 0, 0, {"missing": 1})

_OFF = {"model": ErrorBody, "description": "The quarantine is off."}
_NO_ENTRY = {"model": ErrorBody, "description": "The quarantine is off, or has no such entry."}
_FAILED = UNAVAILABLE | {"description": "The quarantine cannot be read or written now; try again later."}
_COMMON = responses_without_position(_FAILED)

_ENTRIES = PageForm(
    "quarantine",
    QuarantineEntry,
    lambda items, token: QuarantinePage(items, token, _TOTALS),
    *(_STATUS, _KIND, _CODE, _LOCKER_ID, _TYPE, _SINCE, _ORDER),
)
_MALFORMED = PageForm("malformed", MalformedBodyItem, MalformedBodyPage)
_NO_PARAMETERS = QueryParameters()

_WITH_BODY = responses_with_body(_FAILED, "the request has a query parameter")


@router.get(
    "",
    response_model=None,
    responses=_ENTRIES.responses(_EXAMPLE, {404: _OFF, 422: WRONG_QUERY}, _COMMON),
    openapi_extra={"parameters": _ENTRIES.query_parameters.declarations()},
)
async def get_quarantine(request: Request) -> Response:
    """Events that were not accepted, each once, with the number of their arrivals."""
    values = _ENTRIES.parse(request)
    event_type = values[_TYPE]
    query = QuarantineQuery(
        status=values[_STATUS],
        kind=values[_KIND],
        code=values[_CODE],
        locker_id=values[_LOCKER_ID],
        event_type=EVENT_TYPES[event_type] if event_type else None,
        since=recorded_text(values[_SINCE]),
        descending=values[_ORDER] is Order.DESC,
    )
    wanted = _ENTRIES.page_request(request, values, int)
    lockstream = lockstream_of(request)
    found = await lockstream.quarantine(lambda entries: entries.entries(query, wanted.after, wanted.limit + 1))
    totals = await lockstream.quarantine(lambda entries: entries.totals())
    entries = found[: wanted.limit]
    token = wanted.token(entries[-1].number) if len(found) > wanted.limit else None
    counts = QuarantineCounts.of(totals)
    page = _ENTRIES.encode(
        [QuarantineEntry.of(entry) for entry in entries],
        token,
        wanted.media_type,
        lambda items, token: QuarantinePage(items, token, counts),
    )
    return _ENTRIES.page_response(values, page, wanted.media_type)


@router.get(
    "/malformed",
    response_model=None,
    responses=_MALFORMED.responses(_MALFORMED_EXAMPLE, {404: _OFF, 422: WRONG_QUERY}, _COMMON),
    openapi_extra={"parameters": _MALFORMED.query_parameters.declarations()},
)
async def get_malformed(request: Request) -> Response:
    """The newest 1,000 bodies, and items of batches, that were not events. `totals` of the quarantine count all."""
    values = _MALFORMED.parse(request)
    wanted = _MALFORMED.page_request(request, values, int)
    lockstream = lockstream_of(request)
    found = await lockstream.quarantine(lambda entries: entries.malformed(wanted.after, wanted.limit + 1))
    bodies = found[: wanted.limit]
    token = wanted.token(bodies[-1].number) if len(found) > wanted.limit else None
    page = _MALFORMED.encode([MalformedBodyItem.of(body) for body in bodies], token, wanted.media_type)
    return _MALFORMED.page_response(values, page, wanted.media_type)


@router.get(
    "/{event_id}",
    response_model=None,
    responses=responses_of(_EXAMPLE, "The entry.", {404: _NO_ENTRY, 422: WRONG_QUERY}, _COMMON),
)
async def get_quarantine_entry(request: Request, event_id: str) -> Response:
    """An event that was not accepted."""
    _NO_PARAMETERS.parse(request)
    lockstream = lockstream_of(request)
    entry = await lockstream.quarantine(lambda entries: entries.entry(event_id.lower())) if is_uuid(event_id) else None
    return EncodedJson(encode_json(QuarantineEntry.of(entry))) if entry else _no_entry(event_id)


@router.post(
    "/resubmit",
    response_model=None,
    responses={200: {"model": ResubmitReport, "description": "The outcomes."}, 404: _OFF, **_WITH_BODY},
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{ResubmitRequest.__name__}"}}},
        }
    },
)
async def resubmit_events(request: Request) -> Response:
    """Decide open entries of the kind `refused` afresh, in the order in which their events happened.

    Events that are refused are decided again as long as others are accepted, because they may build on each other.
    """
    _NO_PARAMETERS.parse(request)
    wanted = await decoded_body(request, ResubmitRequest, is_optional=True)
    query = QuarantineQuery(
        kind=EntryKind.REFUSED,
        code=None if wanted.code is None else _one_of("code", wanted.code, CODES),
        locker_id=_identifier("locker_id", wanted.locker_id),
        event_type=EVENT_TYPES[_one_of("type", wanted.type, EVENT_TYPES)] if wanted.type is not None else None,
        since=recorded_text(_instant("since", wanted.since)),
    )
    caller = caller_of(request.scope)
    return EncodedJson(encode_report(await lockstream_of(request).resubmit_all(query, wanted.limit, caller)))


@router.post(
    "/{event_id}/resubmit",
    response_model=None,
    responses={
        200: {"model": EventResponse, "description": "Duplicate: another event with this id is in the log."},
        202: {"model": EventResponse, "description": "Accepted: the event is in the log, and the entry is gone."},
        404: _NO_ENTRY,
        409: {"model": ConflictBody, "description": "Refused by the present state, perhaps for a new reason."},
        422: {
            "model": MalformedBodyErrors | UnresolvedBody | ErrorBody,
            "description": "Refused, because the subject cannot be resolved; or the request has a query parameter.",
        },
        431: HEADERS_TOO_LARGE,
        500: INTERNAL,
        503: UNAVAILABLE,
    },
)
async def resubmit_event(request: Request, event_id: str) -> Response:
    """Decide an event of the quarantine afresh, as if it came now."""
    _NO_PARAMETERS.parse(request)
    lockstream = lockstream_of(request)
    caller = caller_of(request.scope)
    resubmitted = await lockstream.resubmit(event_id.lower(), caller) if is_uuid(event_id) else None
    if resubmitted is None:
        return _no_entry(event_id)
    entry, result = resubmitted
    if isinstance(result, MalformedEvent):
        raise MalformedRequest(EVENT.explain(entry.body.encode(), result))
    event, outcome = result
    if isinstance(outcome, Exception):
        raise outcome
    status, content = event_response(event, outcome)
    return EncodedJson(content, status)


@router.post(
    "/{event_id}/discard",
    response_model=None,
    responses={
        **responses_of(_EXAMPLE, "The entry, now discarded.", {404: _NO_ENTRY}, _COMMON),
        **_WITH_BODY,
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{DiscardRequest.__name__}"}}},
        }
    },
)
async def discard_event(request: Request, event_id: str) -> Response:
    """Note that an event needs no further work, and why. The entry is kept, and later arrivals are counted on it.

    If the event comes again, the rules decide it like any other. With another body, its entry is open again.
    """
    _NO_PARAMETERS.parse(request)
    reason = (await decoded_body(request, DiscardRequest)).reason
    lockstream = lockstream_of(request)
    entry = None
    if is_uuid(event_id):
        entry = await lockstream.quarantine(lambda entries: entries.discard(event_id.lower(), reason))
    return EncodedJson(encode_json(QuarantineEntry.of(entry))) if entry else _no_entry(event_id)


def _no_entry(event_id: str) -> Response:
    detail = (
        f"The quarantine has no entry for the event {event_id!r}. The event was accepted, or never refused, or its "
        f"entry was dropped. GET /events/{event_id} tells whether it was accepted."
    )
    return JSONResponse({"detail": detail}, 404)


def _one_of(name: str, value: str, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise malformed("enum", f"`{name}` is {quoted(value)}. Send one of {', '.join(allowed)}.")
    return value


def _identifier(name: str, value: str | None) -> str | None:
    if value is not None and not is_identifier(value):
        raise malformed("identifier", f"`{name}` is {quoted(value)}. Send {IDENTIFIER_FORM}.")
    return value


def _instant(name: str, text: str | None) -> Instant | None:
    if text is None:
        return None
    try:
        return instant_of(text)
    except ValueError as error:
        raise malformed("datetime", f"`{name}` is {quoted(text)}. Send a time with an offset (RFC 3339).") from error

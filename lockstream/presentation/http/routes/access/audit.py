"""The audit log: creations, rotations and revocations of keys, and refused requests."""

import asyncio

from fastapi import APIRouter, Request, Response

from lockstream.core.entities.keys import AuditAction, AuditQuery
from lockstream.presentation.http.query_parameters import choice, identifier, instant
from lockstream.presentation.http.routes.access.keys import COMMON, access_of
from lockstream.presentation.http.routes.shared.pages import PageForm
from lockstream.presentation.http.routes.shared.reads import WRONG_QUERY
from lockstream.schemas.instants import recorded_text
from lockstream.schemas.keys import AuditItem, AuditPage

router = APIRouter(tags=["keys"])

_KEY_ID = identifier("key_id", "Entries about this key, or by it.")
_ACTION = choice("action", AuditAction, None, "Entries about this action.")
_SINCE = instant("since", "Entries of this time or later. A sum of refusals has the time of its last refusal.")

_EXAMPLE = AuditItem(
    at="2026-11-23T17:40:12.250000Z",
    action=AuditAction.REFUSED,
    key_id="k3yEx4mp",
    name=None,
    by=None,
    replaced_by=None,
    address="10.2.0.17",
    operation="get_lockers",
    code="scope_missing",
    count=3,
)

_AUDIT = PageForm("audit", AuditItem, AuditPage, _KEY_ID, _ACTION, _SINCE)


@router.get(
    "/audit",
    response_model=None,
    responses=_AUDIT.responses(_EXAMPLE, {422: WRONG_QUERY}, COMMON),
    openapi_extra={"parameters": _AUDIT.query_parameters.declarations()},
)
async def get_audit(request: Request) -> Response:
    """The audit log, the newest entries first. Equal refusals are summed up: one entry a minute at most."""
    values = _AUDIT.parse(request)
    query = AuditQuery(values[_KEY_ID], values[_ACTION], recorded_text(values[_SINCE]))
    wanted = _AUDIT.page_request(request, values, int)
    found = await asyncio.to_thread(access_of(request).audit, query, wanted.after, wanted.limit + 1)
    entries = found[: wanted.limit]
    token = wanted.token(entries[-1].number) if len(found) > wanted.limit else None
    page = _AUDIT.encode([AuditItem.of(one.entry) for one in entries], token, wanted.media_type)
    return _AUDIT.page_response(values, page, wanted.media_type, {"Cache-Control": "no-store"})

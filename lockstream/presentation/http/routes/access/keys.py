"""Operations that list, create, rotate and revoke API keys. Only the response with a new key contains its secret."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lockstream.core.entities.access import Scope
from lockstream.core.entities.keys import Key, KeyStatus
from lockstream.core.entities.log import present_time
from lockstream.core.errors import NotAllowed
from lockstream.core.use_cases.manage_keys import KeyRequest, NewKey, Operator
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.access.declarations import AUTH_OFF
from lockstream.presentation.http.access.gate import KEYS_REQUIRED
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.errors import UNAVAILABLE
from lockstream.presentation.http.json_response import EncodedJson
from lockstream.presentation.http.media_types import JSON
from lockstream.presentation.http.proxies import remote_address
from lockstream.presentation.http.query_parameters import QueryParameters
from lockstream.presentation.http.routes.shared.json_bodies import decoded_body, responses_with_body
from lockstream.presentation.http.routes.shared.pages import PageForm
from lockstream.presentation.http.routes.shared.reads import WRONG_QUERY, responses_of, responses_without_position
from lockstream.schemas.keys import CreateKeyRequest, KeyItem, KeyPage, NewKeyBody, RotateKeyRequest
from lockstream.schemas.listings import encode_json
from lockstream.schemas.responses import ErrorBody
from lockstream.services.running.access.access import Access

router = APIRouter(prefix="/keys", tags=["keys"])

NO_STORE = ((b"cache-control", b"no-store"),)

_EXAMPLE = KeyItem(
    key_id="k3yEx4mp",
    name="station 7",
    status=KeyStatus.ACTIVE,
    scopes=[Scope.EVENTS_WRITE],
    lockers=["station-7*"],
    created_at="2026-11-23T17:40:12.250000Z",
    created_by="the command line (ops)",
    expires_at="2027-02-21T17:40:12.250000Z",
    revoked_at=None,
    ends_at="2027-02-21T17:40:12.250000Z",
    last_used_at="2026-11-24T08:02:00.000000Z",
    replaces=None,
    replaced_by=None,
    requests_per_second=None,
    events_per_second=None,
    burst_seconds=None,
)
_NEW_EXAMPLE = NewKeyBody(_EXAMPLE, "lsk_k3yEx4mp_<43 characters>_<6 characters>")

_NO_KEY = {"model": ErrorBody, "description": "There is no such key."}
_FAILED = UNAVAILABLE | {"description": "The keys cannot be read or written now; try again later."}
COMMON = responses_without_position(_FAILED)
_WITH_BODY = responses_with_body(_FAILED, "the key that it describes is not allowed")
_ENDED = {"model": ErrorBody, "description": "The key is revoked, has expired, or was rotated already."}

_KEYS = PageForm("keys", KeyItem, KeyPage)
_NO_PARAMETERS = QueryParameters()


@router.get(
    "",
    response_model=None,
    responses=_KEYS.responses(_EXAMPLE, {422: WRONG_QUERY}, COMMON),
    openapi_extra={"parameters": _KEYS.query_parameters.declarations()},
)
async def get_keys(request: Request) -> Response:
    """All API keys, also those that were revoked or have expired. Their secrets are stored nowhere."""
    values = _KEYS.parse(request)
    wanted = _KEYS.page_request(request, values, str)
    after = wanted.after or ""
    found = [one for one in await asyncio.to_thread(access_of(request).known_keys) if one.key.key_id > after]
    known, now = found[: wanted.limit], present_time()
    token = wanted.token(known[-1].key.key_id) if len(found) > wanted.limit else None
    page = _KEYS.encode([KeyItem.of(one.key, one.used_minute, now) for one in known], token, wanted.media_type)
    return _KEYS.page_response(values, page, wanted.media_type, {"Cache-Control": "no-store"})


@router.post(
    "",
    response_model=None,
    status_code=201,
    responses={
        201: responses_of(_NEW_EXAMPLE, "The new key, with its text.", declared=COMMON)[200],
        **_WITH_BODY,
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{CreateKeyRequest.__name__}"}}},
        }
    },
)
async def create_key(request: Request) -> Response:
    """Create an API key. The response contains its text, which is not stored: it cannot be shown again."""
    _NO_PARAMETERS.parse(request)
    access = access_of(request)
    if access.is_open:  # else a page of any site could create the key of a server on the machine of the browser
        raise NotAllowed(
            "This server has no API key yet, and the first one is not created over HTTP. Run `lockstream keys create` "
            "on its machine.",
            KEYS_REQUIRED,
        )
    wanted = await decoded_body(request, CreateKeyRequest)
    asked = KeyRequest(
        name=wanted.name,
        scopes=wanted.scopes,
        lockers=wanted.lockers or (),
        expires_seconds=wanted.expires_seconds,
        requests_per_second=wanted.requests_per_second,
        events_per_second=wanted.events_per_second,
        burst_seconds=wanted.burst_seconds,
    )
    return _new_key_response(await asyncio.to_thread(access.create, asked, _operator(request)))


@router.get(
    "/{key_id}",
    response_model=None,
    responses=responses_of(_EXAMPLE, "The key.", {404: _NO_KEY, 422: WRONG_QUERY}, COMMON),
)
async def get_key(request: Request, key_id: str) -> Response:
    """One API key."""
    _NO_PARAMETERS.parse(request)
    for one in await asyncio.to_thread(access_of(request).known_keys):
        if one.key.key_id == key_id:
            return _key_response(one.key, one.used_minute)
    return _unknown_key_response(key_id)


@router.post(
    "/{key_id}/revoke",
    response_model=None,
    responses=responses_of(_EXAMPLE, "The key, now revoked.", {404: _NO_KEY, 422: WRONG_QUERY}, COMMON),
)
async def revoke_key(request: Request, key_id: str) -> Response:
    """Revoke an API key. Within a second no node accepts it, and its open streams end."""
    _NO_PARAMETERS.parse(request)
    access = access_of(request)
    changed = await asyncio.to_thread(access.revoke, key_id, _operator(request))
    used = {one.key.key_id: one.used_minute for one in await asyncio.to_thread(access.known_keys)}
    return _key_response(changed.key, used.get(key_id))


@router.post(
    "/{key_id}/rotate",
    response_model=None,
    status_code=201,
    responses={
        201: responses_of(_NEW_EXAMPLE, "The new key, with its text.", declared=COMMON)[200],
        404: _NO_KEY,
        409: _ENDED,
        **_WITH_BODY,
    },
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{RotateKeyRequest.__name__}"}}},
        }
    },
)
async def rotate_key(request: Request, key_id: str) -> Response:
    """Create a key in the place of another one, which is revoked after an overlap: 24 hours by default.

    The new key has the name, scopes, lockers and limits of the old one, and its lifetime, counted from now.
    """
    _NO_PARAMETERS.parse(request)
    wanted = await decoded_body(request, RotateKeyRequest, is_optional=True)
    rotate = access_of(request).rotate
    return _new_key_response(await asyncio.to_thread(rotate, key_id, wanted.overlap_seconds, _operator(request)))


def access_of(request: Request) -> Access:
    """Return the keys of the running system.

    Raises:
        NotAllowed: the server does not check keys, so anybody could change them.
    """
    access = lockstream_of(request).access
    if not access.is_enforced:
        raise NotAllowed(
            "LOCKSTREAM_AUTH is off, so this server neither shows nor changes API keys. Use `lockstream keys` on its "
            "machine.",
            AUTH_OFF,
        )
    return access


def _operator(request: Request) -> Operator:
    return Operator(str(caller_of(request.scope).key_id), remote_address(request.scope))


def _new_key_response(made: NewKey) -> Response:
    return EncodedJson(encode_json(NewKeyBody(KeyItem.of(made.key, None, present_time()), made.text)), 201, NO_STORE)


def _key_response(key: Key, used_minute: int | None) -> Response:
    return EncodedJson(encode_json(KeyItem.of(key, used_minute, present_time())), headers=NO_STORE)


def _unknown_key_response(key_id: str) -> Response:
    return JSONResponse({"detail": f"There is no key {key_id!r}. GET /keys shows the ids."}, 404)

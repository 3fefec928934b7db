"""Lists of lockers and of compartments, and reads of one of them."""

from fastapi import APIRouter, Request, Response
from msgspec.structs import asdict

from lockstream.core.entities.listings import CompartmentQuery, CompartmentState, ListedCompartment, LockerQuery
from lockstream.core.entities.state import LockerTotals
from lockstream.core.entities.subjects import CompartmentSubject, LockerSubject, absence, can_exist
from lockstream.core.use_cases.history import dated_locker_state
from lockstream.presentation.http.entity_tags import ETAG, IF_NONE_MATCH, NOT_MODIFIED, is_known, tag_of
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.min_position import POSITION, min_position_of
from lockstream.presentation.http.query_parameters import choice, flag, identifier
from lockstream.presentation.http.routes.lists import PagedList, Source
from lockstream.presentation.http.routes.reads import PARAMETERS, RESPONSES, answer_subject, not_found, responses_of
from lockstream.schemas.listings import (
    CompartmentItem,
    CompartmentPage,
    LockerItem,
    LockerPage,
    encode_json,
    recorded_at,
)
from lockstream.schemas.responses import CompartmentStatus, LockerSummary
from lockstream.schemas.states import CompartmentDetail, LockerDetail
from lockstream.services.running.lockstream import Lockstream

router = APIRouter(prefix="/lockers", tags=["network"])

_PREFIX = identifier("q", "Beginning of the locker's id.")
_AVAILABLE = flag("available", "Whether at least one compartment is available.")
_DEGRADED = flag("degraded", "Whether at least one compartment is degraded.")
_STATUS = choice(
    "status",
    CompartmentState,
    None,
    "Compartments in this state. A reserved or occupied compartment that is degraded as well is in both.",
)

_LOCKERS: PagedList[LockerTotals] = PagedList("lockers", LockerItem, LockerPage, _PREFIX, _AVAILABLE, _DEGRADED)
_COMPARTMENTS: PagedList[ListedCompartment] = PagedList("compartments", CompartmentItem, CompartmentPage, _STATUS)

_EXAMPLE = LockerItem("station-7", 40, 31, 4, 4, 1, 5120, "2026-11-23T08:15:00.000000Z", 81204)
_COMPARTMENT_EXAMPLE = CompartmentItem(
    "A1", CompartmentState.OCCUPIED, False, "parcel-77", "2026-11-23T08:15:00.000000Z", 81204
)

_STATE_EXAMPLE = LockerDetail(
    "station-7",
    5120,
    81204,
    "2026-11-23T08:15:00.000000Z",
    "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    [CompartmentDetail(**asdict(_COMPARTMENT_EXAMPLE), open_faults=[])],
)
_STATE_RESPONSES = responses_of(_STATE_EXAMPLE, "The state of the locker.", {304: NOT_MODIFIED, 404: RESPONSES[404]})
_STATE_RESPONSES[200]["headers"]["ETag"] = ETAG


@router.get("", response_model=None, responses=_LOCKERS.responses(_EXAMPLE), openapi_extra=_LOCKERS.parameters)
async def get_lockers(request: Request) -> Response:
    """Lockers with their counts, sorted by id."""
    values = _LOCKERS.parse(request)
    query = LockerQuery(values[_PREFIX] or "", values[_AVAILABLE], values[_DEGRADED])
    source: Source[LockerTotals, str] = Source(
        str, lambda row: row.locker_id, lambda listings, after, limit: listings.lockers(query, after, limit)
    )
    return await _LOCKERS.answer(request, values, source)


@router.get("/{locker_id}", response_model=LockerSummary, responses=RESPONSES, openapi_extra=PARAMETERS)
async def get_locker(request: Request, locker_id: str) -> Response:
    """The present state of a locker."""
    return await answer_subject(
        request, LockerSubject(locker_id), lambda reads: reads.locker(locker_id), LockerSummary.of
    )


@router.get(
    "/{locker_id}/state",
    response_model=None,
    responses=_STATE_RESPONSES,
    openapi_extra={"parameters": [*PARAMETERS["parameters"], IF_NONE_MATCH]},
)
async def get_locker_state(request: Request, locker_id: str) -> Response:
    """The present state of a locker: each compartment with its open faults and the time of its last change."""
    lockstream: Lockstream = request.app.lockstream
    subject = LockerSubject(locker_id)
    found, position = await lockstream.read(
        lambda reads: dated_locker_state(reads, locker_id) if can_exist(subject) else None, min_position_of(request)
    )
    if found is None:
        return not_found(absence(subject), position)
    body = encode_json(LockerDetail.of(found.state, recorded_at(found.times)))
    tag = tag_of(body)
    headers = {POSITION: str(position), "ETag": tag}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return EncodedJson(body, headers=encoded_headers(headers))


@router.get(
    "/{locker_id}/compartments",
    response_model=None,
    responses=_COMPARTMENTS.responses(_COMPARTMENT_EXAMPLE, {404: RESPONSES[404]}),
    openapi_extra=_COMPARTMENTS.parameters,
)
async def get_compartments(request: Request, locker_id: str) -> Response:
    """The compartments of a locker, sorted by id."""
    values = _COMPARTMENTS.parse(request)
    query, subject = CompartmentQuery(locker_id, values[_STATUS]), LockerSubject(locker_id)
    source: Source[ListedCompartment, str] = Source(
        str,
        lambda row: row.compartment_id,
        lambda listings, after, limit: listings.compartments(query, after, limit) if can_exist(subject) else None,
        locker_id,
        absence(subject),
    )
    return await _COMPARTMENTS.answer(request, values, source)


@router.get(
    "/{locker_id}/compartments/{compartment_id}",
    response_model=CompartmentStatus,
    responses=RESPONSES,
    openapi_extra=PARAMETERS,
)
async def get_compartment(request: Request, locker_id: str, compartment_id: str) -> Response:
    """The present state of a compartment."""
    return await answer_subject(
        request,
        CompartmentSubject(locker_id, compartment_id),
        lambda reads: reads.compartment(locker_id, compartment_id),
        CompartmentStatus.of,
    )

"""Lists of lockers and of compartments, and reads of one of them."""

from typing import Any

from fastapi import APIRouter, Request, Response
from msgspec.structs import asdict

from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    CountKey,
    ListedCompartment,
    ListedLocker,
    LockerOrder,
    LockerQuery,
)
from lockstream.core.entities.subjects import CompartmentSubject, LockerSubject, can_exist
from lockstream.core.use_cases.history import dated_locker_state
from lockstream.core.use_cases.silent_lockers import listed_lockers
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.entity_tags import ETAG, IF_NONE_MATCH, NOT_MODIFIED
from lockstream.presentation.http.query_parameters import choice, flag, identifier
from lockstream.presentation.http.routes.shared.lists import PagedList, Source, paged
from lockstream.presentation.http.routes.shared.pages import Order
from lockstream.presentation.http.routes.shared.reads import (
    AT,
    AT_AND_OTHERS,
    RESPONSES,
    RESPONSES_AT,
    answer_subject,
    parameters_of,
    responses_of,
)
from lockstream.schemas.listings import (
    CompartmentItem,
    CompartmentPage,
    LockerItem,
    LockerPage,
    recorded_at,
)
from lockstream.schemas.responses import CompartmentStatus, LockerSummary
from lockstream.schemas.states import CompartmentDetail, LockerDetail

router = APIRouter(prefix="/lockers", tags=["network"])

_PREFIX = identifier("q", "Beginning of the locker's id.")
_AVAILABLE = flag("available", "Whether at least one compartment is available.")
_DEGRADED = flag("degraded", "Whether at least one compartment is degraded.")
_SILENT = flag("silent", "Whether the locker is silent: not heard of for much longer than usual.")
_GONE = flag("gone", "Whether the locker has been silent for so long (30 days by default) that it counts as gone.")
_SORT = choice(
    "sort",
    LockerOrder,
    LockerOrder.ID,
    "`id`: by id. `last_event`: by the time of the last event. `available`, `degraded`: by the number of such "
    "compartments, and then by id.",
)
_ORDER = choice("order", Order, Order.ASC, "`asc` has the lowest id or number, or the oldest last event, first.")
_STATUS = choice(
    "status",
    CompartmentState,
    None,
    "Compartments in this state. A reserved or occupied compartment that is degraded as well is in both.",
)

_LOCKERS: PagedList[ListedLocker] = PagedList(
    "lockers", LockerItem, LockerPage, _PREFIX, _AVAILABLE, _DEGRADED, _SILENT, _GONE, _SORT, _ORDER
)
_COMPARTMENTS: PagedList[ListedCompartment] = PagedList("compartments", CompartmentItem, CompartmentPage, _STATUS)

_EXAMPLE = LockerItem("station-7", 40, 31, 4, 4, 1, 5120, "2026-11-23T08:15:00.000000Z", 81204, False, False, 2460)
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
_NOT_MODIFIED = NOT_MODIFIED | {"headers": NOT_MODIFIED["headers"] | RESPONSES_AT[200]["headers"]}
_STATE_RESPONSES = responses_of(
    _STATE_EXAMPLE, "The state of the locker.", {304: _NOT_MODIFIED, 404: RESPONSES_AT[404]}, RESPONSES_AT
)
_STATE_RESPONSES[200]["headers"]["ETag"] = ETAG


@router.get("", response_model=None, responses=_LOCKERS.responses(_EXAMPLE), openapi_extra=_LOCKERS.parameters)
async def get_lockers(request: Request) -> Response:
    """Lockers with their counts, sorted by id, by their last event, or by a count.

    A list of any length is sorted by `id` with any filters, by `last_event` with `silent` and `gone` alone, and by
    `degraded` with `available` and `degraded` alone. Each other combination sorts up to 10,000 lockers, and gets 422 if
    more pass the filters.
    """
    values = _LOCKERS.parse(request)
    lockstream = lockstream_of(request)
    is_filtered = values[_SILENT] is not None or values[_GONE] is not None
    query = LockerQuery(
        values[_PREFIX] or "",
        values[_AVAILABLE],
        values[_DEGRADED],
        values[_SILENT],
        values[_GONE],
        await (lockstream.silence() if is_filtered else lockstream.last_silence()),
        values[_SORT],
        values[_ORDER] is Order.DESC,
    )
    return await _LOCKERS.answer(request, values, _source(query))


@router.get("/{locker_id}", response_model=LockerSummary, responses=RESPONSES_AT, openapi_extra=parameters_of(AT))
async def get_locker(request: Request, locker_id: str) -> Response:
    """The state of a locker in short, at present or at an earlier position or time."""
    return await answer_subject(
        request, AT_AND_OTHERS, LockerSubject(locker_id), lambda reads: reads.locker(locker_id), LockerSummary.of
    )


@router.get(
    "/{locker_id}/state",
    response_model=None,
    responses=_STATE_RESPONSES,
    openapi_extra=parameters_of(AT, IF_NONE_MATCH),
)
async def get_locker_state(request: Request, locker_id: str) -> Response:
    """The state of a locker, at present or at an earlier position or time.

    It shows each compartment with its open faults and the time of its last change.
    """
    return await answer_subject(
        request,
        AT,
        LockerSubject(locker_id),
        lambda reads: dated_locker_state(reads, locker_id),
        lambda dated: LockerDetail.of(dated.state, recorded_at(dated.times)),
        has_tag=True,
    )


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
        paged(
            lambda listings, after, limit: listings.compartments(query, after, limit) if can_exist(subject) else None
        ),
        subject,
        depends_on=subject,
    )
    return await _COMPARTMENTS.answer(request, values, source)


@router.get(
    "/{locker_id}/compartments/{compartment_id}",
    response_model=CompartmentStatus,
    responses=RESPONSES_AT,
    openapi_extra=parameters_of(AT),
)
async def get_compartment(request: Request, locker_id: str, compartment_id: str) -> Response:
    """The state of a compartment, at present or at an earlier position or time."""
    return await answer_subject(
        request,
        AT_AND_OTHERS,
        CompartmentSubject(locker_id, compartment_id),
        lambda reads: reads.compartment(locker_id, compartment_id),
        CompartmentStatus.of,
    )


def _source(query: LockerQuery) -> Source[ListedLocker, Any]:
    """Return the lockers that a query lists."""
    key_classes = {LockerOrder.ID: str, LockerOrder.LAST_EVENT: int}
    return Source(
        key_classes.get(query.order, CountKey),
        lambda row: query.key_of(row.totals),
        paged(lambda listings, after, limit: listed_lockers(listings, query, after, limit)),
    )

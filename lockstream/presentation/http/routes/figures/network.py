"""The totals of the network, and its activity: accepted events per step of time."""

from fastapi import APIRouter, Request, Response

from lockstream.core.entities.listings import NetworkTotals
from lockstream.core.entities.log import present_time
from lockstream.core.ports import Listings
from lockstream.core.use_cases.activity import ActivitySpan, ActivityStep, activity
from lockstream.presentation.http.query_parameters import QueryParameters, choice
from lockstream.presentation.http.routes.shared.lists import answer_whole
from lockstream.presentation.http.routes.shared.reads import parameters_of, responses_of
from lockstream.schemas.figures import Activity
from lockstream.schemas.listings import NetworkSummary, recorded_at

router = APIRouter(prefix="/network", tags=["network"])

_PARAMETERS = QueryParameters(
    refused={
        "at": "The query parameter at is unknown, because the totals of the network are kept for the present only. Ask "
        "for a locker, a compartment or a reservation instead, such as /lockers/{locker_id}/state?at=81204, or omit at."
    }
)

_EXAMPLE = NetworkSummary.of(
    NetworkTotals(250, 10_000, 6_600, 900, 2_480, 30, 51_000, 1_200, {2: 11, 4: 31}),
    81204,
    "2026-11-23T08:15:00.000000Z",
)

_SPAN = choice("span", ActivitySpan, ActivitySpan.HOUR, "`hour`: 60 steps of a minute. `day`: 96 steps of 15 minutes.")
_SPANS = QueryParameters(_SPAN)

_STEPS = Activity.of(
    ActivitySpan.HOUR, [ActivityStep(1_795_421_640_000_000, 412), ActivityStep(1_795_421_700_000_000, 87)]
)


@router.get(
    "",
    response_model=None,
    responses=responses_of(_EXAMPLE, "The totals of the network."),
    openapi_extra=parameters_of(_PARAMETERS),
)
async def get_network(request: Request) -> Response:
    """The present totals of the network: lockers, compartments, reservations by status, and open faults by severity."""
    _PARAMETERS.parse(request)
    return await answer_whole(request, _summary)


@router.get(
    "/activity",
    response_model=None,
    responses=responses_of(_STEPS, "The steps, the earliest one first. This example has two of 60."),
    openapi_extra=parameters_of(_SPANS),
)
async def get_activity(request: Request) -> Response:
    """Accepted events per step of the last hour or day, by their recorded times. The last step is not over yet."""
    span = _SPANS.parse(request)[_SPAN]
    now = present_time()
    return await answer_whole(request, lambda listings: Activity.of(span, activity(listings, span, now)))


def _summary(listings: Listings) -> NetworkSummary:
    totals, position = listings.network(), listings.position
    last = position if totals.last_position is None else totals.last_position
    times = recorded_at(listings.times([last] if last else []))
    return NetworkSummary.of(totals, position, times(last) if last else None)

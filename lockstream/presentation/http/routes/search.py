"""Find lockers, compartments, reservations and events by the beginning of their ids."""

from fastapi import APIRouter, Request, Response

from lockstream.presentation.http.query_parameters import QueryParameters, identifier
from lockstream.presentation.http.routes.shared.lists import answer_whole
from lockstream.presentation.http.routes.shared.reads import parameters_of, responses_of
from lockstream.schemas.listings import CompartmentMatch, EventMatch, SearchResult

MAX_MATCHES = 20

router = APIRouter(prefix="/search", tags=["network"])

_TEXT = identifier("q", "Beginning of the ids. Upper and lower case differ, except in ids of events.", is_required=True)
_PARAMETERS = QueryParameters(_TEXT)

_EXAMPLE = SearchResult(
    ["be-west-1"],
    [CompartmentMatch("station-7", "be-1")],
    ["be-parcel-77"],
    [EventMatch("be90a5e0-0000-4000-8000-000000000001", 81204)],
)


@router.get(
    "",
    response_model=None,
    responses=responses_of(_EXAMPLE, "Up to 20 subjects of each kind, and up to 20 events."),
    openapi_extra=parameters_of(_PARAMETERS),
)
async def get_search(request: Request) -> Response:
    """Lockers, compartments, reservations and accepted events whose ids begin with a text: up to 20 of each.

    The matches are the first ones by id. On a log file, a search reads at most 256 blocks of 64 events. If more blocks
    have events whose ids share their first nine digits, some events may be missing. A whole event id is always found.
    """
    text = _PARAMETERS.parse(request)[_TEXT] or ""
    return await answer_whole(request, lambda listings: SearchResult.of(listings.search(text, MAX_MATCHES)))

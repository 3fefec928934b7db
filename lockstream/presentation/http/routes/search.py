"""Find lockers, compartments and reservations by the beginning of their ids."""

from fastapi import APIRouter, Request, Response

from lockstream.presentation.http.query_parameters import QueryParameters, identifier
from lockstream.presentation.http.routes.lists import answer_whole
from lockstream.presentation.http.routes.reads import parameters_of, responses_of
from lockstream.schemas.listings import CompartmentMatch, SearchResult

MAX_MATCHES = 20

router = APIRouter(prefix="/search", tags=["network"])

_TEXT = identifier("q", "Beginning of the ids, in upper and lower case as they are.", is_required=True)
_PARAMETERS = QueryParameters(_TEXT)

_EXAMPLE = SearchResult(["paris-gare"], [CompartmentMatch("station-7", "par-1")], ["parcel-77"])


@router.get(
    "",
    response_model=None,
    responses=responses_of(_EXAMPLE, "Up to 20 subjects of each kind."),
    openapi_extra=parameters_of(_PARAMETERS),
)
async def get_search(request: Request) -> Response:
    """Lockers, compartments and reservations whose ids begin with a text: up to 20 of each."""
    text = _PARAMETERS.parse(request)[_TEXT] or ""
    return await answer_whole(request, lambda listings: SearchResult.of(listings.search(text, MAX_MATCHES)))

"""The list of faults."""

from fastapi import APIRouter, Request, Response

from lockstream.core.entities.fields import SEVERITY_MAX
from lockstream.core.entities.listings import FaultQuery
from lockstream.core.entities.state import Fault
from lockstream.core.entities.subjects import LockerSubject
from lockstream.presentation.http.query_parameters import InvalidQuery, choice, flag, identifier, whole_number
from lockstream.presentation.http.routes.shared.lists import PagedList, Source, paged
from lockstream.presentation.http.routes.shared.pages import Order
from lockstream.schemas.listings import FaultItem, FaultPage

router = APIRouter(prefix="/faults", tags=["network"])

_OPEN = flag("open", "True: faults that were not cleared. False: cleared ones. Without it, both.")
_MIN_SEVERITY = whole_number("min_severity", 0, SEVERITY_MAX, 0, "Lowest severity.")
_LOCKER_ID = identifier("locker_id", "Faults of this locker.")
_COMPARTMENT_ID = identifier("compartment_id", "Faults of this compartment. It needs `locker_id`.")
_ORDER = choice("order", Order, Order.DESC, "By the time of the report: `desc` has the newest first.")

_FAULTS: PagedList[Fault] = PagedList(
    "faults", FaultItem, FaultPage, _OPEN, _MIN_SEVERITY, _LOCKER_ID, _COMPARTMENT_ID, _ORDER
)

_EXAMPLE = FaultItem(
    fault_id="0190a5e0-0000-4000-8000-000000000007",
    locker_id="station-7",
    compartment_id="A1",
    severity=4,
    open=False,
    reported_at="2026-11-23T08:15:00.000000Z",
    reported_position=81204,
    cleared_at="2026-11-24T07:02:41.000000Z",
    cleared_position=82016,
)


@router.get("", response_model=None, responses=_FAULTS.responses(_EXAMPLE), openapi_extra=_FAULTS.parameters)
async def get_faults(request: Request) -> Response:
    """Faults, open and cleared ones, the newest report first."""
    values = _FAULTS.parse(request)
    if _COMPARTMENT_ID in values and _LOCKER_ID not in values:
        raise InvalidQuery(
            "The query parameter compartment_id needs locker_id, because a compartment's id is unique only in its "
            "locker. Send both."
        )
    query = FaultQuery(
        open=values[_OPEN],
        min_severity=values[_MIN_SEVERITY],
        locker_id=values[_LOCKER_ID],
        compartment_id=values[_COMPARTMENT_ID],
        descending=values[_ORDER] is Order.DESC,
    )
    source: Source[Fault, int] = Source(
        int,
        lambda row: row.reported_position,
        paged(lambda listings, after, limit: listings.faults(query, after, limit)),
        depends_on=None if query.locker_id is None else LockerSubject(query.locker_id),
    )
    return await _FAULTS.answer(request, values, source)

"""Reads over HTTP, each with the body that an independent model gives for it: one line of `LISTS` or `STATES` each.

The model decides what a body shows. The schemas of the product give it its form.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import to_builtins

from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    ListedLocker,
    LockerOrder,
    LockerQuery,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.log import microseconds_of
from lockstream.core.entities.state import Status
from lockstream.core.ports import Listings
from lockstream.schemas.listings import (
    CompartmentItem,
    FaultItem,
    ItemClass,
    LockerItem,
    NetworkSummary,
    ReservationItem,
    SearchResult,
    items_of,
    recorded_at,
)
from lockstream.schemas.states import LockerDetail
from lockstream.tests.infrastructure.stores.model import STATUS_AFTER
from lockstream.tests.infrastructure.stores.naive_listings import NaiveListings
from lockstream.tests.support.builders import Body

MATCHES = 20
"""Ids of each kind that a search finds at most."""


class Names(NamedTuple):
    """The values that a URL may name."""

    locker: str
    reservation: str
    compartment: str
    time: str
    """A recorded time."""

    position: str
    """A position up to the end of the log."""

    @classmethod
    def of(cls, reservation: Mapping[str, Any]) -> "Names":
        """Return the names in an item of the list of reservations."""
        members = "locker_id", "reservation_id", "compartment_id", "changed_at", CHANGED
        return cls(*(str(reservation[member]) for member in members))


CHANGED, ID = "changed_position", "reservation_id"

UNKNOWN = Names("unknown", "unknown", "unknown", "2026-01-01T00:00:00Z", "0")
"""Names of subjects that no log has."""


class Read(NamedTuple):
    """A read over HTTP, and the model of its body."""

    path: str
    """Path and query, in which {locker}, {reservation}, {compartment}, {time} and {position} stand for names."""

    body: Callable[[Any, Names, Any, int], Any]
    """Returns the body of a 200, or None for a 404. Its arguments are lists, names, the key behind which a page begins
    or None, and the maximum number of items. In the body of a page, `next` says whether more items follow."""

    key: str | None = None
    """The field of an item that is its key, if the read has pages."""

    last_position: Callable[[Any], int] = lambda body: 0
    """Returns the position of the last event in a body that may show more than its Lockstream-Position."""

    is_past: bool = False
    """Whether the URL names the position of the state to show, so that it may be older than acknowledged events."""

    def url(self, names: Names) -> str:
        """Return the URL, without the parameters of pages."""
        return self.path.format_map({name: quote(value, safe="") for name, value in names._asdict().items()})


def _paged[RowT](
    path: str,
    item_class: ItemClass[RowT],
    key: str,
    rows: Callable[[Listings, Names, Any, int], Sequence[RowT] | None],
) -> Read:
    def body(lists: Listings, names: Names, after: Any, limit: int) -> Any:
        found = rows(lists, names, after, limit + 1)
        if found is None:
            return None
        return {"items": to_builtins(items_of(item_class, found[:limit], lists)), "next": len(found) > limit}

    return Read(path, body, key)


def _lockers(path: str, query: Callable[[Names], LockerQuery], key: str = "locker_id") -> Read:
    """Return a list of lockers, none of which is silent."""

    def rows(lists: Listings, names: Names, after: Any, limit: int) -> list[ListedLocker]:
        found = lists.lockers(query(names), after, limit)
        return [ListedLocker(row, silent=False, gone=False, usual_silence_seconds=None) for row in found]

    return _paged(path, LockerItem, key, rows)


def without_silence(body: Any) -> Any:
    """Return a body as the model gives it: its lockers are not silent, which depends on the present time."""
    for item in body["items"] if isinstance(body, dict) and "items" in body else ():
        if "usual_silence_seconds" in item:
            item |= {"silent": False, "gone": False, "usual_silence_seconds": None}
    return body


def _compartments(path: str, state: CompartmentState | None) -> Read:
    return _paged(
        path,
        CompartmentItem,
        "compartment_id",
        lambda lists, names, *page: lists.compartments(CompartmentQuery(names.locker, state), *page),
    )


def _reservations(path: str, query: Callable[[Listings, Names], ReservationQuery], key: str) -> Read:
    return _paged(
        path, ReservationItem, key, lambda lists, names, *page: lists.reservations(query(lists, names), *page)
    )


def _faults(path: str, query: Callable[[Names], FaultQuery]) -> Read:
    return _paged(path, FaultItem, "reported_position", lambda lists, names, *page: lists.faults(query(names), *page))


def _network(lists: Listings, names: Names, *page: Any) -> Any:
    last = recorded_at(lists.times([lists.position]))(lists.position) if lists.position else None
    return to_builtins(NetworkSummary.of(lists.network(), lists.position, last))


def _search(lists: Listings, text: str) -> Any:
    return to_builtins(SearchResult.of(lists.search(text, MATCHES)))


def _before(lists: Listings, time: str) -> int:
    """Return the position of the last event that was recorded before a time."""
    return lists.position_at(microseconds_of(datetime.fromisoformat(time)) - 1)


def _locker_state(lists: NaiveListings, names: Names, *page: Any) -> Any:
    state = lists.locker_state(names.locker)
    if state is None:
        return None
    positions = {state.totals.last_position, *(change.position for change in state.last_changes.values())}
    return to_builtins(LockerDetail.of(state, recorded_at(lists.times(positions))))


STEP_MEMBERS = ("position", "recorded_at", "recorded_by", "occurred_at", "event_id")
"""Members of a record that a step of a reservation shows, if the record has them."""


def _reservation_state(lists: NaiveListings, names: Names, *page: Any) -> Any:
    records = _records_of_reservation(lists, names.reservation)
    if records is None:
        return None
    locker_id, compartment_id = lists.model.reservations[names.reservation]["place"]
    steps = [
        {"status": STATUS_AFTER.get(record["type"], "CREATED")}
        | {name: record[name] for name in STEP_MEMBERS if name in record}
        for record in records
    ]
    return {
        "reservation_id": names.reservation,
        "locker_id": locker_id,
        "compartment_id": compartment_id,
        "status": steps[-1]["status"],
        "steps": steps,
    }


def _history(path: str, query: Callable[[Names], HistoryQuery]) -> Read:
    def body(lists: NaiveListings, names: Names, after: Any, limit: int) -> Any:
        positions = lists.history(query(names), after, limit + 1)
        if positions is None:
            return None
        items = [lists.model.accepted[position - 1] for position in positions[:limit]]
        return {"items": items, "next": len(positions) > limit}

    return Read(path, body, "position")


def _reservation_events(lists: NaiveListings, names: Names, *page: Any) -> Any:
    records = _records_of_reservation(lists, names.reservation)
    return None if records is None else {"items": records, "next": None}


def _records_of_reservation(lists: NaiveListings, reservation_id: str) -> list[Body] | None:
    reservation = lists.model.reservations.get(reservation_id)
    if reservation is None:
        return None
    return [lists.model.accepted[position - 1] for position in sorted(reservation["steps"].values())]


LISTS: Sequence[Read] = (
    Read("/network", _network),
    _lockers("/lockers", lambda names: LockerQuery()),
    _lockers("/lockers?degraded=true", lambda names: LockerQuery(degraded=True)),
    _lockers("/lockers?available=true&q={locker}", lambda names: LockerQuery(names.locker, available=True)),
    _lockers("/lockers?order=desc", lambda names: LockerQuery(descending=True)),
    _lockers(
        "/lockers?sort=last_event&order=desc",
        lambda names: LockerQuery(order=LockerOrder.LAST_EVENT, descending=True),
        "last_position",
    ),
    _compartments("/lockers/{locker}/compartments", None),
    _compartments("/lockers/{locker}/compartments?status=occupied", CompartmentState.OCCUPIED),
    _reservations("/reservations", lambda lists, names: ReservationQuery(), CHANGED),
    _reservations("/reservations?order=desc", lambda lists, names: ReservationQuery(descending=True), CHANGED),
    _reservations("/reservations?status=DEPOSITED", lambda lists, names: ReservationQuery(Status.DEPOSITED), CHANGED),
    _reservations(
        "/reservations?status=PICKED_UP&changed_before={time}&order=desc",
        lambda lists, names: ReservationQuery(
            Status.PICKED_UP, changed_through=_before(lists, names.time), descending=True
        ),
        CHANGED,
    ),
    _reservations(
        "/reservations?locker_id={locker}&sort=id",
        lambda lists, names: ReservationQuery(locker_id=names.locker, order=ReservationOrder.ID),
        ID,
    ),
    _reservations(
        "/reservations?sort=id&order=desc",
        lambda lists, names: ReservationQuery(order=ReservationOrder.ID, descending=True),
        ID,
    ),
    _faults("/faults", lambda names: FaultQuery(descending=True)),
    _faults("/faults?open=true&order=asc", lambda names: FaultQuery(open=True)),
    _faults(
        "/faults?min_severity=3&locker_id={locker}",
        lambda names: FaultQuery(min_severity=3, locker_id=names.locker, descending=True),
    ),
    Read("/search?q={locker}", lambda lists, names, *page: _search(lists, names.locker)),
    Read("/search?q=c", lambda lists, names, *page: _search(lists, "c")),
)
"""Lists. A list shows the state at exactly its Lockstream-Position."""

STATES: Sequence[Read] = (
    Read("/lockers/{locker}/state", _locker_state, last_position=lambda body: body["position"]),
    Read("/lockers/{locker}/state?at={position}", _locker_state, is_past=True),
    _history("/lockers/{locker}/events?order=desc", lambda names: HistoryQuery(names.locker, descending=True)),
    _history(
        "/lockers/{locker}/compartments/{compartment}/events",
        lambda names: HistoryQuery(names.locker, names.compartment),
    ),
    Read(
        "/reservations/{reservation}/state",
        _reservation_state,
        last_position=lambda body: body["steps"][-1]["position"],
    ),
    Read(
        "/reservations/{reservation}/events",
        _reservation_events,
        last_position=lambda body: body["items"][-1]["position"],
    ),
)
"""Reads of one subject. Such a read shows the state at its Lockstream-Position, or at a later position."""

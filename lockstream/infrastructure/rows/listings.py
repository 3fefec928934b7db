"""Lists of a projection in a database, shared by both engines."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from lockstream.core.entities.events import Event
from lockstream.core.entities.fields import IDENTIFIER_MAX, uuid_prefix
from lockstream.core.entities.listings import (
    MAX_OLD_DEPOSITS,
    Activity,
    CompartmentQuery,
    FaultQuery,
    HistoryQuery,
    ListedCompartment,
    LockerKey,
    LockerOrder,
    LockerQuery,
    Matches,
    NetworkTotals,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.log import LAST_TIME, Record
from lockstream.core.entities.silence import Silence
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Row, Status
from lockstream.core.past import LastingRows
from lockstream.core.use_cases.sorted_lockers import MAX_SORTED, is_indexed, require_few
from lockstream.core.wording import counted
from lockstream.infrastructure.rows.listing_statements import ListingStatements
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.statements.history import EVENT_TYPES

POSITION_MAX = 2**63 - 1
"""Highest number that a column of positions holds."""

MERGED_SEVERITIES = 12
"""Most severities whose faults are merged. A list of more severities is filtered: a network whose lockers report error
codes as severities has too many to read the first faults of each."""

_ID_END = "\U0010ffff" * (IDENTIFIER_MAX + 1)
"""A text that sorts after every id."""

type Values = dict[str, Any]
type Execute = Callable[[Prepared, Values], Iterable[tuple[Any, ...]]]
"""Executes a statement with its values. Raises StoreUnavailable if the database cannot be used."""

type ReadRecords = Callable[[Iterable[int]], list[Record]]
"""Returns the records at some positions. Raises StoreUnavailable if they cannot be read."""

type FindEvents = Callable[[str, int], list[tuple[str, int]]]
"""Finds events by the beginning of their ids, a result of `uuid_prefix`, up to a number.

Returns their ids and positions, sorted by id. Raises StoreUnavailable if they cannot be read.
"""


class SqlListings:
    """Lists of the state at one position. All statements of one instance must see the same moment."""

    def __init__(
        self,
        statements: ListingStatements,
        execute: Execute,
        position: int,
        read_records: ReadRecords,
        find_events: FindEvents,
        encode_positions: Callable[[list[int]], object] = list,
    ) -> None:
        """`position` is the position that the lists reflect. `encode_positions` makes a parameter of many positions.

        `find_events` searches the log, whose ids are not in a table of the projection.
        """
        self._statements = statements
        self._execute = execute
        self.position = position
        self._read_records = read_records
        self._find_events = find_events
        self._encode_positions = encode_positions

    def network(self) -> NetworkTotals:
        totals = self._row(_Totals, self._statements.totals, {})
        open_faults = self._open_faults(0, POSITION_MAX)
        return replace(
            NetworkTotals(*totals), open_faults={severity: count for severity, count in open_faults if count}
        )

    def activity(self, since: int, through: int) -> Activity:
        """Count active lockers and old deposits, each from an index."""
        deposits = {"upper": _within_range(through), "limit": MAX_OLD_DEPOSITS}
        [active] = self._row(_Position, self._statements.active_lockers, {"lower": _within_range(since)})
        [old] = self._row(_Position, self._statements.old_deposits, deposits)
        return Activity(active, old)

    def lockers(self, query: LockerQuery, after: LockerKey | None, limit: int) -> list[LockerTotals]:
        values = _positions_of(query.silence)
        if not is_indexed(query):
            return self._sorted_lockers(query, values | _pair_bounds(query, after), limit)
        match query.order:
            case LockerOrder.LAST_EVENT:
                values |= _position_bounds(after, *_last_positions(query), query.descending)
            case LockerOrder.DEGRADED:
                values |= _pair_bounds(query, after)
            case _:
                values |= _id_bounds(after, query.prefix, descending=query.descending)
        return self._page(LockerTotals, self._statements.lockers(query), values, limit)

    def recent_position(self, rank: int, highest: int) -> int:
        [position] = self._row(_Position, self._statements.recent_position, {"others": rank - 1})
        return min(int(position), highest)

    def silent_counts(self, silence: Silence) -> tuple[int, int]:
        silent, gone = self._row(_Pair, self._statements.silent_counts, _positions_of(silence))
        return silent, gone

    def compartments(self, query: CompartmentQuery, after: str | None, limit: int) -> list[ListedCompartment] | None:
        locker = {"locker_id": query.locker_id}
        values = locker | _id_bounds(after, query.prefix) | {"limit": limit}
        found = self._rows(_CompartmentRow, self._statements.compartments(query), values)
        if not found and not self._rows(_Id, self._statements.has_locker, locker):
            return None
        return [_listed(row) for row in found]

    def reservations(self, query: ReservationQuery, after: int | str | None, limit: int) -> list[Reservation]:
        first, through = _within_range(query.changed_from), _within_range(query.changed_through)
        if query.order is ReservationOrder.CHANGED:
            values = _position_bounds(after, first, through, query.descending)
        else:
            values = _id_bounds(after, query.prefix, descending=query.descending)
            values |= {"changed_from": first, "changed_through": through}
        values |= {"locker_id": query.locker_id}
        return self._page(Reservation, self._statements.reservations(query), values, limit)

    def faults(self, query: FaultQuery, after: int | None, limit: int) -> list[Fault]:
        """Return a page of faults. A page of all lockers merges the faults of each severity, if these are few."""
        bounds = _position_bounds(after, 0, POSITION_MAX, query.descending)
        if query.min_severity > 0 and query.locker_id is None:
            severities = [severity for severity, _ in self._open_faults(query.min_severity, MERGED_SEVERITIES + 1)]
            if not severities:
                return []
            if len(severities) <= MERGED_SEVERITIES:
                statement = self._statements.faults_of_severities(query, len(severities))
                numbered = {f"severity_{number}": severity for number, severity in enumerate(severities)}
                return self._page(Fault, statement, bounds | numbered, limit)
        filters = {
            "min_severity": _within_range(query.min_severity),
            "locker_id": query.locker_id,
            "compartment_id": query.compartment_id,
        }
        return self._page(Fault, self._statements.faults(query), bounds | filters, limit)

    def history(self, query: HistoryQuery, after: int | None, limit: int) -> list[int] | None:
        subject = {"locker_id": query.locker_id, "compartment_id": query.compartment_id}
        values = _position_bounds(after, 0, POSITION_MAX, query.descending) | subject | {"limit": limit}
        found = self._rows(_Position, self._statements.history(query), values)
        has_subject = self._statements.has_locker if query.compartment_id is None else self._statements.has_compartment
        if not found and not self._rows(_Id, has_subject, subject):
            return None
        return [position for (position,) in found]

    def reservation(self, reservation_id: str) -> Reservation | None:
        found = self._rows(Reservation, self._statements.reservation, {"reservation_id": reservation_id})
        return found[0] if found else None

    def lasting_rows(self, locker_id: str, compartment_id: str | None, position: int) -> LastingRows:
        """Return the rows whose events still mattered at `position`.

        The statements read an index entry of each reservation and fault of the locker up to that position.
        """
        values = {"locker_id": locker_id, "compartment_id": compartment_id} | _position_bounds(None, 0, position)

        def rows[RowT: (Compartment, Reservation, Fault)](row_class: type[RowT]) -> list[RowT]:
            statement = self._statements.lasting(row_class, of_compartment=compartment_id is not None)
            return self._rows(row_class, statement, values)

        return LastingRows(rows(Compartment), rows(Reservation), rows(Fault))

    def event_counts(self, locker_id: str, position: int) -> dict[type[Event], int]:
        """Return the number of events of each type, by reading an index entry of each event up to `position`."""
        values = {"locker_id": locker_id} | _position_bounds(None, 0, position)
        counts = self._row(_Counts, self._statements.event_counts, values)
        return dict(zip(EVENT_TYPES, counts, strict=True))

    def records(self, positions: Iterable[int]) -> list[Record]:
        return self._read_records(positions)

    def search(self, prefix: str, limit: int) -> Matches:
        values = _id_bounds(None, prefix=prefix) | {"limit": limit}
        lockers = self._rows(_Id, self._statements.locker_ids, values)
        compartments = self._rows(_Ids, self._statements.compartment_ids, values)
        reservations = self._rows(_Id, self._statements.reservation_ids, values)
        event_prefix = uuid_prefix(prefix)
        return Matches(
            [locker_id for (locker_id,) in lockers],
            [(locker_id, compartment_id) for compartment_id, locker_id in compartments],
            [reservation_id for (reservation_id,) in reservations],
            [] if event_prefix is None else self._find_events(event_prefix, limit),
        )

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        wanted = [position for position in positions if position]
        if not wanted:
            return {}
        found = dict(self._rows(_Time, self._statements.times, {"positions": self._encode_positions(wanted)}))
        if missing := set(wanted) - found.keys():
            raise projection_unavailable("read", LookupError(f"position {min(missing):,} has no recorded time"))
        return found

    def position_at(self, time: int) -> int:
        [position] = self.positions_at([time])
        return position

    def positions_at(self, times: Sequence[int]) -> list[int]:
        if not times:
            return []
        wanted = [_within_range(time) for time in times]
        values = {"positions": self._encode_positions(wanted)}
        found = {row[0]: row for row in self._rows(_Moments, self._statements.positions_at, values)}
        if missing := set(wanted) - found.keys():
            raise projection_unavailable("read", LookupError(f"no position for the time {min(missing)}"))
        return [self._position_in(found[time]) for time in wanted]

    def _position_in(self, moments: "_Moments") -> int:
        """Return the result of `position_at` for a time, from the moments around this time."""
        time, moment, following, latest = moments
        if moment is None:
            return 0
        if following is None or latest is None or latest <= time:
            return self.position
        return following - 1

    def _sorted_lockers(self, query: LockerQuery, bounds: Values, limit: int) -> list[LockerTotals]:
        """Return a page of lockers that no index has in the order of the query. Raises TooManyToSort."""
        values = bounds | _id_bounds(None, query.prefix)
        [count] = self._row(_Position, self._statements.locker_count(query), values | {"limit": MAX_SORTED + 1})
        require_few(count, query)
        return self._page(
            LockerTotals, self._statements.sorted_lockers(query), values | {"page_limit": limit}, MAX_SORTED
        )

    def _open_faults(self, min_severity: int, limit: int) -> list[tuple[int, int]]:
        """Return severities that have occurred, the highest first, each with its number of open faults."""
        values = {"min_severity": _within_range(min_severity), "limit": limit}
        return self._rows(_Pair, self._statements.open_faults, values)

    def _page[RowT: Row](self, row_class: type[RowT], statement: Prepared, values: Values, limit: int) -> list[RowT]:
        return self._rows(row_class, statement, {**values, "limit": limit})

    def _row(self, row_type: Any, statement: Prepared, values: Values) -> Any:
        """Return the only row. A damaged projection may have lost it, which makes the list unavailable."""
        found = self._rows(row_type, statement, values)
        if len(found) != 1:
            raise projection_unavailable("read", LookupError(f"{counted(len(found), 'row')} instead of 1"))
        return found[0]

    def _rows(self, row_type: Any, statement: Prepared, values: Values) -> list[Any]:
        """Return rows of this type. A damaged value of another type makes the list unavailable."""
        try:
            return msgspec.convert(list(self._execute(statement, values)), list[row_type])
        except VALUE_ERRORS as error:
            raise projection_unavailable("read", error) from error


class _CompartmentRow(Struct, array_like=True, gc=False):
    locker_id: str
    compartment_id: str
    degrading_faults: int
    active_reservation: str | None
    status: Status | None
    changed_position: int
    reservation_changed_position: int


_Id = tuple[str]
_Ids = tuple[str, str]
_Pair = tuple[int, int]
_Position = tuple[int]
_Counts = tuple[int, ...]
_Time = tuple[int, Annotated[int, Meta(ge=0, le=LAST_TIME)]]
_Moments = tuple[int, int | None, int | None, int | None]
_Totals = tuple[int, int, int, int, int, int, int, int]


def _positions_of(silence: Silence) -> Values:
    """Return the parameters of the conditions that a locker is silent, or gone."""
    return {name: getattr(silence, name) for name in ("position", "quiet_through", "young_through", "gone_through")}


def _listed(row: _CompartmentRow) -> ListedCompartment:
    return ListedCompartment(
        row.locker_id,
        row.compartment_id,
        degraded=row.degrading_faults > 0,
        active_reservation=row.active_reservation,
        reservation_status=row.status,
        changed_position=max(row.changed_position, row.reservation_changed_position),
    )


def _last_positions(query: LockerQuery) -> tuple[int, int]:
    """Return the lowest and the highest last position of lockers that pass the filters `silent` and `gone`."""
    silence = query.silence
    highest = silence.gone_through if query.gone else silence.quiet_through if query.silent else POSITION_MAX
    return silence.gone_through + 1 if query.silent else 0, highest


def _pair_bounds(query: LockerQuery, after: LockerKey | None) -> Values:
    """Return the bounds of a page of lockers that are sorted by a number and then by id.

    `lower_number` and `lower_id` are included, `upper_number` and `upper_id` are not. `none_lower` and `none_upper` are
    the bounds of the ids of lockers whose number is 0.
    """
    lower, upper = (0, ""), (POSITION_MAX, "")
    if after is not None and query.descending:
        upper = after if isinstance(after, tuple) else (int(after), "")
    elif after is not None:
        lower = (after[0], f"{after[1]}\x01") if isinstance(after, tuple) else (int(after) + 1, "")
    (lower_number, lower_id), (upper_number, upper_id) = lower, upper
    return {
        "lower_number": lower_number,
        "lower_id": lower_id,
        "upper_number": upper_number,
        "upper_id": upper_id,
        "none_lower": _ID_END if lower_number else lower_id,
        "none_upper": _ID_END if upper_number else upper_id,
    }


def _id_bounds(after: Any, prefix: str = "", *, descending: bool = False) -> dict[str, Any]:
    """Return the bounds of a page of ids: `lower` is included, `upper` is not. With two bounds, an index can seek it.

    No id contains a control character. So the ids after an id begin at that id followed by U+0001.
    """
    if descending:
        return {"lower": prefix, "upper": prefix + _ID_END if after is None else min(prefix + _ID_END, str(after))}
    return {"lower": prefix if after is None else max(prefix, f"{after}\x01"), "upper": prefix + _ID_END}


def _position_bounds(after: Any, first: int, last: int, descending: bool = False) -> dict[str, Any]:
    """Return the bounds of a page of positions, both included."""
    if after is not None and descending:
        last = min(last, int(after) - 1)
    elif after is not None:
        first = max(first, int(after) + 1)
    return {"lower": _within_range(first), "upper": _within_range(last)}


def _within_range(number: int | None) -> int:
    """Return a number within the range of a column of positions. None becomes the highest number."""
    return POSITION_MAX if number is None else max(-POSITION_MAX, min(number, POSITION_MAX))

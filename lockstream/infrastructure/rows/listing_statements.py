"""The statements of lists. Each reads one index in the order of its list, from the first row of the page to the last.

A selective filter has partial indexes. If several partial indexes serve one list, the statement takes `limit` rows of
each, sorts them, and keeps the first `limit`. A planner without statistics may choose a wrong index, so a condition
that must not use an index is written as an expression.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import reduce
from itertools import chain, product
from operator import add
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    CompoundSelect,
    Dialect,
    Select,
    String,
    Table,
    TableValuedAlias,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.types import TypeEngine

from lockstream.core.entities.events import (
    CompartmentRegistered,
    Event,
    FaultCleared,
    FaultReported,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
)
from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    LockerOrder,
    LockerQuery,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.state import DEGRADING_SEVERITY, FINAL, Compartment, Fault, Reservation, Row, Status
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.reads import times_statement
from lockstream.infrastructure.rows.silence import IS_GONE, IS_SILENT
from lockstream.infrastructure.rows.tables import (
    HAS_STATUS,
    IS_CLEARED,
    IS_OPEN,
    LOCKER_HAS,
    WAS_DEPOSITED,
    compartments,
    faults,
    lockers,
    moments,
    reservations,
)

type _Select = Select[*tuple[Any, ...]]
type _Statement = _Select | CompoundSelect[*tuple[Any, ...]]
type _Condition = ColumnElement[bool]

LIMIT = bindparam("limit", type_=BigInteger)
PAGE_LIMIT = bindparam("page_limit", type_=BigInteger)
MIN_SEVERITY = bindparam("min_severity", type_=BigInteger)
_LOCKER_ID = bindparam("locker_id", type_=String)


class ListingStatements:
    """The statements of all lists for one dialect, each compiled when it is first used. For any thread."""

    def __init__(
        self,
        dialect: Dialect,
        positions: TableValuedAlias,
        totals: _Select,
        open_faults: _Select,
    ) -> None:
        """`positions` is a table with the column `value`, whose rows are the numbers in the parameter `positions`.

        These numbers are positions or times. `totals` selects the numbers of `NetworkTotals` in the order of its
        fields. `open_faults` selects `LIMIT` severities from `MIN_SEVERITY` on that have occurred, the highest first,
        each with the number of open faults. Each engine keeps both in tables of its own.
        """
        self._dialect = dialect
        self._prepared: dict[Hashable, Prepared] = {}
        self.totals = Prepared(totals, dialect)
        self.open_faults = Prepared(open_faults, dialect)
        self.active_lockers = Prepared(_ACTIVE_LOCKERS, dialect)
        self.old_deposits = Prepared(_OLD_DEPOSITS, dialect)
        self.has_locker = Prepared(_HAS_LOCKER, dialect)
        self.has_compartment = Prepared(_HAS_COMPARTMENT, dialect)
        self.reservation = Prepared(_RESERVATION, dialect)
        self.event_counts = Prepared(_EVENT_COUNTS, dialect)
        self.locker_ids = Prepared(_ids(lockers.c.locker_id), dialect)
        self.compartment_ids = Prepared(_ids(compartments.c.compartment_id, compartments.c.locker_id), dialect)
        self.reservation_ids = Prepared(_ids(reservations.c.reservation_id), dialect)
        self.recent_lockers = Prepared(_RECENT_LOCKERS, dialect)
        self.recent_position = Prepared(_RECENT_POSITION, dialect)
        self.silent_counts = Prepared(_SILENT_COUNTS, dialect)
        self.times = Prepared(times_statement(positions), dialect)
        self.positions_at = Prepared(_positions_at(positions), dialect)

    def lockers(self, query: LockerQuery) -> Prepared:
        """Return the statement that lists lockers from an index: between `lower` and `upper`, two ids or two positions.

        The order by the number of degraded compartments has the pairs `lower_number`, `lower_id` and `upper_number`,
        `upper_id` instead, and `none_lower` and `none_upper` as the bounds of the ids of lockers without one.
        """
        has, is_silent = (query.available, query.degraded), (query.silent, query.gone)
        if query.order is LockerOrder.LAST_EVENT:
            return self._statement(_lockers_by_last_event, *is_silent, query.descending)
        if query.order is LockerOrder.DEGRADED:
            return self._statement(_lockers_by_degraded, *has, query.descending)
        return self._statement(_lockers_by_id, *has, *is_silent, query.descending)

    def locker_count(self, query: LockerQuery) -> Prepared:
        """Return the statement that counts the lockers that pass the filters, up to `limit`."""
        return self._statement(_locker_count, query.available, query.degraded, query.silent, query.gone)

    def sorted_lockers(self, query: LockerQuery) -> Prepared:
        """Return the statement that sorts the first `limit` lockers by id that pass the filters.

        It selects `page_limit` of them between the pairs `lower_number`, `lower_id` and `upper_number`, `upper_id`.
        """
        shape = query.order, query.descending, query.available, query.degraded, query.silent, query.gone
        return self._statement(_sorted_lockers, *shape)

    def compartments(self, query: CompartmentQuery) -> Prepared:
        """Return the statement that lists compartments whose ids are at least `lower` and below `upper`."""
        return self._statement(_compartments, query.state)

    def reservations(self, query: ReservationQuery) -> Prepared:
        """Return the statement that lists reservations between `lower` and `upper`: two positions, or two ids."""
        make = _reservations_by_change if query.order is ReservationOrder.CHANGED else _reservations_by_id
        return self._statement(make, query.status, query.locker_id is not None, query.descending)

    def faults(self, query: FaultQuery) -> Prepared:
        """Return the statement that lists faults reported from position `lower` through position `upper`."""
        has_locker, has_compartment = query.locker_id is not None, query.compartment_id is not None
        return self._statement(_faults, query.open, has_locker, has_compartment, query.descending)

    def faults_of_severities(self, query: FaultQuery, count: int) -> Prepared:
        """Return the statement that lists faults of `count` severities: `severity_0`, `severity_1` and so on."""
        return self._statement(_faults_of_severities, query.open, count, query.descending)

    def history(self, query: HistoryQuery) -> Prepared:
        """Return the statement that lists the positions of events from `lower` through `upper`."""
        return self._statement(_history, query.event_type, query.compartment_id is not None, query.descending)

    def lasting(self, row_class: type[Row], *, of_compartment: bool) -> Prepared:
        """Return the statement that finds the `LastingRows` of one class at position `upper`. `lower` is 0."""
        return self._statement(_LASTING[row_class], of_compartment)

    def _statement(self, make: Callable[..., _Statement], *shape: Hashable) -> Prepared:
        if (prepared := self._prepared.get((make, shape))) is None:
            prepared = self._prepared[make, shape] = Prepared(make(*shape), self._dialect)
        return prepared


def _lockers_by_id(
    available: bool | None, degraded: bool | None, silent: bool | None, gone: bool | None, descending: bool
) -> _Statement:
    page = select(lockers).where(_ids_within_bounds(lockers.c.locker_id), *_is_silent(silent, gone))
    parts = [page.where(condition) for _, condition in _lockers_with(available, degraded)]
    is_filtered = available is not None or degraded is not None
    return _merged(lockers, parts if is_filtered else [page], "locker_id", descending=descending)


def _lockers_by_last_event(silent: bool | None, gone: bool | None, descending: bool) -> _Statement:
    page = _positions_page(lockers, "last_position", False).where(*_is_silent(silent, gone))
    return _merged(lockers, [page], "last_position", descending=descending)


def _lockers_by_degraded(available: bool | None, degraded: bool | None, descending: bool) -> _Statement:
    """Return a SELECT that merges lockers with a degraded compartment, by their count, and all others, by their id."""
    by_count = _pairs_within_bounds(lockers.c.degraded, lockers.c.locker_id)
    by_id = _ids_within_bounds(lockers.c.locker_id, "none_lower", "none_upper")
    parts = [
        select(lockers).where(by_count if is_degraded else by_id, condition)
        for is_degraded, condition in _lockers_with(available, degraded)
    ]
    return _merged(lockers, parts, "degraded", "locker_id", descending=descending)


def _locker_count(available: bool | None, degraded: bool | None, silent: bool | None, gone: bool | None) -> _Statement:
    found = _lockers_by_id(available, degraded, silent, gone, descending=False)
    return select(func.count()).select_from(found.subquery())


def _sorted_lockers(
    order: LockerOrder,
    descending: bool,
    available: bool | None,
    degraded: bool | None,
    silent: bool | None,
    gone: bool | None,
) -> _Statement:
    found = _lockers_by_id(available, degraded, silent, gone, descending=False).subquery()
    pair = found.c[_NUMBERS[order].name], found.c.locker_id
    page = select(found).where(_pairs_within_bounds(*pair))
    return page.order_by(*(one.desc() if descending else one for one in pair)).limit(PAGE_LIMIT)


_NUMBERS = {
    LockerOrder.LAST_EVENT: lockers.c.last_position,
    LockerOrder.AVAILABLE: lockers.c.available,
    LockerOrder.DEGRADED: lockers.c.degraded,
}
"""The number by which lockers are sorted."""


def _is_silent(silent: bool | None, gone: bool | None) -> list[_Condition]:
    """Return the conditions of the filters `silent` and `gone`. No index matches them."""
    wanted = ((silent, IS_SILENT), (gone, IS_GONE))
    return [condition if flag else not_(condition) for flag, condition in wanted if flag is not None]


def _lockers_with(available: bool | None, degraded: bool | None) -> list[tuple[bool, _Condition]]:
    """Return one condition for each kind of lockers that a list contains, and whether the kind is degraded."""
    return [
        (is_degraded, condition)
        for (is_available, is_degraded), condition in LOCKER_HAS.items()
        if available in (None, is_available) and degraded in (None, is_degraded)
    ]


def _compartments(state: CompartmentState | None) -> _Statement:
    # An expression: a filter by the column itself would let a planner begin with all reservations of a status.
    status = func.coalesce(reservations.c.status, literal_column("''"))
    statement = (
        select(
            compartments.c.locker_id,
            compartments.c.compartment_id,
            compartments.c.degrading_faults,
            compartments.c.active_reservation,
            reservations.c.status,
            compartments.c.changed_position,
            func.coalesce(reservations.c.changed_position, literal_column("0")),
        )
        .outerjoin_from(compartments, reservations, compartments.c.active_reservation == reservations.c.reservation_id)
        .where(_of_locker_within_bounds(compartments, "compartment_id", String()))
        .order_by(compartments.c.locker_id, compartments.c.compartment_id)
        .limit(LIMIT)
    )
    match state:
        case None:
            return statement
        case CompartmentState.AVAILABLE:
            no_fault = compartments.c.degrading_faults == literal_column("0")
            return statement.where(no_fault, compartments.c.active_reservation.is_(None))
        case CompartmentState.RESERVED:
            return statement.where(status == literal_column(f"'{Status.CREATED}'"))
        case CompartmentState.OCCUPIED:
            return statement.where(status == literal_column(f"'{Status.DEPOSITED}'"))
        case CompartmentState.DEGRADED:
            return statement.where(compartments.c.degrading_faults > literal_column("0"))


def _reservations_by_change(status: Status | None, has_locker: bool, descending: bool) -> _Statement:
    page = _positions_page(reservations, "changed_position", has_locker)
    parts = [page.where(condition) for condition in _with_status(status, only_final=has_locker)]
    if has_locker and status not in FINAL:
        parts.append(_active_of_locker(status, _was_changed_within("lower", "upper")))
    return _merged(reservations, parts, "changed_position", descending=descending, of_locker=has_locker)


def _reservations_by_id(status: Status | None, has_locker: bool, descending: bool) -> _Statement:
    bounds = "changed_from", "changed_through"
    was_changed = _was_changed_within(*bounds)
    if has_locker:  # sorts the reservations of this locker
        of_locker = _of_locker_within_bounds(reservations, "changed_position", BigInteger(), *bounds)
        has_id = _ids_within_bounds(_text_expression(reservations.c.reservation_id))
        page = select(reservations).where(of_locker, has_id)
        parts = [
            _in_order_of(reservations.c.changed_position, page.where(condition))
            for condition in _with_status(status, only_final=True)
        ]
        if status not in FINAL:
            parts.append(_active_of_locker(status, was_changed, has_id))
        all_of_locker = union_all(*parts).subquery()
        order = _text_expression(all_of_locker.c.reservation_id)
        return select(all_of_locker).order_by(order.desc() if descending else order).limit(LIMIT)
    page = select(reservations).where(_ids_within_bounds(reservations.c.reservation_id), was_changed)
    if status is Status.PICKED_UP:
        page = page.where(_has_status(status))
    elif status:
        page = page.where(HAS_STATUS[status])
    return _merged(reservations, [page], "reservation_id", descending=descending)


def _active_of_locker(status: Status | None, *conditions: _Condition) -> _Select:
    """Return a SELECT of the active reservations of a locker, which are those of its compartments."""
    active = (
        select(reservations)
        .join_from(compartments, reservations, compartments.c.active_reservation == reservations.c.reservation_id)
        .where(compartments.c.locker_id == _LOCKER_ID, *conditions)
    )
    return active.where(_has_status(status)) if status else active


def _with_status(status: Status | None, *, only_final: bool) -> list[_Condition]:
    """Return one condition for each status that a reservation may have."""
    wanted = Status if status is None else [status]
    return [HAS_STATUS[one] for one in wanted if one in FINAL or not only_final]


def _has_status(status: Status) -> _Condition:
    """Return the condition that a reservation has a status. No index matches it."""
    return _text_expression(reservations.c.status) == literal_column(f"'{status}'")


def _was_changed_within(first: str, last: str) -> _Condition:
    """Return the condition that the last change is within the bounds of these names. No index matches it."""
    changed = _expression(reservations.c.changed_position)
    return and_(changed >= bindparam(first, type_=BigInteger), changed <= bindparam(last, type_=BigInteger))


def _faults(is_open: bool | None, has_locker: bool, has_compartment: bool, descending: bool) -> _Statement:
    page = _positions_page(faults, "reported_position", has_locker)
    page = page.where(faults.c.severity >= MIN_SEVERITY)
    if has_compartment:
        page = page.where(faults.c.compartment_id == bindparam("compartment_id", type_=String))
    parts = [page.where(condition) for condition in _open_or_cleared(is_open)]
    return _merged(faults, parts, "reported_position", descending=descending, of_locker=has_locker)


def _faults_of_severities(is_open: bool | None, count: int, descending: bool) -> _Statement:
    """Return a SELECT that merges the first faults of each severity."""
    pair = tuple_(faults.c.severity, faults.c.reported_position)
    parts = []
    for number, condition in product(range(count), _open_or_cleared(is_open)):
        severity = bindparam(f"severity_{number}", type_=BigInteger)
        lower, upper = (tuple_(severity, bindparam(name, type_=BigInteger)) for name in ("lower", "upper"))
        parts.append(select(faults).where(pair >= lower, pair <= upper, condition))
    return _merged(faults, parts, "reported_position", descending=descending, of_severity=True)


def _open_or_cleared(is_open: bool | None) -> list[_Condition]:
    """Return one condition for each kind of faults, open and cleared, that a list contains."""
    return [condition for is_one, condition in ((True, IS_OPEN), (False, IS_CLEARED)) if is_open in (None, is_one)]


_POSITIONS: dict[type[Event], list[tuple[Column[int], _Condition]]] = {
    CompartmentRegistered: [(compartments.c.registered_position, true())],
    ReservationCreated: [(reservations.c.created_position, true())],
    ParcelDeposited: [(reservations.c.deposited_position, WAS_DEPOSITED)],
    ParcelPickedUp: [(reservations.c.changed_position, HAS_STATUS[Status.PICKED_UP])],
    ReservationExpired: [(reservations.c.changed_position, HAS_STATUS[Status.EXPIRED])],
    FaultReported: [(faults.c.reported_position, IS_OPEN), (faults.c.reported_position, IS_CLEARED)],
    FaultCleared: [(faults.c.cleared_position, IS_CLEARED)],
}
"""The columns that hold positions of events of a type, each with the condition that a row has such an event."""


EVENT_TYPES = tuple(_POSITIONS)
"""The types of events, in the order in which `event_counts` counts them."""


def _history(event_type: type[Event] | None, of_compartment: bool, descending: bool) -> _Statement:
    pages = []
    for column, condition in _columns_of(event_type):
        page = select(column.label("position")).where(_of_locker(column, of_compartment), condition)
        order = (column.table.c.locker_id, column)
        pages.append(page.order_by(*(one.desc() if descending else one for one in order)).limit(LIMIT))
    if len(pages) == 1:
        return pages[0]
    merged = union_all(*(select(page.subquery()) for page in pages)).subquery()
    position = merged.c.position
    return select(position).order_by(position.desc() if descending else position).limit(LIMIT)


def _columns_of(event_type: type[Event] | None) -> Iterable[tuple[Column[int], _Condition]]:
    return chain(*_POSITIONS.values()) if event_type is None else _POSITIONS[event_type]


def _of_locker(column: Column[int], of_compartment: bool) -> _Condition:
    """Return the condition that a position is within bounds, and that its row belongs to the subject."""
    table = column.table
    of_locker = _of_locker_within_bounds(table, column.name, BigInteger())
    if not of_compartment:
        return of_locker
    return and_(of_locker, table.c.compartment_id == bindparam("compartment_id", type_=String))


def _lasting_compartments(of_compartment: bool) -> _Statement:
    return select(compartments).where(_of_locker(compartments.c.registered_position, of_compartment))


def _lasting_reservations(of_compartment: bool) -> _Statement:
    """Return a SELECT that reads an index entry of each reservation of the locker up to the position."""
    latest = (
        select(func.max(reservations.c.created_position))
        .where(_of_locker(reservations.c.created_position, of_compartment))
        .group_by(reservations.c.compartment_id)
    )
    return select(reservations).where(
        reservations.c.locker_id == _LOCKER_ID, reservations.c.created_position.in_(latest)
    )


def _lasting_faults(of_compartment: bool) -> _Statement:
    """Return a SELECT that reads an index entry of each fault of the locker that was reported up to the position.

    Overlapping degrading faults of a compartment form one degraded period. Selected are the faults of its last period,
    and all faults that were open at the position.
    """
    upper = bindparam("upper", type_=BigInteger)
    page = select(faults).where(_of_locker(faults.c.reported_position, of_compartment))
    parts = (_in_order_of(faults.c.reported_position, page.where(one)) for one in (IS_OPEN, IS_CLEARED))
    reported = union_all(*parts).subquery()
    was_open = or_(reported.c.cleared_position == literal_column("0"), reported.c.cleared_position > upper)
    is_degrading = reported.c.severity >= literal_column(str(DEGRADING_SEVERITY))
    end = case((not_(is_degrading), literal_column("0")), (was_open, upper), else_=reported.c.cleared_position)
    dated = select(
        reported, was_open.label("was_open"), is_degrading.label("is_degrading"), end.label("end")
    ).subquery()
    latest_end = func.max(dated.c.end).over(
        partition_by=dated.c.compartment_id, order_by=dated.c.reported_position, rows=(None, -1)
    )
    linked = select(dated, func.coalesce(latest_end, literal_column("0")).label("latest_end")).subquery()
    is_first = and_(linked.c.is_degrading, linked.c.reported_position > linked.c.latest_end)
    start = func.max(case((is_first, linked.c.reported_position))).over(partition_by=linked.c.compartment_id)
    found = select(linked, start.label("start")).subquery()
    is_of_last_period = and_(found.c.is_degrading, found.c.reported_position >= found.c.start)
    columns = (found.c[column.name] for column in faults.columns)
    return select(*columns).where(or_(found.c.was_open, is_of_last_period))


_LASTING: dict[type[Row], Callable[[bool], _Statement]] = {
    Compartment: _lasting_compartments,
    Reservation: _lasting_reservations,
    Fault: _lasting_faults,
}


def _merged(
    table: Table,
    parts: Sequence[_Select],
    *key: str,
    descending: bool,
    of_locker: bool = False,
    of_severity: bool = False,
) -> _Statement:
    """Return the first rows of all parts of a table, in the order of the columns `key`. No row is in two parts."""

    def ordered(page: _Select, columns: ReadOnlyColumnCollection[str, Any], *names: str) -> _Select:
        return page.order_by(*(columns[name].desc() if descending else columns[name] for name in names)).limit(LIMIT)

    names = ("locker_id", *key) if of_locker else ("severity", *key) if of_severity else key
    pages = [ordered(part, table.c, *names) for part in parts]
    if len(pages) == 1:
        return pages[0]
    merged = union_all(*(select(page.subquery()) for page in pages)).subquery()
    return ordered(select(merged), merged.c, *key)


def _in_order_of(position: Column[int], rows: _Select) -> _Select:
    """Return a SELECT of all `rows` of a locker, read from the index that has them in the order of `position`.

    The order makes this index the only one that fits, and the limit is beyond all rows. An engine ignores the order of
    a subquery without a limit, and then chooses any index that begins with the locker's id.
    """
    ordered = rows.order_by(position.table.c.locker_id, position).limit(literal_column(str(2**62)))
    return select(ordered.subquery())


def _positions_page(table: Table, key: str, has_locker: bool) -> _Select:
    """Return a SELECT of the rows whose positions `key` are within bounds, of one locker or of all."""
    if has_locker:
        return select(table).where(_of_locker_within_bounds(table, key, BigInteger()))
    column = table.c[key]
    return select(table).where(
        column >= bindparam("lower", type_=BigInteger), column <= bindparam("upper", type_=BigInteger)
    )


def _of_locker_within_bounds(
    table: Table, key: str, key_type: TypeEngine[Any], first: str = "lower", last: str = "upper"
) -> _Condition:
    """Return the condition that a row belongs to the locker, and that its key is within bounds.

    A comparison of pairs matches only an index of these two columns in this order. PostgreSQL could read the whole
    index of another order for a comparison of each column.
    """
    pair = tuple_(table.c.locker_id, table.c[key])
    lower, upper = (tuple_(_LOCKER_ID, bindparam(name, type_=key_type)) for name in (first, last))
    return and_(pair >= lower, pair <= upper)


def _ids(column: ColumnElement[str], *further: ColumnElement[str]) -> _Select:
    return select(column, *further).where(_ids_within_bounds(column)).order_by(column, *further).limit(LIMIT)


def _ids_within_bounds(column: ColumnElement[str], first: str = "lower", last: str = "upper") -> _Condition:
    return and_(column >= bindparam(first, type_=String), column < bindparam(last, type_=String))


def _pairs_within_bounds(number: ColumnElement[int], locker_id: ColumnElement[str]) -> _Condition:
    """Return the condition that a pair of a number and an id is within bounds."""
    pair = tuple_(number, locker_id)
    lower, upper = (
        tuple_(bindparam(f"{name}_number", type_=BigInteger), bindparam(f"{name}_id", type_=String))
        for name in ("lower", "upper")
    )
    return and_(pair >= lower, pair < upper)


def _expression(column: ColumnElement[int]) -> ColumnElement[int]:
    """Return the column as an expression that no index matches."""
    return column + literal_column("0", BigInteger)


def _text_expression(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the column as an expression that no index matches."""
    return column.concat(literal_column("''"))


_ACTIVE_LOCKERS = select(func.count()).where(lockers.c.last_position >= bindparam("lower", type_=BigInteger))
_OLD_DEPOSITS = select(func.count()).select_from(
    select(reservations.c.changed_position)
    .where(HAS_STATUS[Status.DEPOSITED], reservations.c.changed_position <= bindparam("upper", type_=BigInteger))
    .order_by(reservations.c.changed_position)
    .limit(LIMIT)
    .subquery()
)
_HAS_LOCKER = select(lockers.c.locker_id).where(lockers.c.locker_id == _LOCKER_ID)
_HAS_COMPARTMENT = select(compartments.c.compartment_id).where(
    compartments.c.locker_id == _LOCKER_ID,
    compartments.c.compartment_id == bindparam("compartment_id", type_=String),
)
_RESERVATION = select(reservations).where(reservations.c.reservation_id == bindparam("reservation_id", type_=String))


_RECENT_LOCKERS = select(func.count()).select_from(
    select(lockers.c.locker_id)
    .where(lockers.c.last_position >= bindparam("highest", type_=BigInteger))
    .limit(LIMIT)
    .subquery()
)
"""The number of lockers with an event at position `highest` or after it, counted up to `LIMIT`."""

_RECENT_POSITION = (
    select(lockers.c.last_position)
    .order_by(lockers.c.last_position.desc())
    .limit(literal_column("1"))
    .offset(bindparam("others", type_=BigInteger))
)
"""The last position of a locker, such that the last positions of `others` lockers are higher."""

_SILENT_COUNTS = select(
    func.count(case((IS_SILENT, literal_column("1")))), func.count(case((IS_GONE, literal_column("1"))))
).select_from(lockers)


def _count_of(event_type: type[Event]) -> ColumnElement[int]:
    found = (
        _in_order_of(column, select(column).where(_of_locker(column, False), condition))
        for column, condition in _POSITIONS[event_type]
    )
    return reduce(add, (select(func.count()).select_from(one.subquery()).scalar_subquery() for one in found))


_EVENT_COUNTS = select(*map(_count_of, _POSITIONS))
"""The number of a locker's events of each type from position `lower` through position `upper`, in this order."""


def _positions_at(times: TableValuedAlias) -> _Select:
    """Return a SELECT of times, each with the moments around it. `times` is a table with the column `value`.

    For each time, it selects the position of the latest moment at that time or before, the position of the next moment
    in the log, and the latest time of all moments.
    """
    moment = (
        select(moments.c.position)
        .where(moments.c.time <= times.c.value)
        .order_by(moments.c.time.desc(), moments.c.position.desc())
        .limit(literal_column("1"))
        .correlate(times)
        .scalar_subquery()
    )
    following = moments.alias("following")
    next_moment = (
        select(following.c.position)
        .where(following.c.position > moment)
        .order_by(following.c.position)
        .limit(literal_column("1"))
        .correlate(times)
        .scalar_subquery()
    )
    return select(times.c.value, moment, next_moment, select(func.max(moments.c.time)).scalar_subquery())

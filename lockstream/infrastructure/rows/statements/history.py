"""The statements of histories: positions of events, rows that lasted at a position, and times of positions."""

from collections.abc import Callable, Iterable
from functools import reduce
from itertools import chain
from operator import add

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    String,
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
    union_all,
)

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
from lockstream.core.entities.state import DEGRADING_SEVERITY, Compartment, Fault, Reservation, Row, Status
from lockstream.infrastructure.rows.statements.parts import (
    LIMIT,
    LOCKER_ID,
    AnySelect,
    Condition,
    Statement,
    in_order_of,
    of_locker_within_bounds,
)
from lockstream.infrastructure.rows.tables import (
    HAS_STATUS,
    IS_CLEARED,
    IS_OPEN,
    WAS_DEPOSITED,
    compartments,
    faults,
    moments,
    reservations,
)

_POSITIONS: dict[type[Event], list[tuple[Column[int], Condition]]] = {
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


def history_page(event_type: type[Event] | None, of_compartment: bool, descending: bool) -> Statement:
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


def _columns_of(event_type: type[Event] | None) -> Iterable[tuple[Column[int], Condition]]:
    return chain(*_POSITIONS.values()) if event_type is None else _POSITIONS[event_type]


def _of_locker(column: Column[int], of_compartment: bool) -> Condition:
    """Return the condition that a position is within bounds, and that its row belongs to the subject."""
    table = column.table
    of_locker = of_locker_within_bounds(table, column.name, BigInteger())
    if not of_compartment:
        return of_locker
    return and_(of_locker, table.c.compartment_id == bindparam("compartment_id", type_=String))


def _lasting_compartments(of_compartment: bool) -> Statement:
    return select(compartments).where(_of_locker(compartments.c.registered_position, of_compartment))


def _lasting_reservations(of_compartment: bool) -> Statement:
    """Return a SELECT that reads an index entry of each reservation of the locker up to the position."""
    latest = (
        select(func.max(reservations.c.created_position))
        .where(_of_locker(reservations.c.created_position, of_compartment))
        .group_by(reservations.c.compartment_id)
    )
    return select(reservations).where(
        reservations.c.locker_id == LOCKER_ID, reservations.c.created_position.in_(latest)
    )


def _lasting_faults(of_compartment: bool) -> Statement:
    """Return a SELECT that reads an index entry of each fault of the locker that was reported up to the position.

    Overlapping degrading faults of a compartment form one degraded period. Selected are the faults that its last period
    began with, or that prolonged it, and all faults that were open at the position. A fault that was cleared before an
    earlier one changes no period.
    """
    upper = bindparam("upper", type_=BigInteger)
    page = select(faults).where(_of_locker(faults.c.reported_position, of_compartment))
    parts = (in_order_of(faults.c.reported_position, page.where(one)) for one in (IS_OPEN, IS_CLEARED))
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
    prolongs_last_period = and_(
        found.c.is_degrading, found.c.reported_position >= found.c.start, found.c.end > found.c.latest_end
    )
    columns = (found.c[column.name] for column in faults.columns)
    return select(*columns).where(or_(found.c.was_open, prolongs_last_period))


LASTING: dict[type[Row], Callable[[bool], Statement]] = {
    Compartment: _lasting_compartments,
    Reservation: _lasting_reservations,
    Fault: _lasting_faults,
}


def _count_of(event_type: type[Event]) -> ColumnElement[int]:
    found = (
        in_order_of(column, select(column).where(_of_locker(column, False), condition))
        for column, condition in _POSITIONS[event_type]
    )
    return reduce(add, (select(func.count()).select_from(one.subquery()).scalar_subquery() for one in found))


EVENT_COUNTS = select(*map(_count_of, _POSITIONS))
"""The number of a locker's events of each type from position `lower` through position `upper`, in this order."""


def positions_at(times: TableValuedAlias) -> AnySelect:
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

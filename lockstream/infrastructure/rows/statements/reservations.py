"""The statements of lists of compartments and of reservations."""

from sqlalchemy import BigInteger, String, and_, bindparam, func, literal_column, select, union_all

from lockstream.core.entities.listings import CompartmentState
from lockstream.core.entities.state import FINAL, Status
from lockstream.infrastructure.rows.statements.parts import (
    LIMIT,
    LOCKER_ID,
    AnySelect,
    Condition,
    Statement,
    expression,
    ids_within_bounds,
    in_order_of,
    merged,
    of_locker_within_bounds,
    positions_page,
    text_expression,
)
from lockstream.infrastructure.rows.tables import HAS_STATUS, compartments, reservations


def compartments_of_locker(state: CompartmentState | None) -> Statement:
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
        .where(of_locker_within_bounds(compartments, "compartment_id", String()))
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


def reservations_by_change(status: Status | None, has_locker: bool, descending: bool) -> Statement:
    page = positions_page(reservations, "changed_position", has_locker)
    parts = [page.where(condition) for condition in _with_status(status, only_final=has_locker)]
    if has_locker and status not in FINAL:
        parts.append(_active_of_locker(status, _was_changed_within("lower", "upper")))
    return merged(reservations, parts, "changed_position", descending=descending, of_locker=has_locker)


def reservations_by_id(status: Status | None, has_locker: bool, descending: bool) -> Statement:
    bounds = "changed_from", "changed_through"
    was_changed = _was_changed_within(*bounds)
    if has_locker:  # sorts the reservations of this locker
        of_locker = of_locker_within_bounds(reservations, "changed_position", BigInteger(), *bounds)
        has_id = ids_within_bounds(text_expression(reservations.c.reservation_id))
        page = select(reservations).where(of_locker, has_id)
        parts = [
            in_order_of(reservations.c.changed_position, page.where(condition))
            for condition in _with_status(status, only_final=True)
        ]
        if status not in FINAL:
            parts.append(_active_of_locker(status, was_changed, has_id))
        all_of_locker = union_all(*parts).subquery()
        order = text_expression(all_of_locker.c.reservation_id)
        return select(all_of_locker).order_by(order.desc() if descending else order).limit(LIMIT)
    page = select(reservations).where(ids_within_bounds(reservations.c.reservation_id), was_changed)
    if status is Status.PICKED_UP:
        page = page.where(_has_status(status))
    elif status:
        page = page.where(HAS_STATUS[status])
    return merged(reservations, [page], "reservation_id", descending=descending)


def _active_of_locker(status: Status | None, *conditions: Condition) -> AnySelect:
    """Return a SELECT of the active reservations of a locker, which are those of its compartments."""
    active = (
        select(reservations)
        .join_from(compartments, reservations, compartments.c.active_reservation == reservations.c.reservation_id)
        .where(compartments.c.locker_id == LOCKER_ID, *conditions)
    )
    return active.where(_has_status(status)) if status else active


def _with_status(status: Status | None, *, only_final: bool) -> list[Condition]:
    """Return one condition for each status that a reservation may have."""
    wanted = Status if status is None else [status]
    return [HAS_STATUS[one] for one in wanted if one in FINAL or not only_final]


def _has_status(status: Status) -> Condition:
    """Return the condition that a reservation has a status. No index matches it."""
    return text_expression(reservations.c.status) == literal_column(f"'{status}'")


def _was_changed_within(first: str, last: str) -> Condition:
    """Return the condition that the last change is within the bounds of these names. No index matches it."""
    changed = expression(reservations.c.changed_position)
    return and_(changed >= bindparam(first, type_=BigInteger), changed <= bindparam(last, type_=BigInteger))


OLD_DEPOSITS = select(func.count()).select_from(
    select(reservations.c.changed_position)
    .where(HAS_STATUS[Status.DEPOSITED], reservations.c.changed_position <= bindparam("upper", type_=BigInteger))
    .order_by(reservations.c.changed_position)
    .limit(LIMIT)
    .subquery()
)


HAS_COMPARTMENT = select(compartments.c.compartment_id).where(
    compartments.c.locker_id == LOCKER_ID,
    compartments.c.compartment_id == bindparam("compartment_id", type_=String),
)


RESERVATION = select(reservations).where(reservations.c.reservation_id == bindparam("reservation_id", type_=String))

"""The statements of lists of lockers, and of their counts."""

from sqlalchemy import BigInteger, bindparam, case, func, literal_column, not_, select

from lockstream.core.entities.listings import LockerOrder
from lockstream.infrastructure.rows.silence import IS_GONE, IS_SILENT
from lockstream.infrastructure.rows.statements.parts import (
    LOCKER_ID,
    PAGE_LIMIT,
    Condition,
    Statement,
    ids_within_bounds,
    merged,
    pairs_within_bounds,
    positions_page,
)
from lockstream.infrastructure.rows.tables import LOCKER_HAS, lockers


def lockers_by_id(
    available: bool | None, degraded: bool | None, silent: bool | None, gone: bool | None, descending: bool
) -> Statement:
    page = select(lockers).where(ids_within_bounds(lockers.c.locker_id), *_silence_conditions(silent, gone))
    parts = [page.where(condition) for _, condition in _lockers_with(available, degraded)]
    is_filtered = available is not None or degraded is not None
    return merged(lockers, parts if is_filtered else [page], "locker_id", descending=descending)


def lockers_by_last_event(silent: bool | None, gone: bool | None, descending: bool) -> Statement:
    page = positions_page(lockers, "last_position", False).where(*_silence_conditions(silent, gone))
    return merged(lockers, [page], "last_position", descending=descending)


def lockers_by_degraded(available: bool | None, degraded: bool | None, descending: bool) -> Statement:
    """Return a SELECT that merges lockers with a degraded compartment, by their count, and all others, by their id."""
    by_count = pairs_within_bounds(lockers.c.degraded, lockers.c.locker_id)
    by_id = ids_within_bounds(lockers.c.locker_id, "none_lower", "none_upper")
    parts = [
        select(lockers).where(by_count if is_degraded else by_id, condition)
        for is_degraded, condition in _lockers_with(available, degraded)
    ]
    return merged(lockers, parts, "degraded", "locker_id", descending=descending)


def locker_count(available: bool | None, degraded: bool | None, silent: bool | None, gone: bool | None) -> Statement:
    found = lockers_by_id(available, degraded, silent, gone, descending=False)
    return select(func.count()).select_from(found.subquery())


def sorted_lockers(
    order: LockerOrder,
    descending: bool,
    available: bool | None,
    degraded: bool | None,
    silent: bool | None,
    gone: bool | None,
) -> Statement:
    found = lockers_by_id(available, degraded, silent, gone, descending=False).subquery()
    pair = found.c[_NUMBERS[order].name], found.c.locker_id
    page = select(found).where(pairs_within_bounds(*pair))
    return page.order_by(*(one.desc() if descending else one for one in pair)).limit(PAGE_LIMIT)


_NUMBERS = {
    LockerOrder.LAST_EVENT: lockers.c.last_position,
    LockerOrder.AVAILABLE: lockers.c.available,
    LockerOrder.DEGRADED: lockers.c.degraded,
}
"""The number by which lockers are sorted."""


def _silence_conditions(silent: bool | None, gone: bool | None) -> list[Condition]:
    """Return the conditions of the filters `silent` and `gone`. No index matches them."""
    wanted = ((silent, IS_SILENT), (gone, IS_GONE))
    return [condition if flag else not_(condition) for flag, condition in wanted if flag is not None]


def _lockers_with(available: bool | None, degraded: bool | None) -> list[tuple[bool, Condition]]:
    """Return one condition for each kind of lockers that a list contains, and whether the kind is degraded."""
    return [
        (is_degraded, condition)
        for (is_available, is_degraded), condition in LOCKER_HAS.items()
        if available in (None, is_available) and degraded in (None, is_degraded)
    ]


ACTIVE_LOCKERS = select(func.count()).where(lockers.c.last_position >= bindparam("lower", type_=BigInteger))


HAS_LOCKER = select(lockers.c.locker_id).where(lockers.c.locker_id == LOCKER_ID)


RECENT_POSITION = (
    select(lockers.c.last_position)
    .order_by(lockers.c.last_position.desc())
    .limit(literal_column("1"))
    .offset(bindparam("others", type_=BigInteger))
)
"""The last position of a locker, such that the last positions of `others` lockers are higher."""


SILENT_COUNTS = select(
    func.count(case((IS_SILENT, literal_column("1")))), func.count(case((IS_GONE, literal_column("1"))))
).select_from(lockers)

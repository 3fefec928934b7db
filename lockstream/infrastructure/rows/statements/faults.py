"""The statements of lists of faults."""

from itertools import product

from sqlalchemy import BigInteger, String, bindparam, select, tuple_

from lockstream.infrastructure.rows.statements.parts import MIN_SEVERITY, Condition, Statement, merged, positions_page
from lockstream.infrastructure.rows.tables import IS_CLEARED, IS_OPEN, faults


def faults_by_report(is_open: bool | None, has_locker: bool, has_compartment: bool, descending: bool) -> Statement:
    page = positions_page(faults, "reported_position", has_locker)
    page = page.where(faults.c.severity >= MIN_SEVERITY)
    if has_compartment:
        page = page.where(faults.c.compartment_id == bindparam("compartment_id", type_=String))
    parts = [page.where(condition) for condition in _open_or_cleared(is_open)]
    return merged(faults, parts, "reported_position", descending=descending, of_locker=has_locker)


def faults_of_severities(is_open: bool | None, count: int, descending: bool) -> Statement:
    """Return a SELECT that merges the first faults of each severity."""
    pair = tuple_(faults.c.severity, faults.c.reported_position)
    parts = []
    for number, condition in product(range(count), _open_or_cleared(is_open)):
        severity = bindparam(f"severity_{number}", type_=BigInteger)
        lower, upper = (tuple_(severity, bindparam(name, type_=BigInteger)) for name in ("lower", "upper"))
        parts.append(select(faults).where(pair >= lower, pair <= upper, condition))
    return merged(faults, parts, "reported_position", descending=descending, of_severity=True)


def _open_or_cleared(is_open: bool | None) -> list[Condition]:
    """Return one condition for each kind of faults, open and cleared, that a list contains."""
    return [condition for is_one, condition in ((True, IS_OPEN), (False, IS_CLEARED)) if is_open in (None, is_one)]

"""Reads of the projection's rows, shared by both engines."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect, Select, and_, bindparam, false, select

from lockstream.core.entities.state import Compartment, CompartmentView, Locker, Reservation, Row, Status
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable, to_row
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.tables import compartments, faults, reservations

type Execute = Callable[[Prepared, dict[str, str]], Iterable[tuple[Any, ...]]]
"""Executes a statement with its values. Raises StoreUnavailable if the database cannot be used."""

# One statement, so that all rows of a locker are of one moment.
_LOCKERS: Select[*tuple[Any, ...]] = (
    select(
        compartments.c.locker_id,
        compartments.c.compartment_id,
        compartments.c.degrading_faults,
        compartments.c.active_reservation,
        reservations.c.status,
        faults.c.fault_id,
        faults.c.severity,
    )
    .outerjoin_from(compartments, reservations, compartments.c.active_reservation == reservations.c.reservation_id)
    .outerjoin(
        faults,
        and_(
            faults.c.locker_id == compartments.c.locker_id,
            faults.c.compartment_id == compartments.c.compartment_id,
            faults.c.cleared == false(),
        ),
    )
    .order_by(compartments.c.locker_id, compartments.c.compartment_id, faults.c.fault_id)
)
_LOCKER = _LOCKERS.where(compartments.c.locker_id == bindparam("locker_id"))
_COMPARTMENT = select(compartments).where(
    and_(
        compartments.c.locker_id == bindparam("locker_id"), compartments.c.compartment_id == bindparam("compartment_id")
    )
)
_RESERVATION = select(reservations).where(reservations.c.reservation_id == bindparam("reservation_id"))


class SqlStatements:
    """The statements of all reads, compiled for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.lockers = Prepared(_LOCKERS, dialect)
        self.locker = Prepared(_LOCKER, dialect)
        self.compartment = Prepared(_COMPARTMENT, dialect)
        self.reservation = Prepared(_RESERVATION, dialect)


class SqlReads:
    """Reads of a projection in a database. May be used by as many threads as `execute` may."""

    def __init__(self, statements: SqlStatements, execute: Execute) -> None:
        self._statements = statements
        self._execute = execute

    def locker(self, locker_id: str) -> Locker | None:
        lockers = list(_lockers(self._execute(self._statements.locker, {"locker_id": locker_id})))
        return lockers[0] if lockers else None

    def lockers(self) -> Iterator[Locker]:
        return _lockers(self._execute(self._statements.lockers, {}))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        key = {"locker_id": locker_id, "compartment_id": compartment_id}
        return _row(Compartment, self._execute(self._statements.compartment, key))

    def reservation(self, reservation_id: str) -> Reservation | None:
        return _row(Reservation, self._execute(self._statements.reservation, {"reservation_id": reservation_id}))


def _row[RowT: Row](row_class: type[RowT], found: Iterable[tuple[Any, ...]]) -> RowT | None:
    try:
        rows = [to_row(row_class, row) for row in found]
    except VALUE_ERRORS as error:
        raise projection_unavailable("read", error) from error
    return rows[0] if rows else None


def _lockers(rows: Iterable[tuple[Any, ...]]) -> Iterator[Locker]:
    try:
        for locker_id, rows_of_locker in groupby(rows, itemgetter(0)):
            views = tuple(_view(list(rows_of_one)) for _, rows_of_one in groupby(rows_of_locker, itemgetter(1)))
            yield Locker(locker_id, views)
    except VALUE_ERRORS as error:
        raise projection_unavailable("read", error) from error


def _view(rows: list[tuple[Any, ...]]) -> CompartmentView:
    """Return the view of one compartment, which has one row per open fault, or one row if no fault is open."""
    _, compartment_id, degrading_faults, active_reservation, status, *_ = rows[0]
    return CompartmentView(
        compartment_id,
        degraded=degrading_faults > 0,
        active_reservation=active_reservation,
        reservation_status=None if status is None else Status(status),
        open_faults=tuple((row[5], row[6]) for row in rows if row[5] is not None),
    )

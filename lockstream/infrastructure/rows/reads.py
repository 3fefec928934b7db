"""Reads of the projection's rows, shared by both engines."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Dialect, Select, TableValuedAlias, and_, bindparam, literal_column, select

from lockstream.core.entities.state import (
    Compartment,
    CompartmentView,
    LastChange,
    Locker,
    LockerState,
    LockerTotals,
    Reservation,
    Row,
    Status,
)
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable, to_row
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.tables import IS_OPEN, compartments, faults, lockers, moments, reservations

type Execute = Callable[[Prepared, dict[str, Any]], Iterable[tuple[Any, ...]]]
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
            IS_OPEN,
        ),
    )
    .order_by(compartments.c.locker_id, compartments.c.compartment_id, faults.c.fault_id)
)
_LOCKER_COLUMNS = len(_LOCKERS.selected_columns)
_LOCKER = _LOCKERS.where(compartments.c.locker_id == bindparam("locker_id"))
_LOCKER_STATE = _LOCKER.add_columns(compartments.c.changed_position, reservations.c.changed_position, *lockers.c).join(
    lockers, lockers.c.locker_id == compartments.c.locker_id
)
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
        self.locker_state = Prepared(_LOCKER_STATE, dialect)
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

    def locker_state(self, locker_id: str) -> LockerState | None:
        rows = list(self._execute(self._statements.locker_state, {"locker_id": locker_id}))
        if not rows:
            return None
        try:
            totals = to_row(LockerTotals, rows[0][_LOCKER_COLUMNS + 2 :])
            changes = {
                row[1]: LastChange(int(row[_LOCKER_COLUMNS]), int(row[_LOCKER_COLUMNS + 1] or 0)) for row in rows
            }
            [locker] = _lockers(rows)  # a damaged id would make two of them
        except VALUE_ERRORS as error:
            raise projection_unavailable("read", error) from error
        return LockerState(locker, totals, changes)

    def lockers(self) -> Iterator[Locker]:
        return _lockers(self._execute(self._statements.lockers, {}))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        key = {"locker_id": locker_id, "compartment_id": compartment_id}
        return _row(Compartment, self._execute(self._statements.compartment, key))

    def reservation(self, reservation_id: str) -> Reservation | None:
        return _row(Reservation, self._execute(self._statements.reservation, {"reservation_id": reservation_id}))


def times_statement(positions: TableValuedAlias) -> Select[*tuple[Any, ...]]:
    """Return a SELECT of positions and their recorded times. `positions` is a table with the column `value`."""
    time = select(moments.c.time).where(moments.c.position <= positions.c.value).order_by(moments.c.position.desc())
    return select(positions.c.value, time.limit(literal_column("1")).scalar_subquery())


def _row[RowT: Row](row_class: type[RowT], found: Iterable[tuple[Any, ...]]) -> RowT | None:
    try:
        rows = [to_row(row_class, row) for row in found]
    except VALUE_ERRORS as error:
        raise projection_unavailable("read", error) from error
    return rows[0] if rows else None


class _StoredCompartment(Struct, array_like=True, gc=False):
    """One row of `_LOCKERS`: a compartment has one for each open fault, or one if no fault is open.

    Its types are checked: SQLite may return a damaged text as bytes.
    """

    locker_id: str
    compartment_id: str
    degrading_faults: int
    active_reservation: str | None
    status: Status | None
    fault_id: str | None
    severity: int | None


def _lockers(rows: Iterable[tuple[Any, ...]]) -> Iterator[Locker]:
    try:
        stored = (msgspec.convert(tuple(row)[:_LOCKER_COLUMNS], _StoredCompartment) for row in rows)
        for locker_id, rows_of_locker in groupby(stored, attrgetter("locker_id")):
            by_compartment = groupby(rows_of_locker, attrgetter("compartment_id"))
            yield Locker(locker_id, tuple(_view(list(rows_of_one)) for _, rows_of_one in by_compartment))
    except VALUE_ERRORS as error:
        raise projection_unavailable("read", error) from error


def _view(rows: list[_StoredCompartment]) -> CompartmentView:
    first = rows[0]
    return CompartmentView(
        first.compartment_id,
        degraded=first.degrading_faults > 0,
        active_reservation=first.active_reservation,
        reservation_status=first.status,
        open_faults=tuple((row.fault_id, row.severity or 0) for row in rows if row.fault_id is not None),
    )

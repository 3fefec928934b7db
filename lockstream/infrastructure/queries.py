"""The reads: from rows to what is shown, past the model."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from copy import copy
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect, Engine, PoolProxiedConnection, Select, and_, bindparam, false, select

from lockstream.core.entities.state import Compartment, CompartmentView, Locker, Reservation, Status
from lockstream.infrastructure.engines import Prepared
from lockstream.infrastructure.projection import BROKEN, to_row, unavailable
from lockstream.infrastructure.tables import compartments, faults, reservations

# One statement, so that a locker is seen as it was at one moment.
LOCKERS: Select[*tuple[Any, ...]] = (
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


# Made once: to make a statement takes longer than to execute it.
_LOCKER = LOCKERS.where(compartments.c.locker_id == bindparam("locker_id"))
_COMPARTMENT = select(compartments).where(
    and_(
        compartments.c.locker_id == bindparam("locker_id"), compartments.c.compartment_id == bindparam("compartment_id")
    )
)
_RESERVATION = select(reservations).where(reservations.c.reservation_id == bindparam("reservation_id"))


type Finder = Callable[[Prepared, dict[str, str]], Iterable[tuple[Any, ...]]]
"""What executes a statement, and raises StoreUnavailable where it cannot."""


class SqlQueries:
    """Reads of a projection, from as many threads as `find` is for."""

    def __init__(self, dialect: Dialect, find: Finder) -> None:
        self._find = find
        self._lockers = Prepared(LOCKERS, dialect)
        self._locker = Prepared(_LOCKER, dialect)
        self._compartment = Prepared(_COMPARTMENT, dialect)
        self._reservation = Prepared(_RESERVATION, dialect)

    def using(self, find: Finder) -> "SqlQueries":
        """The same reads, executed by `find`."""
        other = copy(self)
        other._find = find
        return other

    def locker(self, locker_id: str) -> Locker | None:
        return next(iter(list(grouped(self._find(self._locker, {"locker_id": locker_id})))), None)

    def lockers(self) -> Iterator[Locker]:
        return grouped(self._find(self._lockers, {}))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        found = self._find(self._compartment, {"locker_id": locker_id, "compartment_id": compartment_id})
        return _only(Compartment, found)

    def reservation(self, reservation_id: str) -> Reservation | None:
        return _only(Reservation, self._find(self._reservation, {"reservation_id": reservation_id}))


def settled_queries(engine: Engine, connection: PoolProxiedConnection | None = None) -> SqlQueries:
    """Reads of a SQLite projection, from any thread.

    `connection` is one of the engine's that all reads shall use; each takes its own if none is given.
    """

    def find(statement: Prepared, values: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        try:
            if connection:
                yield from statement.rows(connection, **values)
                return
            with closing(engine.raw_connection()) as own:
                yield from statement.rows(own, **values)
        except BROKEN as error:
            raise unavailable("read", error) from error

    return SqlQueries(engine.dialect, find)


def _only[RowT: (Compartment, Reservation)](kind: type[RowT], found: Iterable[tuple[Any, ...]]) -> RowT | None:
    try:
        return next(iter([to_row(kind, row) for row in found]), None)
    except BROKEN as error:
        raise unavailable("read", error) from error


def grouped(rows: Iterable[tuple[Any, ...]]) -> Iterator[Locker]:
    try:
        for locker_id, of_locker in groupby(rows, itemgetter(0)):
            views = tuple(_view(list(of_one)) for _, of_one in groupby(of_locker, itemgetter(1)))
            yield Locker(locker_id, views)
    except BROKEN as error:
        raise unavailable("read", error) from error


def _view(rows: list[tuple[Any, ...]]) -> CompartmentView:
    """A compartment stands in one row for each open fault, or in one without a fault."""
    _, compartment_id, degrading_faults, active_reservation, status, *_ = rows[0]
    return CompartmentView(
        compartment_id,
        degraded=degrading_faults > 0,
        active_reservation=active_reservation,
        reservation_status=None if status is None else Status(status),
        open_faults=tuple((row[5], row[6]) for row in rows if row[5] is not None),
    )

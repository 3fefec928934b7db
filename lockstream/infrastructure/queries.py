"""The reads: from rows to what is shown, past the model."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, Select, and_, bindparam, false, select

from lockstream.core.entities.state import Compartment, CompartmentView, Locker, Reservation, Status
from lockstream.infrastructure.engines import Prepared
from lockstream.infrastructure.projection import BROKEN, to_row, unavailable
from lockstream.infrastructure.tables import compartments, faults, reservations

# One statement, so that a locker is seen as it was at one moment.
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


# Made once: to make a statement takes longer than to execute it.
_LOCKER = _LOCKERS.where(compartments.c.locker_id == bindparam("locker_id"))
_COMPARTMENT = select(compartments).where(
    and_(
        compartments.c.locker_id == bindparam("locker_id"), compartments.c.compartment_id == bindparam("compartment_id")
    )
)
_RESERVATION = select(reservations).where(reservations.c.reservation_id == bindparam("reservation_id"))


class SqlQueries:
    """Reads of a projection, from any thread."""

    def __init__(self, engine: Engine, connection: PoolProxiedConnection | None = None) -> None:
        """`connection` is one of the engine's that all reads shall use; each takes its own if none is given."""
        self._engine = engine
        self._connection = connection
        self._lockers = Prepared(_LOCKERS, engine)
        self._locker = Prepared(_LOCKER, engine)
        self._compartment = Prepared(_COMPARTMENT, engine)
        self._reservation = Prepared(_RESERVATION, engine)

    def locker(self, locker_id: str) -> Locker | None:
        return next(iter(list(_grouped(self._rows(self._locker, locker_id=locker_id)))), None)

    def lockers(self) -> Iterator[Locker]:
        return _grouped(self._rows(self._lockers))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        found = self._rows(self._compartment, locker_id=locker_id, compartment_id=compartment_id)
        return _only(Compartment, found)

    def reservation(self, reservation_id: str) -> Reservation | None:
        return _only(Reservation, self._rows(self._reservation, reservation_id=reservation_id))

    def _rows(self, statement: Prepared, **values: str) -> Iterator[tuple[Any, ...]]:
        try:
            if self._connection:
                yield from statement.rows(self._connection, **values)
                return
            with closing(self._engine.raw_connection()) as connection:
                yield from statement.rows(connection, **values)
        except BROKEN as error:
            raise unavailable("read", error) from error


def _only[RowT: (Compartment, Reservation)](kind: type[RowT], found: Iterable[tuple[Any, ...]]) -> RowT | None:
    try:
        return next(iter([to_row(kind, row) for row in found]), None)
    except BROKEN as error:
        raise unavailable("read", error) from error


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Iterator[Locker]:
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

"""The reads: from rows to what is shown, past the model."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, false, select

from lockstream.core.entities.state import Compartment, CompartmentView, Locker, Reservation
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


class SqlQueries:
    """Reads of a projection, from any thread."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        """`connect` gives the connection that a read uses: an engine's, or one whose transaction is a snapshot."""
        self._connect = connect

    def locker(self, locker_id: str) -> Locker | None:
        return next(iter(list(self._lockers(_LOCKERS.where(compartments.c.locker_id == locker_id)))), None)

    def lockers(self) -> Iterator[Locker]:
        return self._lockers(_LOCKERS)

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        where = and_(compartments.c.locker_id == locker_id, compartments.c.compartment_id == compartment_id)
        return self._row(Compartment, select(compartments).where(where))

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._row(Reservation, select(reservations).where(reservations.c.reservation_id == reservation_id))

    def _lockers(self, statement: Select[*tuple[Any, ...]]) -> Iterator[Locker]:
        try:
            with self._connect() as connection:
                yield from _grouped(connection.execute(statement))
        except BROKEN as error:
            raise unavailable("read", error) from error

    def _row[RowT: (Compartment, Reservation)](
        self, kind: type[RowT], statement: Select[*tuple[Any, ...]]
    ) -> RowT | None:
        try:
            with self._connect() as connection:
                found = connection.execute(statement).one_or_none()
                return None if found is None else to_row(kind, found)
        except BROKEN as error:
            raise unavailable("read", error) from error


def _grouped(rows: Iterable[Row[*tuple[Any, ...]]]) -> Iterator[Locker]:
    for locker_id, of_locker in groupby(rows, attrgetter("locker_id")):
        yield Locker(
            locker_id,
            tuple(_compartment(list(of_one)) for _, of_one in groupby(of_locker, attrgetter("compartment_id"))),
        )


def _compartment(rows: list[Row[*tuple[Any, ...]]]) -> CompartmentView:
    """A compartment stands in one row for each open fault, or in one without a fault."""
    first = rows[0]
    return CompartmentView(
        first.compartment_id,
        degraded=first.degrading_faults > 0,
        active_reservation=first.active_reservation,
        reservation_status=first.status,
        open_faults=tuple((row.fault_id, row.severity) for row in rows if row.fault_id is not None),
    )

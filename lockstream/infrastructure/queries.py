"""The reads: from rows to what is shown, past the model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, false, select
from sqlalchemy.exc import DBAPIError

from lockstream.core.entities.state import Compartment, CompartmentView, Locker, Reservation
from lockstream.infrastructure.projection import unavailable
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
        rows = self._read(_LOCKERS.where(compartments.c.locker_id == locker_id))
        return next(_lockers(rows), None)

    def lockers(self) -> Iterator[Locker]:
        with self._connect() as connection:
            yield from _lockers(connection.execute(_LOCKERS))

    def compartment(self, locker_id: str, compartment_id: str) -> Compartment | None:
        where = and_(compartments.c.locker_id == locker_id, compartments.c.compartment_id == compartment_id)
        return next((Compartment(*row) for row in self._read(select(compartments).where(where))), None)

    def reservation(self, reservation_id: str) -> Reservation | None:
        where = reservations.c.reservation_id == reservation_id
        return next((Reservation(*row) for row in self._read(select(reservations).where(where))), None)

    def _read(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        try:
            with self._connect() as connection:
                return connection.execute(statement).all()
        except DBAPIError as error:
            raise unavailable("read", error) from error


def _lockers(rows: Iterable[Row[*tuple[Any, ...]]]) -> Iterator[Locker]:
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

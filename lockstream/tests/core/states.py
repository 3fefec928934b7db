"""States of a network with at most one row of each kind, for the tests of the rules."""

from typing import Any, NamedTuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Row
from lockstream.core.evolve import evolve
from lockstream.core.row_set import RowSet


class State(NamedTuple):
    compartment: Compartment | None = None
    reservation: Reservation | None = None
    fault: Fault | None = None
    locker: LockerTotals | None = None

    def rows(self) -> RowSet:
        """Return a row set in which no other row exists."""
        return RowSet(_Table(self.compartment), _Table(self.reservation), _Table(self.fault), _Table(self.locker))


def evolved(state: State, event: Event, position: int) -> State:
    """Return the state after `event` at `position`."""
    rows = state.rows()
    rows.save(evolve(rows, event, position))
    return State(*(_only_row(table) for table in (rows.compartments, rows.reservations, rows.faults, rows.lockers)))


class _Table(dict[Any, Any]):
    def __init__(self, row: Row | None) -> None:
        super().__init__({} if row is None else {row.key: row})

    def __missing__(self, key: object) -> None:
        return None


def _only_row(table: dict[Any, Any]) -> Any:
    [row] = table.values() or [None]
    return row

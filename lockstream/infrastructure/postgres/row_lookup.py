"""Look up and write the rows of a batch, with one statement per table for a batch of any size."""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Self

from msgspec.structs import astuple
from sqlalchemy import BigInteger, Integer, Table

from lockstream.core.entities.events import Event
from lockstream.core.entities.listings import SUMMED
from lockstream.core.entities.log import Moment
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Row
from lockstream.core.row_set import RowSet, read_set_of, with_absent
from lockstream.infrastructure.postgres.connection import Results, Statement
from lockstream.infrastructure.rows.mapping import to_row
from lockstream.infrastructure.rows.tables import TABLES, changing_columns, compartments, faults, lockers, reservations


class RowLookup:
    """The statements that fetch the rows of a batch, and the row set made from their results."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._keys = keys = read_set_of(events)
        reservation_ids = list(keys.reservations)
        self._of_reservations = Statement(_RESERVATIONS, {"reservations": reservation_ids})
        self._of_compartments = Statement(
            _COMPARTMENTS,
            {
                "reservations": reservation_ids,
                "locker_id": [locker_id for locker_id, _ in keys.compartments],
                "compartment_id": [compartment_id for _, compartment_id in keys.compartments],
            },
        )
        self._of_faults = Statement(_FAULTS, {"faults": list(keys.faults)})
        self._of_lockers = Statement(_LOCKERS, {"lockers": list(keys.lockers)})

    @property
    def statements(self) -> list[Statement]:
        """One statement per table. The statement for compartments also finds the compartments of the reservations."""
        return [self._of_reservations, self._of_compartments, self._of_faults, self._of_lockers]

    def row_set(self, found: Results) -> RowSet:
        """Return the rows that the statements have found. Raises one of VALUE_ERRORS if a value is damaged."""
        reservations = [to_row(Reservation, row) for row in found[self._of_reservations]]
        places = self._keys.compartments.union(row.compartment_key for row in reservations)
        return RowSet(
            with_absent(places, [to_row(Compartment, row) for row in found[self._of_compartments]]),
            with_absent(self._keys.reservations, reservations),
            with_absent(self._keys.faults, [to_row(Fault, row) for row in found[self._of_faults]]),
            with_absent(self._keys.lockers, [to_row(LockerTotals, row) for row in found[self._of_lockers]]),
        )


def upserts(rows: RowSet) -> list[Statement]:
    """Return one statement per table that writes the changed rows."""
    return [_upsert(row_class, list(changed.values())) for row_class, changed in rows.changed.items() if changed]


def insert_moments(moments: Sequence[Moment]) -> Statement:
    """Return a statement that inserts the recorded times of a batch."""
    positions, times = zip(*moments, strict=True)
    return Statement(
        "INSERT INTO moments SELECT * FROM unnest(%(positions)s::bigint[], %(times)s::bigint[])",
        {"positions": list(positions), "times": list(times)},
    )


class RowsBefore(NamedTuple):
    """The lockers and faults that a batch has looked up, as they were before the batch."""

    lockers: dict[str, LockerTotals | None]
    faults: dict[str, Fault | None]

    @classmethod
    def of(cls, rows: RowSet) -> Self:
        """Return copies of the rows in `rows`, which stay as they are when the batch saves rows."""
        return cls(dict(rows.lockers), dict(rows.faults))


def change_totals(before: RowsBefore, rows: RowSet, after: int, end: int) -> list[Statement]:
    """Return statements that bring the totals of the network from the position `after` to `end`."""
    lockers, faults = rows.changed[LockerTotals], rows.changed[Fault]
    known = [locker for key in lockers if (locker := before.lockers.get(key))]
    changes = {name: _sum(name, lockers.values()) - _sum(name, known) for name in SUMMED}
    values = {"after": after, "end": end, "lockers": len(lockers) - len(known), **changes}
    statements = [Statement(_CHANGE_NETWORK_TOTALS, values)]
    if faults:
        open_faults: Counter[int] = Counter()
        for key, fault in faults.items():
            earlier = before.faults.get(key)
            open_faults[fault.severity] += (not fault.is_cleared) - (earlier is not None and not earlier.is_cleared)
        severities, counts = list(open_faults), list(open_faults.values())
        statements.append(
            Statement(_CHANGE_OPEN_FAULT_TOTALS, {"severities": severities, "changes": counts, "end": end})
        )
    return statements


def _sum(name: str, lockers: Iterable[LockerTotals]) -> int:
    return sum(map(attrgetter(name), lockers))


def _upsert(row_class: type[Row], changed: Sequence[Row]) -> Statement:
    columns = zip(*map(astuple, changed), strict=True)
    return Statement(_UPSERTS[row_class], dict(zip(row_class.__struct_fields__, map(list, columns), strict=True)))


def _array_type(column: Any) -> str:
    if isinstance(column.type, BigInteger):
        return "bigint[]"
    return "integer[]" if isinstance(column.type, Integer) else "text[]"


def _columns(table: Table) -> str:
    return ", ".join(f"{table.name}.{column.name}" for column in table.columns)


def _upsert_into(table: Table) -> str:
    names = ", ".join(table.columns.keys())
    arrays = ", ".join(f"%({column.name})s::{_array_type(column)}" for column in table.columns)
    key = ", ".join(table.primary_key.columns.keys())
    changed = ", ".join(f"{column.name} = excluded.{column.name}" for column in changing_columns(table))
    return (
        f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) "  # noqa: S608  # our own names
        f"ON CONFLICT ({key}) DO UPDATE SET {changed}"
    )


_RESERVATIONS = (
    f"SELECT {_columns(reservations)} FROM reservations WHERE reservation_id = ANY(%(reservations)s::text[])"  # noqa: S608
)
_COMPARTMENTS = (
    "WITH places AS (SELECT * FROM unnest(%(locker_id)s::text[], %(compartment_id)s::text[]) "  # noqa: S608
    "AS given (locker_id, compartment_id) UNION "
    "SELECT locker_id, compartment_id FROM reservations WHERE reservation_id = ANY(%(reservations)s::text[])) "
    f"SELECT {_columns(compartments)} FROM places JOIN compartments USING (locker_id, compartment_id)"
)
_FAULTS = f"SELECT {_columns(faults)} FROM faults WHERE fault_id = ANY(%(faults)s::text[])"  # noqa: S608
_LOCKERS = f"SELECT {_columns(lockers)} FROM lockers WHERE locker_id = ANY(%(lockers)s::text[])"  # noqa: S608
_UPSERTS = {row_class: _upsert_into(table) for row_class, table in TABLES.items()}
_CHANGE_NETWORK_TOTALS = (
    "WITH before AS (DELETE FROM network_totals WHERE position = %(after)s RETURNING *) "  # noqa: S608  # our own names
    "INSERT INTO network_totals SELECT %(end)s::bigint, "
    f"{', '.join(f'{name} + %({name})s::bigint' for name in ('lockers', *SUMMED))} FROM before"
)
_CHANGE_OPEN_FAULT_TOTALS = (
    "WITH given AS (SELECT severity, change, "
    "(SELECT max(position) FROM open_fault_totals latest WHERE latest.severity = changed.severity) AS position "
    "FROM unnest(%(severities)s::integer[], %(changes)s::bigint[]) AS changed (severity, change)), "
    "before AS (DELETE FROM open_fault_totals totals USING given "
    "WHERE (totals.severity, totals.position) = (given.severity, given.position) "
    "RETURNING totals.severity, totals.count) "
    "INSERT INTO open_fault_totals SELECT severity, %(end)s::bigint, coalesce(count, 0) + change "
    "FROM given LEFT JOIN before USING (severity)"
)

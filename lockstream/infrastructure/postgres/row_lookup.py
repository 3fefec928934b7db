"""Look up and write the rows of a batch, with one statement per table for a batch of any size."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Boolean, Integer, Table

from lockstream.core.entities.state import Compartment, Fault, Reservation, Row
from lockstream.core.read_set import ReadSet
from lockstream.infrastructure.postgres.connection import Results, Statement
from lockstream.infrastructure.rows.mapping import to_row
from lockstream.infrastructure.rows.row_set import ChangedRows, RowSet
from lockstream.infrastructure.rows.tables import TABLES, compartments, faults, reservations


class RowLookup:
    """The statements that fetch the rows of a batch, and the row set made from their results."""

    def __init__(self, read_sets: Sequence[ReadSet]) -> None:
        self._reservations = list({keys.reservation for keys in read_sets if keys.reservation is not None})
        self._compartments = {keys.compartment for keys in read_sets if keys.compartment is not None}
        self._faults = list({keys.fault for keys in read_sets if keys.fault is not None})
        locker_ids = [locker_id for locker_id, _ in self._compartments]
        compartment_ids = [compartment_id for _, compartment_id in self._compartments]
        self._of_reservations = Statement(_RESERVATIONS, {"reservations": self._reservations})
        self._of_compartments = Statement(
            _COMPARTMENTS,
            {"reservations": self._reservations, "locker_id": locker_ids, "compartment_id": compartment_ids},
        )
        self._of_faults = Statement(_FAULTS, {"faults": self._faults})

    @property
    def statements(self) -> list[Statement]:
        """One statement per table. The statement for compartments also finds the compartments of the reservations."""
        return [self._of_reservations, self._of_compartments, self._of_faults]

    def row_set(self, found: Results) -> RowSet:
        """Return the rows that the statements have found. Raises one of VALUE_ERRORS if a value is damaged."""
        named: dict[str, Reservation | None] = dict.fromkeys(self._reservations)
        named |= {row[0]: to_row(Reservation, row) for row in found[self._of_reservations]}
        placed: dict[tuple[str, str], Compartment | None] = dict.fromkeys(self._compartments)
        placed |= dict.fromkeys(row.compartment_key for row in named.values() if row is not None)
        placed |= {row[:2]: to_row(Compartment, row) for row in found[self._of_compartments]}
        opened: dict[str, Fault | None] = dict.fromkeys(self._faults)
        opened |= {row[0]: to_row(Fault, row) for row in found[self._of_faults]}
        return RowSet(placed, named, opened)


def upserts(rows: ChangedRows) -> list[Statement]:
    """Return one statement per table that writes its changed rows."""
    return [_upsert(row_class, list(changed.values())) for row_class, changed in rows.by_class.items() if changed]


def _upsert(row_class: type[Row], changed: Sequence[Row]) -> Statement:
    columns = zip(*map(astuple, changed), strict=True)
    return Statement(_UPSERTS[row_class], dict(zip(row_class.__struct_fields__, map(list, columns), strict=True)))


def _array_type(column: Any) -> str:
    if isinstance(column.type, Boolean):
        return "boolean[]"
    return "integer[]" if isinstance(column.type, Integer) else "text[]"


def _columns(table: Table) -> str:
    return ", ".join(f"{table.name}.{column.name}" for column in table.columns)


def _upsert_into(table: Table) -> str:
    names = ", ".join(table.columns.keys())
    arrays = ", ".join(f"%({column.name})s::{_array_type(column)}" for column in table.columns)
    key = ", ".join(table.primary_key.columns.keys())
    rest = [column.name for column in table.columns if not column.primary_key]
    changed = ", ".join(f"{name} = excluded.{name}" for name in rest)
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
_UPSERTS = {row_class: _upsert_into(table) for row_class, table in TABLES.items()}

"""The projection's rows in PostgreSQL: a batch at a time, found and written by statements that do not grow with it."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Boolean, Integer, Table

from lockstream.core.entities.state import Compartment, Fault, Key, Reservation, Row
from lockstream.core.keys import Keys
from lockstream.infrastructure.held_rows import HeldRows, Shelf
from lockstream.infrastructure.postgres.connecting import Rows, Statement
from lockstream.infrastructure.projection import to_row
from lockstream.infrastructure.tables import TABLES, compartments, faults, reservations


class Wanted:
    """What a batch can see."""

    def __init__(self, wanted: Sequence[Keys]) -> None:
        self._named = list({key.reservation for key in wanted if key.reservation is not None})
        self._placed = {key.compartment for key in wanted if key.compartment is not None}
        self._faults = list({key.fault for key in wanted if key.fault is not None})

    def lookups(self) -> list[Statement]:
        """Find it, all in one round trip: the compartments that its reservations are of as well."""
        placed = {
            "named": self._named,
            "locker_id": [locker_id for locker_id, _ in self._placed],
            "compartment_id": [compartment_id for _, compartment_id in self._placed],
        }
        return [
            Statement(_BY_NAME, {"named": self._named}),
            Statement(_BY_PLACE, placed),
            Statement(_BY_FAULT, {"faults": self._faults}),
        ]

    def held(self, found: Sequence[Rows]) -> HeldRows[Shelf]:
        """What was found, by the lookups in their order."""
        named = [to_row(Reservation, row) for row in found[0]]
        rows = HeldRows(Shelf)
        rows.hold(Reservation, self._named, named)
        places: set[Key] = {row.where for row in named}
        rows.hold(Compartment, places | self._placed, (to_row(Compartment, row) for row in found[1]))
        rows.hold(Fault, self._faults, (to_row(Fault, row) for row in found[2]))
        return rows


def upserts(rows: HeldRows[Shelf]) -> list[Statement]:
    """Write what has changed."""
    return [_upsert(kind, changed) for kind in TABLES if (changed := rows.changed_rows(kind))]


def _upsert(kind: type[Row], changed: Iterable[Row]) -> Statement:
    columns = zip(*map(astuple, changed), strict=True)
    return Statement(_UPSERTS[kind], dict(zip(kind.__struct_fields__, map(list, columns), strict=True)))


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
        f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) "  # noqa: S608  # names of our own
        f"ON CONFLICT ({key}) DO UPDATE SET {changed}"
    )


_BY_NAME = f"SELECT {_columns(reservations)} FROM reservations WHERE reservation_id = ANY(%(named)s::text[])"  # noqa: S608
_BY_PLACE = (
    "WITH places AS (SELECT * FROM unnest(%(locker_id)s::text[], %(compartment_id)s::text[]) "  # noqa: S608
    "AS given (locker_id, compartment_id) UNION "
    "SELECT locker_id, compartment_id FROM reservations WHERE reservation_id = ANY(%(named)s::text[])) "
    f"SELECT {_columns(compartments)} FROM places JOIN compartments USING (locker_id, compartment_id)"
)
_BY_FAULT = f"SELECT {_columns(faults)} FROM faults WHERE fault_id = ANY(%(faults)s::text[])"  # noqa: S608
_UPSERTS = {kind: _upsert_into(table) for kind, table in TABLES.items()}

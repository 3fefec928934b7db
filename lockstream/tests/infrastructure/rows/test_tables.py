"""Columns whose values never change: an upsert leaves them and their indexes alone."""

from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Row
from lockstream.infrastructure.rows.tables import TABLES, changing_columns
from lockstream.tests.core.story import absent_rows, changes

CHANGING: dict[type[Row], set[str]] = {
    Compartment: {"active_reservation", "degrading_faults", "changed_position"},
    Reservation: {"status", "deposited_position", "changed_position"},
    Fault: {"cleared_position"},
    LockerTotals: set(LockerTotals.__struct_fields__) - {"locker_id"},
}


def test_all_other_columns_are_fixed() -> None:
    names = {row_class: {column.name for column in changing_columns(table)} for row_class, table in TABLES.items()}
    assert names == CHANGING


def test_events_change_every_changing_column_and_no_other() -> None:
    rows, changed = absent_rows(), {row_class: set[str]() for row_class in TABLES}
    for new_rows in changes(rows):
        for row in new_rows:
            if (before := rows.changed[type(row)].get(row.key)) is not None:
                fields = row.__struct_fields__
                changed[type(row)] |= {name for name in fields if getattr(row, name) != getattr(before, name)}
    assert changed == CHANGING

"""The tables of the projection, declared once for both engines. Columns are the fields of the row class, in order."""

from functools import cache
from hashlib import sha256

from sqlalchemy import BigInteger, Boolean, Column, Enum, Index, Integer, LargeBinary, MetaData, String, Table, false
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from lockstream.core.entities.state import Compartment, Fault, Reservation, Row, Status

RULES_VERSION = 1
"""Increase this number when `evolve` gives another state for the same log: older projections are then rebuilt."""

metadata = MetaData()

Identifier = String().with_variant(String(collation="C"), "postgresql")
"""Type of an identifier: compared and sorted by code points on every engine."""

compartments = Table(
    "compartments",
    metadata,
    Column("locker_id", Identifier, primary_key=True),
    Column("compartment_id", Identifier, primary_key=True),
    Column("active_reservation", Identifier),
    Column("degrading_faults", Integer, nullable=False),
    sqlite_with_rowid=False,
)

reservations = Table(
    "reservations",
    metadata,
    Column("reservation_id", Identifier, primary_key=True),
    Column("locker_id", Identifier, nullable=False),
    Column("compartment_id", Identifier, nullable=False),
    Column("status", Enum(Status, native_enum=False), nullable=False),
    sqlite_with_rowid=False,
)

faults = Table(
    "faults",
    metadata,
    Column("fault_id", Identifier, primary_key=True),
    Column("locker_id", Identifier, nullable=False),
    Column("compartment_id", Identifier, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("cleared", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

Index(
    "open_faults",
    faults.c.locker_id,
    faults.c.compartment_id,
    sqlite_where=faults.c.cleared == false(),  # shadow_tables sets PostgreSQL's, which loads a dialect
)

memtable = Table(
    "memtable",
    metadata,
    Column("through_position", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""The memtable of the id index: one row per checkpoint, with the ids used up to its position. SQLite only."""

progress = Table(
    "progress",
    metadata,
    Column("schema", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("chain", String, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("run_checksum", BigInteger, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
)
"""One row: the cursor that the rows have reached, the run file of the id index, and the last position known durable.

The acknowledged position is beyond the cursor only if the log failed before the next checkpoint."""

TABLES: dict[type[Row], Table] = {
    Compartment: compartments,
    Reservation: reservations,
    Fault: faults,
}
"""The table of each row class."""

PROJECTION_TABLES = [*TABLES.values(), progress]
"""The tables of a projection in PostgreSQL, where the log's own index knows the ids."""


@cache
def fingerprint() -> str:
    """Return a hash of the tables' shape and meaning. A projection with another fingerprint is rebuilt."""
    dialect = sqlite.dialect()
    text = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    text += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return sha256("\n".join([str(RULES_VERSION), *text]).encode()).hexdigest()

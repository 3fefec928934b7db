"""The projection's tables, once for every engine. A table's columns are its row class's fields, in order."""

from functools import cache
from hashlib import sha256

from sqlalchemy import BigInteger, Boolean, Column, Enum, Index, Integer, LargeBinary, MetaData, String, Table, false
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from lockstream.core.entities.state import Compartment, Fault, Reservation, Row, Status

RULES_VERSION = 1
"""Raise it when `evolve` gives another state for the same log, so that projections of the old rules are rebuilt."""

metadata = MetaData()

Name = String().with_variant(String(collation="C"), "postgresql")
"""An identifier: compared and sorted by code points, everywhere."""

compartments = Table(
    "compartments",
    metadata,
    Column("locker_id", Name, primary_key=True),
    Column("compartment_id", Name, primary_key=True),
    Column("active_reservation", Name),
    Column("degrading_faults", Integer, nullable=False),
    sqlite_with_rowid=False,
)

reservations = Table(
    "reservations",
    metadata,
    Column("reservation_id", Name, primary_key=True),
    Column("locker_id", Name, nullable=False),
    Column("compartment_id", Name, nullable=False),
    Column("status", Enum(Status, native_enum=False), nullable=False),
    sqlite_with_rowid=False,
)

faults = Table(
    "faults",
    metadata,
    Column("fault_id", Name, primary_key=True),
    Column("locker_id", Name, nullable=False),
    Column("compartment_id", Name, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("cleared", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

Index(
    "open_faults",
    faults.c.locker_id,
    faults.c.compartment_id,
    sqlite_where=faults.c.cleared == false(),
    postgresql_where=faults.c.cleared == false(),
)

recent_keys = Table(
    "recent_keys",
    metadata,
    Column("upto", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""What `known_keys` calls recent: for each settling the keys that were given up to a position."""

progress = Table(
    "progress",
    metadata,
    Column("schema", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("chain", String, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("run_checksum", BigInteger, nullable=False),
)
"""How far along the log the rows are, and which file holds the keys that are not recent: those given up to `run`."""

TABLES: dict[type[Row], Table] = {
    Compartment: compartments,
    Reservation: reservations,
    Fault: faults,
}


KEPT_APART = [*TABLES.values(), progress]
"""The tables of a projection that needs no files beside it."""


@cache
def fingerprint() -> str:
    """A hash of what the tables look like and mean: a projection that bears another is rebuilt."""
    dialect = sqlite.dialect()
    text = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    text += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return sha256("\n".join([str(RULES_VERSION), *text]).encode()).hexdigest()

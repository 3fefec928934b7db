"""The tables of the projection, declared once for both engines. Columns are the fields of the row class, in order."""

from functools import cache
from hashlib import sha256
from itertools import product
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ColumnElement,
    Enum,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    and_,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.event import listen
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from lockstream.core.entities.listings import SUMMED
from lockstream.core.entities.state import FINAL, Compartment, Fault, LockerTotals, Reservation, Row, Status

RULES_VERSION = 4
"""Increase this number when `evolve` gives another state for the same log, or run files get another form: older
projections are then rebuilt."""

metadata = MetaData()

Identifier = String().with_variant(String(collation="C"), "postgresql")
"""Type of an identifier: compared and sorted by code points on every engine."""


def _fixed(name: str, column_type: TypeEngine[Any]) -> Column[Any]:
    """Return a column whose value never changes once its row exists, so an upsert leaves it and its indexes alone."""
    return Column(name, column_type, nullable=False, info={"is_fixed": True})


def changing_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that an event may change in a row that exists."""
    return [column for column in table.columns if not column.primary_key and "is_fixed" not in column.info]


def in_key_order(table: Table) -> Select[*tuple[Any, ...]]:
    """Return a SELECT of all rows of a table, sorted by primary key. Each engine sorts identifiers by code points."""
    return select(table).order_by(*table.primary_key.columns)


compartments = Table(
    "compartments",
    metadata,
    Column("locker_id", Identifier, primary_key=True),
    Column("compartment_id", Identifier, primary_key=True),
    Column("active_reservation", Identifier),
    Column("degrading_faults", Integer, nullable=False),
    Column("changed_position", BigInteger, nullable=False),
    _fixed("registered_position", BigInteger()),
    sqlite_with_rowid=False,
)

reservations = Table(
    "reservations",
    metadata,
    Column("reservation_id", Identifier, primary_key=True),
    _fixed("locker_id", Identifier),
    _fixed("compartment_id", Identifier),
    Column("status", Enum(Status, native_enum=False), nullable=False),
    _fixed("created_position", BigInteger()),
    Column("deposited_position", BigInteger, nullable=False),
    Column("changed_position", BigInteger, nullable=False),
)
"""In SQLite with row ids: an index entry holds one, which is shorter than the id of a reservation."""

faults = Table(
    "faults",
    metadata,
    Column("fault_id", Identifier, primary_key=True),
    _fixed("locker_id", Identifier),
    _fixed("compartment_id", Identifier),
    _fixed("severity", Integer()),
    _fixed("reported_position", BigInteger()),
    Column("cleared_position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

lockers = Table(
    "lockers",
    metadata,
    Column("locker_id", Identifier, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("compartments", Integer, nullable=False),
    Column("available", Integer, nullable=False),
    Column("degraded", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("occupied", Integer, nullable=False),
    Column("picked_up", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("gap_sum", BigInteger, nullable=False),
    Column("gap_squares", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Conditions of partial indexes. They hold numbers and texts instead of parameters: PostgreSQL makes a plan before it
# knows the parameters, and so uses a partial index only for a statement that contains the same condition.

HAS_STATUS = {status: reservations.c.status == literal_column(f"'{status}'") for status in Status}
WAS_DEPOSITED = reservations.c.deposited_position > literal_column("0")
IS_OPEN = faults.c.cleared_position == literal_column("0")
IS_CLEARED = faults.c.cleared_position > literal_column("0")
LOCKER_HAS = {
    (available, degraded): and_(
        lockers.c.available > literal_column("0") if available else lockers.c.available == literal_column("0"),
        lockers.c.degraded > literal_column("0") if degraded else lockers.c.degraded == literal_column("0"),
    )
    for available, degraded in product((True, False), repeat=2)
}
"""Conditions on a locker, by two flags: it has an available compartment, and it has a degraded one."""


def _partial_index(name: str, where: ColumnElement[bool], *columns: Column[Any]) -> None:
    Index(name, *columns, sqlite_where=where)  # `shadow_tables` sets the condition for PostgreSQL, with its dialect


# The lists have an index for each order, and for each filter that may leave few rows. Partial indexes by status are
# narrower than one index that begins with the status, and take less time in each checkpoint (docs/decisions/0022).

# One row holds the position of each accepted event. So the indexes of a locker's positions are the locker's history
# (docs/decisions/0023). Each index ends with the compartment's id, by which the history of a compartment is found.

Index("compartments_by_compartment_id", compartments.c.compartment_id, compartments.c.locker_id)
Index(
    "compartments_by_registration",
    *(compartments.c.locker_id, compartments.c.registered_position, compartments.c.compartment_id),
)
Index(
    "reservations_by_creation",
    *(reservations.c.locker_id, reservations.c.created_position, reservations.c.compartment_id),
)
_partial_index(
    "reservations_by_deposit",
    WAS_DEPOSITED,
    *(reservations.c.locker_id, reservations.c.deposited_position, reservations.c.compartment_id),
)

for _status, _condition in HAS_STATUS.items():
    _name = f"{_status.lower()}_reservations"
    _partial_index(f"{_name}_by_change", _condition, reservations.c.changed_position)
    if _status in FINAL:  # a locker's active reservations are found by its compartments
        _partial_index(
            f"{_name}_by_locker",
            _condition,
            *(reservations.c.locker_id, reservations.c.changed_position, reservations.c.compartment_id),
        )
    if _status != Status.PICKED_UP:  # nearly all reservations end so: their list reads the primary key
        _partial_index(f"{_name}_by_id", _condition, reservations.c.reservation_id)

_partial_index("open_faults", IS_OPEN, faults.c.locker_id, faults.c.compartment_id)
for _name, _condition in (("open_faults", IS_OPEN), ("cleared_faults", IS_CLEARED)):
    _partial_index(f"{_name}_by_report", _condition, faults.c.reported_position, faults.c.severity)
    _partial_index(f"{_name}_by_severity", _condition, faults.c.severity, faults.c.reported_position)
    # These indexes hold all columns of a fault that past states and filters need, so that its row is not read.
    _partial_index(
        f"{_name}_by_locker",
        _condition,
        *(faults.c.locker_id, faults.c.reported_position, faults.c.compartment_id, faults.c.severity),
        *([faults.c.cleared_position] if _condition is IS_CLEARED else []),
    )
_partial_index(
    "faults_by_clearance", IS_CLEARED, faults.c.locker_id, faults.c.cleared_position, faults.c.compartment_id
)

for (_available, _degraded), _condition in LOCKER_HAS.items():
    _name = f"{'available' if _available else 'full'}{'_degraded' if _degraded else ''}_lockers"
    _partial_index(_name, _condition, lockers.c.locker_id)
    if _degraded:  # lockers without a degraded compartment are in the order of their ids
        _partial_index(f"{_name}_by_count", _condition, lockers.c.degraded, lockers.c.locker_id)
Index("lockers_by_last_event", lockers.c.last_position)

moments = Table(
    "moments",
    metadata,
    Column("position", BigInteger, primary_key=True),
    Column("time", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The recorded time of the events from a position on, up to the next row: microseconds since 1970. See `Moment`."""

Index("moments_by_time", moments.c.time, moments.c.position)

network = Table(
    "network",
    metadata,
    *(Column(name, BigInteger, nullable=False, server_default="0") for name in ("lockers", *SUMMED)),
)
"""One row: the totals of the network, which triggers keep. SQLite only. See `network_totals`."""

open_fault_counts = Table(
    "open_fault_counts",
    metadata,
    Column("severity", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""Number of open faults of the network for each severity that has occurred. Triggers keep it. SQLite only.

See `open_fault_totals`.
"""

shared_metadata = MetaData()
"""The tables that only PostgreSQL has, where nodes share a database.

Each batch adds a row and deletes the row before it. A row that every batch updates would have one version per batch
since the oldest snapshot, such as a dump's, and each read and each batch would go through all of them. The latest row
is the last entry of an index, which leads to it at once.
"""

network_totals = Table(
    "network_totals",
    shared_metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, server_default="0"),
    *(Column(name, BigInteger, nullable=False, server_default="0") for name in ("lockers", *SUMMED)),
)
"""One row: the totals of the network at the end of the log. PostgreSQL only."""

open_fault_totals = Table(
    "open_fault_totals",
    shared_metadata,
    Column("severity", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)
"""Number of open faults of the network, one row for each severity that has occurred. PostgreSQL only.

The position is that of the last batch that changed a fault of this severity.
"""


_UPDATE_TOTALS = "UPDATE network SET lockers = lockers + %d, %s"
_ADD_LOCKER = _UPDATE_TOTALS % (1, ", ".join(f"{name} = {name} + new.{name}" for name in SUMMED))
_CHANGE_LOCKER = _UPDATE_TOTALS % (0, ", ".join(f"{name} = {name} + new.{name} - old.{name}" for name in SUMMED))
_TRIGGERS = (
    "INSERT INTO network DEFAULT VALUES",
    f"CREATE TRIGGER locker_added AFTER INSERT ON lockers BEGIN {_ADD_LOCKER}; END",
    f"CREATE TRIGGER locker_changed AFTER UPDATE ON lockers BEGIN {_CHANGE_LOCKER}; END",
    "CREATE TRIGGER fault_added AFTER INSERT ON faults BEGIN "
    "INSERT INTO open_fault_counts VALUES (new.severity, new.cleared_position = 0) "
    "ON CONFLICT DO UPDATE SET count = count + excluded.count; END",
    "CREATE TRIGGER fault_cleared AFTER UPDATE ON faults WHEN old.cleared_position = 0 AND new.cleared_position > 0 "
    "BEGIN UPDATE open_fault_counts SET count = count - 1 WHERE severity = old.severity; END",
)
"""Triggers that keep the totals of the network while rows are written, so that reading the totals reads few rows."""

for _trigger in _TRIGGERS:
    listen(metadata, "after_create", DDL(_trigger))  # type: ignore[no-untyped-call]

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
    LockerTotals: lockers,
}
"""The table of each row class."""

PROJECTION_TABLES = [*TABLES.values(), moments, network_totals, open_fault_totals, progress]
"""The tables of a projection in PostgreSQL, where the log's own index knows the ids."""


@cache
def fingerprint() -> str:
    """Return a hash of the tables' shape and meaning. A projection with another fingerprint is rebuilt."""
    dialect = sqlite.dialect()
    tables = [*metadata.sorted_tables, *shared_metadata.sorted_tables]
    text = [str(CreateTable(table).compile(dialect=dialect)) for table in tables]
    indexes = [index for table in tables for index in table.indexes]
    text += sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in indexes)
    return sha256("\n".join([str(RULES_VERSION), *text, *_TRIGGERS]).encode()).hexdigest()
